//! A way home: how a thread that was made to do system calls gets back if its tracer dies.
//!
//! The kernel lets a tracee run on when its tracer dies, with the registers it has at that moment. So a borrowed
//! thread only ever executes a system call that stands in front of code which puts everything back:
//!
//! ```text
//! way:   syscall                      what the tracer asks for
//! way+2: munmap(scratch)              what the tracer had mapped, or nothing
//!        rt_sigprocmask(saved mask)
//!        load the registers that system calls take and clobber
//!        jump to where the thread was
//! ```
//!
//! All other registers, the stack pointer and the flags keep their values throughout, so a signal handler may
//! run anywhere on the way. The code lies where nothing of the target is: in the zeros behind the end of the
//! vdso's image (else of another executable mapping), where ptrace may write; the page becomes private to the
//! process, and the bytes become zeros again at the end.

use crate::{Regs, Scratch, Tracee};
use floe_sys::{Error, Result, read_memory};
use std::{fs::File, os::unix::fs::FileExt, time::Duration};

const CODE: usize = 128;
const WORDS: usize = 13;
/// Bytes of one way.
const WAY: usize = CODE + WORDS * 8;
/// Ways side by side: one for the leader, which stays away while others come and go, one for those.
const WAYS: usize = 2;
/// Behind the `syscall` of a way.
pub(crate) const BEHIND: u64 = 2;

/// Room for ways home in a stopped process.
#[derive(Debug)]
pub struct Home {
    pid: i32,
    at: u64,
    mem: File,
}

impl Home {
    /// Finds room in a process that this thread traces.
    pub fn find(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/mem");
        let mem = File::options()
            .write(true)
            .open(&path)
            .map_err(|e| Error::new(format!("open {path}"), e).pid(pid as u32))?;
        let len = WAYS * WAY;
        let code = code();
        let mut tail = vec![0; len];
        for (start, end) in crate::memory::executables(pid)? {
            let at = end - len as u64;
            if at < start || read_memory(pid, at, &mut tail).is_err() {
                continue;
            }
            // What a tracer that died has left may be used again.
            let left = tail.starts_with(&code);
            if left || tail.iter().all(|byte| *byte == 0) {
                return Ok(Self { pid, at, mem });
            }
        }
        let what = "no executable mapping has room for a way back";
        Err(Error::because("borrow a thread", what).pid(pid as u32))
    }

    /// Builds a way for a thread that is to go on with `regs` and `mask`; gives its address. Nothing is unmapped on it
    /// yet.
    pub(crate) fn build(&self, way: usize, regs: &Regs, mask: u64) -> Result<u64> {
        let at = self.at + (way * WAY) as u64;
        let regs = resumed(regs);
        let words: [u64; WORDS] = [
            0,
            0,
            mask,
            regs.rax(),
            regs.rcx(),
            regs.rdx(),
            regs.rsi(),
            regs.rdi(),
            regs.r8(),
            regs.r9(),
            regs.r10(),
            regs.r11(),
            regs.rip(),
        ];
        let mut bytes = code();
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.write(at, &bytes)?;
        Ok(at)
    }

    /// Changes what is unmapped on the way.
    pub(crate) fn set_scratch(&self, way: usize, scratch: Option<Scratch>) -> Result<()> {
        let (addr, len) = scratch.map_or((0, 0), |s| (s.addr, s.len as u64));
        let bytes = [addr.to_le_bytes(), len.to_le_bytes()].concat();
        self.write(self.at + (way * WAY + CODE) as u64, &bytes)
    }

    /// Takes the ways away; no thread may be on one.
    pub fn clear(self) -> Result<()> {
        self.write(self.at, &[0; WAYS * WAY])
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.mem
            .write_all_at(bytes, at)
            .map_err(|e| Error::new("write a way back", e).pid(self.pid as u32))
    }
}

/// How long a thread may take to get home, in steps of [`STEP`].
const STEPS: u32 = 10_000;
const STEP: Duration = Duration::from_micros(100);

/// Lets a seized thread that a dead tracer has left on a way go home first.
pub fn come_home(tracee: &mut Tracee) -> Result<()> {
    for _ in 0..STEPS {
        if !is_on_a_way(tracee)? {
            return Ok(());
        }
        tracee.cont()?;
        std::thread::sleep(STEP);
        tracee.interrupt()?;
        tracee.wait_interrupted()?;
    }
    let what = "it does not come back from where a dead tracer has left it";
    Err(Error::because("stop it", what).pid(tracee.tid as u32))
}

/// On the way itself, or in code of ours that leads to it.
fn is_on_a_way(tracee: &Tracee) -> Result<bool> {
    const PAGE: u64 = 4096;
    let rip = tracee.regs()?.rip();
    // Ways stand at the end of a page.
    let at = (rip & !(PAGE - 1)) + PAGE - (WAYS * WAY) as u64;
    if rip >= at && is_way(tracee.tid, at) {
        return Ok(true);
    }
    // Few threads block so much: only of those is it worth looking for what they were lent.
    if tracee.sigmask()?.count_zeros() > 3 {
        return Ok(false);
    }
    let places = crate::memory::executables(tracee.tid)?.into_iter();
    let mut places = places.map(|(_, end)| end - (WAYS * WAY) as u64);
    let Some(at) = places.find(|at| is_way(tracee.tid, *at)) else { return Ok(false) };
    let mut ways = [0; WAYS * WAY];
    read_memory(tracee.tid, at, &mut ways)?;
    Ok(ways.as_chunks::<WAY>().0.iter().any(|way| {
        let word = |n: usize| u64::from_le_bytes(way[CODE..].as_chunks::<8>().0[n]);
        rip.wrapping_sub(word(0)) < word(1)
    }))
}

fn is_way(pid: i32, at: u64) -> bool {
    let mut bytes = vec![0; CODE];
    read_memory(pid, at, &mut bytes).is_ok() && bytes == code()
}

/// The code of a way. Nothing in it changes a flag or the stack.
fn code() -> Vec<u8> {
    let mut code = vec![0x0f, 0x05];
    let load = |code: &mut Vec<u8>, instruction: &[u8], word: usize| {
        let next = code.len() + instruction.len() + 4;
        code.extend_from_slice(instruction);
        code.extend_from_slice(&((CODE + word * 8 - next) as u32).to_le_bytes());
    };
    let c = &mut code;
    c.extend([0xb8, 11, 0, 0, 0]); // mov eax, SYS_munmap
    load(c, &[0x48, 0x8b, 0x3d], 0); // mov rdi, [scratch]
    load(c, &[0x48, 0x8b, 0x35], 1); // mov rsi, [its length]
    c.extend([0x0f, 0x05]);
    c.extend([0xb8, 14, 0, 0, 0]); // mov eax, SYS_rt_sigprocmask
    c.extend([0xbf, 2, 0, 0, 0]); // mov edi, SIG_SETMASK
    load(c, &[0x48, 0x8d, 0x35], 2); // lea rsi, [mask]
    c.extend([0xba, 0, 0, 0, 0]); // mov edx, 0
    c.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8
    c.extend([0x0f, 0x05]);
    let registers: [[u8; 3]; 9] = [
        [0x48, 0x8b, 0x05], // rax
        [0x48, 0x8b, 0x0d], // rcx
        [0x48, 0x8b, 0x15], // rdx
        [0x48, 0x8b, 0x35], // rsi
        [0x48, 0x8b, 0x3d], // rdi
        [0x4c, 0x8b, 0x05], // r8
        [0x4c, 0x8b, 0x0d], // r9
        [0x4c, 0x8b, 0x15], // r10
        [0x4c, 0x8b, 0x1d], // r11
    ];
    for (at, register) in registers.iter().enumerate() {
        load(c, register, 3 + at);
    }
    load(c, &[0xff, 0x25], 12); // jmp [rip of the thread]
    c.resize(CODE, 0xcc);
    code
}

/// Where the thread goes on when the kernel does not see its interrupted system call any more: at the call again,
/// as the kernel would have arranged it (a call that a handler had to fail with EINTR is called again as well).
fn resumed(regs: &Regs) -> Regs {
    const ERESTARTSYS: i64 = -512;
    const ERESTARTNOHAND: i64 = -514;
    const ERESTART_RESTARTBLOCK: i64 = -516;
    let mut regs = *regs;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_and_is_one() {
        assert_eq!(code().len(), CODE);
        assert_eq!(code()[CODE - 1], 0xcc, "the jump was cut off");
        assert_eq!(&code()[..2], &[0x0f, 0x05]);
    }

    #[test]
    fn interrupted_calls_are_called_again() {
        let mut regs = Regs::from_bytes(&[0; 216]);
        regs.set_rip(0x1002).set_orig_rax(35).set_rax(-516i64 as u64);
        assert_eq!((resumed(&regs).rip(), resumed(&regs).rax()), (0x1000, 219));
        regs.set_rax(-514i64 as u64);
        assert_eq!((resumed(&regs).rip(), resumed(&regs).rax()), (0x1000, 35));
        regs.set_rax(-4i64 as u64);
        assert_eq!(resumed(&regs), regs);
    }
}
