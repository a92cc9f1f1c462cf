//! Code to borrow and memory to lend in a stopped process.

use crate::{RemoteCall, Tracee};
use floe_sys::{Error, Result, read_memory};
use std::io;

const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// How much of a mapping is searched at a time.
const PIECE: u64 = 1 << 20;

/// Memory of the target that we mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scratch {
    /// Its address.
    pub addr: u64,
    /// Its length.
    pub len: usize,
}

/// The address of a `syscall` instruction in `pid`: in its vdso, else in any executable mapping.
pub fn find_syscall_insn(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/maps");
    let maps =
        std::fs::read(&path).map_err(|e| Error::new(format!("read {path}"), e).pid(pid as u32))?;
    let mut ranges: Vec<(bool, u64, u64)> =
        maps.split(|&b| b == b'\n').filter_map(executable).collect();
    ranges.sort_by_key(|&(vdso, ..)| !vdso);
    for (_, start, end) in ranges {
        let mut at = start;
        while at < end {
            let mut bytes = vec![0; (end - at).min(PIECE) as usize];
            if read_memory(pid, at, &mut bytes).is_err() {
                break;
            }
            if let Some(i) = bytes.windows(2).position(|w| w == SYSCALL) {
                return Ok(at + i as u64);
            }
            at += bytes.len() as u64;
        }
    }
    Err(Error::because("find a syscall instruction", "no executable mapping has one")
        .pid(pid as u32))
}

/// A line of maps that is executable and no vsyscall page (which cannot be jumped into freely).
fn executable(line: &[u8]) -> Option<(bool, u64, u64)> {
    let mut words = line.split(|&b| b == b' ');
    let range = std::str::from_utf8(words.next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    let wanted = words.next()?.get(2) == Some(&b'x') && !line.ends_with(b"[vsyscall]");
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    wanted.then_some((line.ends_with(b"[vdso]"), start, end))
}

/// Maps `len` bytes of private memory into the target; everything else is left as it was.
pub fn borrow_memory(tracee: &Tracee, insn: u64, len: usize) -> Result<Scratch> {
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let args = [0, len as u64, prot, flags, u64::MAX, 0];
    let addr = one_call(tracee, insn, libc::SYS_mmap, args, "map memory into it")?;
    Ok(Scratch { addr, len })
}

/// Unmaps what [`borrow_memory`] mapped.
pub fn return_memory(tracee: &Tracee, insn: u64, scratch: Scratch) -> Result<()> {
    let args = [scratch.addr, scratch.len as u64, 0, 0, 0, 0];
    one_call(tracee, insn, libc::SYS_munmap, args, "unmap borrowed memory").map(drop)
}

/// One remote call with all signals blocked around it.
fn one_call(tracee: &Tracee, insn: u64, nr: i64, args: [u64; 6], doing: &str) -> Result<u64> {
    let mask = tracee.sigmask()?;
    tracee.set_sigmask(u64::MAX)?;
    let mut remote = RemoteCall::begin(tracee.tid, insn)?;
    let result = remote.call(nr, args, &mut |_| Ok(()));
    remote.finish()?;
    tracee.set_sigmask(mask)?;
    let value = result?;
    if (-4095..0).contains(&value) {
        let cause = io::Error::from_raw_os_error(-value as i32);
        return Err(Error::new(doing, cause).pid(tracee.tid as u32));
    }
    Ok(value as u64)
}
