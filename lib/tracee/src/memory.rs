//! Code to borrow and memory to lend in a stopped process.

use floe_sys::{Error, Result, read_memory};

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
    for (start, end) in executables(pid)? {
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

/// Executable private mappings, the vdso first.
pub(crate) fn executables(pid: i32) -> Result<Vec<(u64, u64)>> {
    let mut ranges = ranges(pid)?;
    ranges.retain(|(.., line)| executable(line));
    ranges.sort_by_key(|(.., line)| !line.ends_with(b"[vdso]"));
    Ok(ranges.into_iter().map(|(start, end, _)| (start, end)).collect())
}

/// Start, end and the rest of each line of maps.
pub(crate) fn ranges(pid: i32) -> Result<Vec<(u64, u64, Vec<u8>)>> {
    let path = format!("/proc/{pid}/maps");
    let maps =
        std::fs::read(&path).map_err(|e| Error::new(format!("read {path}"), e).pid(pid as u32))?;
    Ok(maps.split(|&b| b == b'\n').filter_map(range).collect())
}

fn range(line: &[u8]) -> Option<(u64, u64, Vec<u8>)> {
    let space = line.iter().position(|b| *b == b' ')?;
    let (start, end) = std::str::from_utf8(&line[..space]).ok()?.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some((hex(start)?, hex(end)?, line[space + 1..].to_vec()))
}

/// Executable and private, and no vsyscall page (which cannot be jumped into freely).
fn executable(rest: &[u8]) -> bool {
    rest.get(2) == Some(&b'x') && rest.get(3) == Some(&b'p') && !rest.ends_with(b"[vsyscall]")
}
