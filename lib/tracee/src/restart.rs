//! What a stop does to the system call that a thread waits in.
//!
//! The kernel ends the call of a thread that is to stop. Most calls end with a restart code in `rax`: when the thread goes on,
//! the kernel makes the call again, or, where a signal handler is to run and the code says so, turns the code into EINTR. Some
//! calls end with EINTR at once, and the thread would see it though no handler has run; there the code is put in the place of
//! EINTR. From then on the kernel decides as it does for all other calls.

use crate::{Regs, Tracee};
use floe_sys::{Result, read_memory};
use std::time::Duration;

const EINTR: i64 = -(libc::EINTR as i64);
const ERESTARTSYS: i64 = -512;
/// EINTR where a handler runs, else the call is made again.
const ERESTARTNOHAND: i64 = -514;
/// The same, by restart_syscall(2), which knows how much of its time is left.
const ERESTART_RESTARTBLOCK: i64 = -516;
/// How often a thread is looked at whose call is not known, and how long it may take to get into it.
const LOOKS: u32 = 20;
const STEP: Duration = Duration::from_micros(100);
/// Clock ids below this are no addresses.
const CLOCKS: u64 = 16;

/// Puts a thread that was stopped while it waited into a state in which it does not notice that, and its registers tell which
/// call it was in. To be called once it stands, before anything else is done with it.
pub fn keep_call(tracee: &mut Tracee) -> Result<()> {
    for _ in 0..LOOKS {
        let mut regs = tracee.regs()?;
        let by_job_control = tracee.stopped_by().is_some();
        // What a stop by job control has interrupted ends with EINTR without us, too.
        if regs.rax() as i64 == EINTR && !by_job_control && is_repeatable(&regs) {
            return tracee.set_regs(regs.set_rax(ERESTARTNOHAND as u64));
        }
        if !is_unknown(&regs) {
            return Ok(());
        }
        if let Some(call) = written_in_front(tracee.tid, &regs) {
            return tracee.set_regs(regs.set_orig_rax(call as u64));
        }
        if by_job_control {
            return Ok(());
        }
        let place = look_where_it_waits(tracee)?;
        let mut regs = tracee.regs()?;
        if let (true, Some(call)) = (is_unknown(&regs), call_at(&place, &regs)) {
            return tracee.set_regs(regs.set_orig_rax(call as u64));
        }
    }
    Ok(())
}

/// Calls that end with EINTR, and not with a restart code, have done nothing when they do, and may be made again.
fn is_repeatable(regs: &Regs) -> bool {
    const MODES_THAT_MOVE: u64 =
        (libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE) as u64;
    match regs.orig_rax() as i64 {
        // Always.
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => true,
        libc::SYS_rt_sigtimedwait | libc::SYS_semop | libc::SYS_semtimedop => true,
        libc::SYS_io_getevents => true,
        // Where requests were taken it ends with their number.
        libc::SYS_io_uring_enter => true,
        // With a time-out that cannot be written to.
        libc::SYS_poll | libc::SYS_ppoll | libc::SYS_select | libc::SYS_pselect6 => true,
        // On sockets with SO_RCVTIMEO or SO_SNDTIMEO.
        libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom => true,
        libc::SYS_recvmsg | libc::SYS_recvmmsg | libc::SYS_accept | libc::SYS_accept4 => true,
        libc::SYS_write | libc::SYS_writev | libc::SYS_sendto => true,
        libc::SYS_sendmsg | libc::SYS_sendmmsg | libc::SYS_connect => true,
        libc::SYS_sendfile | libc::SYS_splice => true,
        // On tmpfs of older kernels.
        libc::SYS_fallocate => regs.rsi() & MODES_THAT_MOVE == 0,
        _ => false,
    }
}

/// In a call that the kernel has restarted by restart_syscall(2): no register has its number any more.
fn is_unknown(regs: &Regs) -> bool {
    regs.rax() as i64 == ERESTART_RESTARTBLOCK
        && regs.orig_rax() as i64 == libc::SYS_restart_syscall
}

/// The number of the call, where the instruction in front of its `syscall` loads it.
fn written_in_front(tid: i32, regs: &Regs) -> Option<i64> {
    let mut code = [0; 7];
    // What cannot be read has no such instruction.
    read_memory(tid, regs.rip().wrapping_sub(code.len() as u64), &mut code).ok()?;
    let [0xb8, a, b, c, d, 0x0f, 0x05] = code else { return None };
    let call = i64::from(i32::from_le_bytes([a, b, c, d]));
    // All that the kernel restarts in this way.
    const ALL: [i64; 4] =
        [libc::SYS_poll, libc::SYS_nanosleep, libc::SYS_futex, libc::SYS_clock_nanosleep];
    ALL.contains(&call).then_some(call)
}

/// Lets a thread go back into its call, and gives the name of the function of the kernel that it waits in.
fn look_where_it_waits(tracee: &mut Tracee) -> Result<Vec<u8>> {
    let tid = tracee.tid as u32;
    let running = tracee.cont(0)?;
    std::thread::sleep(STEP);
    let place = floe_proc::read(tid, "wchan");
    running.stop()?;
    place
}

/// The call that a thread waits in at this place of the kernel.
fn call_at(place: &[u8], regs: &Regs) -> Option<i64> {
    let has = |name: &[u8]| place.windows(name.len()).any(|part| part == name);
    if has(b"futex") {
        Some(libc::SYS_futex)
    } else if has(b"poll") {
        Some(libc::SYS_poll)
    } else if place == b"0" {
        // It has not got there yet, or we may not know.
        None
    } else {
        // A sleep, under the name of its caller in some kernels. The first argument of the one call is a clock (clocks of
        // processes are negative numbers), of the other an address.
        let first = regs.rdi();
        let is_clock = first < CLOCKS || first >> 32 == u64::from(u32::MAX) || first >> 25 == 0x7f;
        Some(if is_clock { libc::SYS_clock_nanosleep } else { libc::SYS_nanosleep })
    }
}

impl Regs {
    /// The registers to resume with where the kernel no longer knows of the interrupted system call: the call is made again,
    /// as the kernel would have arranged it (also one that it would have failed with EINTR because of a handler).
    pub(crate) fn resumed(&self) -> Self {
        let mut regs = *self;
        if regs.orig_rax() as i64 >= 0 {
            let again = match regs.rax() as i64 {
                ERESTARTNOHAND..=ERESTARTSYS => regs.orig_rax(),
                ERESTART_RESTARTBLOCK => libc::SYS_restart_syscall as u64,
                _ => return regs,
            };
            let rip = regs.rip() - 2;
            regs.set_rax(again).set_rip(rip);
        }
        regs
    }

    /// For a thread that the kernel knows nothing of: what it would have gone on with begins again.
    pub fn begin_call_again(&mut self) -> &mut Self {
        if self.rax() as i64 == ERESTART_RESTARTBLOCK && self.orig_rax() as i64 >= 0 {
            self.set_rax(ERESTARTNOHAND as u64);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regs(orig_rax: i64, rax: i64) -> Regs {
        let mut regs = Regs::from_bytes(&[0; 216]);
        regs.set_rip(0x1002).set_orig_rax(orig_rax as u64).set_rax(rax as u64);
        regs
    }

    #[test]
    fn interrupted_calls_are_called_again() {
        let again = regs(35, ERESTART_RESTARTBLOCK).resumed();
        assert_eq!((again.rip(), again.rax()), (0x1000, 219));
        let again = regs(35, ERESTARTNOHAND).resumed();
        assert_eq!((again.rip(), again.rax()), (0x1000, 35));
        assert_eq!(regs(35, EINTR).resumed(), regs(35, EINTR));
        assert_eq!(regs(-1, ERESTARTSYS).resumed(), regs(-1, ERESTARTSYS));
        let mut begun = regs(35, ERESTART_RESTARTBLOCK);
        assert_eq!(begun.begin_call_again(), &regs(35, ERESTARTNOHAND));
    }

    #[test]
    fn calls_with_effects_are_not_repeated() {
        assert!(is_repeatable(&regs(libc::SYS_epoll_wait, EINTR)));
        assert!(!is_repeatable(&regs(libc::SYS_close, EINTR)));
        assert!(!is_repeatable(&regs(-1, EINTR)), "it is in no call");
        let mut moves = regs(libc::SYS_fallocate, EINTR);
        assert!(is_repeatable(&moves));
        assert!(!is_repeatable(moves.set_rsi(libc::FALLOC_FL_INSERT_RANGE as u64)));
    }

    #[test]
    fn a_place_and_an_argument_tell_the_call() {
        let with = |rdi| *regs(219, ERESTART_RESTARTBLOCK).set_rdi(rdi);
        let sleeps = b"do_syscall_64";
        assert_eq!(call_at(sleeps, &with(0x7fff_0000_0000)), Some(libc::SYS_nanosleep));
        assert_eq!(call_at(sleeps, &with(1)), Some(libc::SYS_clock_nanosleep));
        assert_eq!(call_at(sleeps, &with(0xffff_fffa)), Some(libc::SYS_clock_nanosleep));
        assert_eq!(call_at(b"futex_do_wait", &with(0)), Some(libc::SYS_futex));
        assert_eq!(call_at(b"poll_schedule_timeout.constprop.0", &with(0)), Some(libc::SYS_poll));
        assert_eq!(call_at(b"0", &with(0)), None);
    }
}
