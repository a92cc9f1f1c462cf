//! The keeper: it waits for the pager, and kills the processes where that has ended before its time.

use crate::{Client, Work, serve::serve};
use floe_sys::{MemoryEvent, NotPut, Userfaultfd, pidfd_send_signal};
use nix::{
    sys::{
        prctl::set_name,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    thread,
    time::Duration,
};

/// What is below and above all memory of processes.
const LOW: u64 = 1 << 16;
const HIGH: u64 = 0x7fff_ffff_f000;
const PAGE: u64 = 4096;
/// How often it looks for who waits.
const BEAT: Duration = Duration::from_millis(10);

/// Starts a pager and waits for it; gives an exit code.
pub(crate) fn keep(work: &Work<'_>) -> u8 {
    let ended = floe_sys::child((libc::CLONE_FILES | libc::CLONE_FS) as u64, || page(work));
    let why = match ended.map(|pid| wait(Pid::from_raw(pid))) {
        Ok(Ok(WaitStatus::Exited(_, 0))) => return 0,
        // It has said why.
        Ok(Ok(WaitStatus::Exited(..))) => "the pager has failed".to_owned(),
        Ok(Ok(WaitStatus::Signaled(_, signal, _))) => format!("the pager was killed by {signal}"),
        Ok(other) => format!("unable to wait for the pager: {other:?}"),
        Err(e) => e.to_string(),
    };
    if let Err(error) = kill(work, &why) {
        (work.say)(&format!("unable to end processes whose memory is not whole: {error}"));
    }
    1
}

fn wait(pid: Pid) -> nix::Result<WaitStatus> {
    loop {
        match waitpid(pid, None) {
            Err(nix::Error::EINTR) => {}
            done => return done,
        }
    }
}

/// The pager.
fn page(work: &Work<'_>) -> u8 {
    // Only for who looks at a list of processes.
    let _ = set_name(c"floe-pager");
    match serve(work) {
        Ok(()) => 0,
        Err(error) => {
            (work.say)(&error.to_string());
            1
        }
    }
}

/// Kills all whose memory is not whole. What watches it stays open until they have ended: else they would go on with zeros.
fn kill(work: &Work<'_>, why: &str) -> io::Result<()> {
    let mut memories = Userfaultfd::left_open()?;
    let is_left = |client: &&Client| {
        let number = client.memory.as_fd().as_raw_fd();
        memories.iter().any(|memory| memory.as_fd().as_raw_fd() == number)
    };
    let killed: Vec<&Client> = work.clients.iter().filter(is_left).collect();
    for client in &killed {
        match pidfd_send_signal(client.handle.as_fd(), Signal::SIGKILL as i32) {
            Err(e) if !e.is_gone() => (work.say)(&e.to_string()),
            _ => {}
        }
    }
    let pids: Vec<String> = killed.iter().map(|client| client.pid.to_string()).collect();
    let others = memories.len() - killed.len();
    let pids = if pids.is_empty() { "none".to_owned() } else { format!("pid {}", pids.join(", ")) };
    let others = match others {
        0 => String::new(),
        _ => format!("; children of theirs end when they touch what is missing: {others}"),
    };
    (work.say)(&format!("{why} before all memory was in place: killed {pids}{others}"));
    // Those that wait for a page look again, so that we hear of them.
    memories.iter().try_for_each(|memory| memory.wake(LOW, HIGH - LOW))?;
    while !memories.is_empty() {
        let mut left = Vec::with_capacity(memories.len());
        for memory in memories {
            if memory.zero(HIGH - PAGE, PAGE)? == Err(NotPut::Gone) {
                continue;
            }
            for event in memory.events()? {
                match event {
                    MemoryEvent::Fault(at) => {
                        let at = at - at % PAGE;
                        // An older kernel cannot: they wait for ever, which is better than to go on.
                        if memory.poison(at, PAGE).is_ok() {
                            memory.wake(at, PAGE)?;
                        }
                    }
                    MemoryEvent::Fork(child) => left.push(child),
                    _ => {}
                }
            }
            left.push(memory);
        }
        memories = left;
        thread::sleep(BEAT);
    }
    Ok(())
}
