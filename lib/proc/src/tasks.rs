//! Threads and children.

use crate::{
    Stat, path, read,
    read::numbers,
    unable,
    words::{decimal, words},
};
use floe_sys::Result;
use std::io;

/// The thread ids of a process, ascending. A zombie whose threads have all ended has its leader alone.
pub fn tids(pid: u32) -> Result<Vec<u32>> {
    numbers(&path(pid, "task")).map_err(|e| unable(pid, "task", e))
}

/// The children of one thread of a process, in the order of their birth. Complete only when none of them can end or be
/// born meanwhile (proc_tid_children(5)).
pub fn children(pid: u32, tid: u32) -> Result<Vec<u32>> {
    let name = format!("task/{tid}/children");
    let text = match read(pid, &name) {
        // Of a thread that has ended, not of a kernel without this file.
        Err(e)
            if e.errno() == Some(libc::ENOENT) && !path(pid, &format!("task/{tid}")).exists() =>
        {
            return Err(unable(pid, &name, io::Error::from_raw_os_error(libc::ESRCH)));
        }
        other => other?,
    };
    let children = words(&text).map(|word| decimal(word, "a pid"));
    children.collect::<io::Result<_>>().map_err(|e| unable(pid, &name, e))
}

/// Whether a thread has ended, waited for or not.
pub fn is_dead(tid: u32) -> Result<bool> {
    match Stat::of(tid) {
        Ok(stat) => Ok(stat.is_dead()),
        Err(error) if error.is_gone() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a thread has ended, or is about to: what it had may be gone already.
pub fn is_ending(tid: u32) -> Result<bool> {
    match Stat::of(tid) {
        Ok(stat) => Ok(stat.is_dead() || stat.is_exiting()),
        Err(error) if error.is_gone() => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_and_its_end_is_seen() {
        let me = std::process::id();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let all = tids(me).unwrap();
        assert!(all.contains(&me) && all.is_sorted());
        let born = all.iter().filter_map(|&tid| children(me, tid).ok()).flatten();
        assert_eq!(born.filter(|&born| born == pid).count(), 1);
        assert!(!is_dead(pid).unwrap());
        child.kill().unwrap();
        while !is_dead(pid).unwrap() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dead(pid).unwrap());
        assert!(tids(pid).unwrap_err().is_gone());
        assert!(children(me, pid).unwrap_err().is_gone(), "no thread of ours");
    }
}
