//! The trampoline: code in the target that puts a thread back if its tracer dies.
//!
//! When a tracer dies, the kernel lets its tracees run on with the registers they have at that moment. So a thread that
//! makes system calls for us only ever executes a `syscall` instruction in front of code that restores it, its return
//! path:
//!
//! ```text
//! path:   syscall                      what the tracer asks for
//! path+2: munmap(scratch)              what the tracer has mapped, or nothing
//!         rt_sigprocmask(saved mask)
//!         load the registers that system calls take and clobber
//!         jump to where the thread was
//! ```
//!
//! All other registers, the stack pointer and the flags keep their values throughout, so a signal handler may run
//! anywhere on the path. The code lies where the target has nothing: in the zeros behind the end of the vdso's image
//! (else of another executable mapping), where ptrace may write; the page becomes private to the process, and the bytes
//! become zeros again at the end.

use crate::{Regs, Scratch, Tracee};
use floe_proc::Mapping;
use floe_sys::{Error, Result, read_memory};
use std::{fs::File, mem::offset_of, os::unix::fs::FileExt, time::Duration};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of the code of a return path.
const CODE: usize = 128;
/// Bytes of a return path.
const PATH: usize = CODE + size_of::<Saved>();
/// Bytes of the trampoline.
const LEN: usize = 2 * PATH;
/// Length of the `syscall` instruction that a path begins with.
pub(crate) const SYSCALL: u64 = 2;

/// The two return paths of a trampoline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReturnPath {
    /// The leader's, which stays on it for a whole session.
    Leader,
    /// That of the other threads, one after the other.
    Thread,
}

/// What stands behind the code of a return path.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Saved {
    scratch: u64,
    scratch_len: u64,
    mask: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    rip: u64,
}

/// A trampoline in a stopped process.
#[derive(Debug)]
pub(crate) struct Trampoline {
    pid: i32,
    at: u64,
    mem: File,
}

impl Trampoline {
    /// Finds a place in a process that this thread traces; nothing is written yet.
    pub fn find(pid: i32, mappings: &[Mapping]) -> Result<Self> {
        let mem = memory(pid)?;
        let mut tail = [0; LEN];
        let code = code();
        for map in crate::memory::executable(mappings) {
            let at = map.end - LEN as u64;
            if at < map.start || read_memory(pid, at, &mut tail).is_err() {
                continue;
            }
            // One that a dead tracer has left may be used again.
            if tail.starts_with(&code) || tail.iter().all(|byte| *byte == 0) {
                return Ok(Self { pid, at, mem });
            }
        }
        let what = "no executable mapping has space for a trampoline";
        Err(Error::because("borrow a thread", what).pid(pid as u32))
    }

    /// Writes the return path of a thread that is to go on with `regs` and `mask`; gives its address. It unmaps nothing
    /// yet.
    pub fn build(&self, path: ReturnPath, regs: &Regs, mask: u64) -> Result<u64> {
        let regs = regs.resumed();
        let saved = Saved {
            scratch: 0,
            scratch_len: 0,
            mask,
            rax: regs.rax(),
            rcx: regs.rcx(),
            rdx: regs.rdx(),
            rsi: regs.rsi(),
            rdi: regs.rdi(),
            r8: regs.r8(),
            r9: regs.r9(),
            r10: regs.r10(),
            r11: regs.r11(),
            rip: regs.rip(),
        };
        let at = self.address(path);
        self.write(at, &[&code(), saved.as_bytes()].concat())?;
        Ok(at)
    }

    /// Changes what the path unmaps.
    pub fn set_scratch(&self, path: ReturnPath, scratch: Option<Scratch>) -> Result<()> {
        const { assert!(offset_of!(Saved, scratch) == 0 && offset_of!(Saved, scratch_len) == 8) };
        let range = scratch.map_or([0, 0], |s| [s.addr, s.len as u64]);
        self.write(self.address(path) + CODE as u64, range.as_bytes())
    }

    /// Takes it away; no thread may be on one of its paths.
    pub fn remove(self) -> Result<()> {
        self.write(self.at, &[0; LEN])
    }

    /// Takes it out of the memory of a copy of the process.
    pub fn remove_of(&self, copy: i32) -> Result<()> {
        let other = Self { pid: copy, at: self.at, mem: memory(copy)? };
        other.remove()
    }

    fn address(&self, path: ReturnPath) -> u64 {
        match path {
            ReturnPath::Leader => self.at,
            ReturnPath::Thread => self.at + PATH as u64,
        }
    }

    /// Writes to memory of the process that need not be writable.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.mem
            .write_all_at(bytes, at)
            .map_err(|e| Error::new("write code", e).pid(self.pid as u32))
    }
}

/// Memory of a process that this thread traces, to be written to.
fn memory(pid: i32) -> Result<File> {
    let file = File::options().write(true).open(floe_proc::path(pid as u32, "mem"));
    file.map_err(|e| floe_proc::unable(pid as u32, "mem", e))
}

/// How long a thread may take to get back, in steps of [`STEP`].
const STEPS: u32 = 10_000;
const STEP: Duration = Duration::from_micros(100);

/// Lets a seized thread finish the return path that a dead tracer has left it on. To be called before anything else is
/// done with a thread.
pub fn recover(tracee: &mut Tracee) -> Result<()> {
    for _ in 0..STEPS {
        if !is_returning(tracee)? {
            return Ok(());
        }
        let running = tracee.cont(0)?;
        std::thread::sleep(STEP);
        running.stop()?;
    }
    let what = "it does not return from where a dead tracer has left it";
    Err(Error::because("stop it", what).pid(tracee.tid as u32))
}

/// On a return path, or in memory that it unmaps, where code of ours leads to it.
fn is_returning(tracee: &Tracee) -> Result<bool> {
    const PAGE: u64 = 4096;
    let rip = tracee.regs()?.rip();
    // A trampoline stands at the end of a page.
    let at = (rip & !(PAGE - 1)) + PAGE - LEN as u64;
    if rip >= at && is_trampoline(tracee.tid, at) {
        return Ok(true);
    }
    // Code of ours runs with nearly all signals blocked: of few other threads is it worth looking further.
    if tracee.sigmask()?.count_zeros() > 3 {
        return Ok(false);
    }
    let mut places =
        crate::memory::executables(tracee.tid)?.into_iter().map(|m| m.end - LEN as u64);
    let Some(at) = places.find(|at| is_trampoline(tracee.tid, *at)) else { return Ok(false) };
    let mut paths = [0; LEN];
    read_memory(tracee.tid, at, &mut paths)?;
    Ok(paths.as_chunks::<PATH>().0.iter().any(|path| {
        let saved = Saved::read_from_bytes(&path[CODE..]);
        saved.is_ok_and(|saved| rip.wrapping_sub(saved.scratch) < saved.scratch_len)
    }))
}

fn is_trampoline(pid: i32, at: u64) -> bool {
    let mut bytes = [0; CODE];
    // What cannot be read is none.
    read_memory(pid, at, &mut bytes).is_ok() && bytes[..] == code()
}

/// The code of a return path. Nothing in it changes a flag or the stack.
fn code() -> Vec<u8> {
    let mut code = vec![0x0f, 0x05];
    // An instruction whose operand, relative to the next instruction, is a word behind the code.
    let load = |code: &mut Vec<u8>, instruction: &[u8], word: usize| {
        let next = code.len() + instruction.len() + 4;
        code.extend_from_slice(instruction);
        code.extend_from_slice(&((CODE + word - next) as u32).to_le_bytes());
    };
    let c = &mut code;
    c.extend([0xb8, 11, 0, 0, 0]); // mov eax, SYS_munmap
    load(c, &[0x48, 0x8b, 0x3d], offset_of!(Saved, scratch)); // mov rdi, [scratch]
    load(c, &[0x48, 0x8b, 0x35], offset_of!(Saved, scratch_len)); // mov rsi, [scratch_len]
    c.extend([0x0f, 0x05]);
    c.extend([0xb8, 14, 0, 0, 0]); // mov eax, SYS_rt_sigprocmask
    c.extend([0xbf, 2, 0, 0, 0]); // mov edi, SIG_SETMASK
    load(c, &[0x48, 0x8d, 0x35], offset_of!(Saved, mask)); // lea rsi, [mask]
    c.extend([0xba, 0, 0, 0, 0]); // mov edx, 0
    c.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8
    c.extend([0x0f, 0x05]);
    load(c, &[0x48, 0x8b, 0x05], offset_of!(Saved, rax)); // mov rax, [rax]
    load(c, &[0x48, 0x8b, 0x0d], offset_of!(Saved, rcx));
    load(c, &[0x48, 0x8b, 0x15], offset_of!(Saved, rdx));
    load(c, &[0x48, 0x8b, 0x35], offset_of!(Saved, rsi));
    load(c, &[0x48, 0x8b, 0x3d], offset_of!(Saved, rdi));
    load(c, &[0x4c, 0x8b, 0x05], offset_of!(Saved, r8));
    load(c, &[0x4c, 0x8b, 0x0d], offset_of!(Saved, r9));
    load(c, &[0x4c, 0x8b, 0x15], offset_of!(Saved, r10));
    load(c, &[0x4c, 0x8b, 0x1d], offset_of!(Saved, r11));
    load(c, &[0xff, 0x25], offset_of!(Saved, rip)); // jmp [rip]
    c.resize(CODE, 0xcc);
    code
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
}
