//! Code and memory of a stopped process.

use floe_proc::Mapping;
use floe_sys::{Error, Result, read_memory};
use std::ops::Range;

const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// How much of a mapping is searched at a time.
const PIECE: u64 = 1 << 20;

/// Memory that was mapped into the target for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scratch {
    /// Its address.
    pub addr: u64,
    /// Its length, bytes.
    pub len: usize,
}

/// The address of a `syscall` instruction in `pid`: in its vdso, else in any executable mapping.
pub fn find_syscall_insn(pid: i32) -> Result<u64> {
    find_syscall_insn_outside(pid, &(0..0))
}

/// The same, in none of the mappings that begin in `hole`.
pub fn find_syscall_insn_outside(pid: i32, hole: &Range<u64>) -> Result<u64> {
    let all = executables(pid)?.into_iter().filter(|map| !hole.contains(&map.start));
    for Mapping { start, end, .. } in all {
        let mut at = start;
        while at < end {
            let mut bytes = vec![0; (end - at).min(PIECE) as usize];
            if read_memory(pid, at, &mut bytes).is_err() {
                // Behind the end of its file, for example.
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

/// Executable private mappings, the vdso first. The vsyscall page is left out: only its entry points can be called.
pub(crate) fn executables(pid: i32) -> Result<Vec<Mapping>> {
    Ok(executable(&floe_proc::mappings(pid as u32)?))
}

/// Those of these mappings.
pub(crate) fn executable(mappings: &[Mapping]) -> Vec<Mapping> {
    let suits = |map: &&Mapping| map.is_executable() && !map.shared && map.name != b"[vsyscall]";
    let mut all: Vec<Mapping> = mappings.iter().filter(suits).cloned().collect();
    all.sort_by_key(|map| map.name != b"[vdso]");
    all
}
