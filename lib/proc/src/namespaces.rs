//! /proc/PID/ns (namespaces(7)).

use crate::{
    path, unable,
    words::{ascii, decimal, split, unknown, words},
};
use floe_sys::Result;
use nix::fcntl::readlinkat;
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::PathBuf,
};

/// The inode number of a namespace of a process: `mnt`, `pid_for_children`, … `None` where the process has left it at
/// its end, or the kernel has no namespaces of this kind. Needs the right to trace it.
pub fn namespace(pid: u32, name: &str) -> Result<Option<u64>> {
    let link = fs::read_link(path(pid, &format!("ns/{name}")));
    parsed(pid, name, link.map(PathBuf::into_os_string))
}

fn parsed(pid: u32, name: &str, link: io::Result<OsString>) -> Result<Option<u64>> {
    let unable = |cause| unable(pid, &format!("ns/{name}"), cause);
    match link.map(|link| parse(link.as_bytes())) {
        Ok(inode) => inode.map(Some).map_err(unable),
        Err(e) => {
            let error = unable(e);
            if error.errno() == Some(libc::ENOENT) { Ok(None) } else { Err(error) }
        }
    }
}

/// Some namespaces of a process or thread, each as [`namespace`] gives it.
pub fn namespaces_of<const N: usize>(pid: u32, names: [&str; N]) -> Result<[Option<u64>; N]> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let dir = OpenOptions::new().read(true).custom_flags(flags).open(path(pid, "ns"));
    let dir = dir.map_err(|e| unable(pid, "ns", e))?;
    let mut all = [None; N];
    for (inode, name) in all.iter_mut().zip(names) {
        let link = readlinkat(&dir, name).map_err(io::Error::from);
        *inode = parsed(pid, name, link)?;
    }
    Ok(all)
}

/// All namespaces of a process by ascending name.
pub fn namespaces(pid: u32) -> Result<Vec<(String, u64)>> {
    let fail = |e| unable(pid, "ns", e);
    let mut all = Vec::new();
    for entry in fs::read_dir(path(pid, "ns")).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let name = ascii(name.as_bytes(), "a name").map_err(fail)?;
        all.extend(namespace(pid, name)?.map(|inode| (name.to_owned(), inode)));
    }
    all.sort();
    Ok(all)
}

/// Whether a namespace of this name and inode number is the one that the system was started with. Where kernel threads are not
/// to be seen, only those are known that have the same number on every system.
pub fn is_initial_namespace(name: &str, inode: u64) -> Result<bool> {
    // Dynamic numbers begin behind them: PROC_DYNAMIC_FIRST of include/linux/proc_ns.h.
    if (0xefff_fff0..0xf000_0000).contains(&inode) {
        return Ok(true);
    }
    // The kernel thread that starts all others.
    const KTHREADD: u32 = 2;
    match crate::Stat::of(KTHREADD) {
        Ok(stat) if stat.is_kernel_thread() => match namespace(KTHREADD, name) {
            Ok(theirs) => Ok(theirs == Some(inode)),
            Err(e) if matches!(e.errno(), Some(libc::EACCES | libc::EPERM)) => Ok(false),
            Err(e) => Err(e),
        },
        Ok(_) => Ok(false),
        Err(e) if e.is_gone() => Ok(false),
        Err(e) => Err(e),
    }
}

/// `mnt:[4026531841]`
fn parse(link: &[u8]) -> io::Result<u64> {
    const WHAT: &str = "a namespace";
    let (_, inode) = split(link, b':', WHAT)?;
    let inode = inode.strip_prefix(b"[").and_then(|inode| inode.strip_suffix(b"]"));
    decimal(inode.ok_or_else(|| unknown(WHAT))?, WHAT)
}

/// A map of ids of the user namespace of a process (`uid_map`, `gid_map`, `projid_map`; user_namespaces(7)): first id inside, first
/// id in ours, how many.
pub fn id_map(pid: u32, file: &str) -> Result<Vec<(u32, u32, u32)>> {
    let line = |line: &[u8]| {
        let mut words = words(line).map(|word| decimal(word, "a map of ids"));
        let mut next = || words.next().unwrap_or_else(|| Err(unknown("a map of ids")));
        Ok((next()?, next()?, next()?))
    };
    let text = crate::read(pid, file)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(line).collect::<io::Result<_>>().map_err(|e| unable(pid, file, e))
}

/// Whether this process sees all that there are.
///
/// # Errors
/// Where /proc/self/ns cannot be read.
pub fn is_in_initial_pid_namespace() -> Result<bool> {
    let own = namespace(std::process::id(), "pid")?;
    own.map_or(Ok(false), |id| is_initial_namespace("pid", id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn links_are_read() {
        assert_eq!(parse(b"pid_for_children:[4026531836]").unwrap(), 4_026_531_836);
        assert!(["mnt", "mnt:4", "mnt:[]", "mnt:[x]"].iter().all(|l| parse(l.as_bytes()).is_err()));
    }

    #[test]
    fn the_inode_is_that_of_the_file() {
        let me = std::process::id();
        let inode = fs::metadata("/proc/self/ns/mnt").unwrap().ino();
        assert_eq!(namespace(me, "mnt").unwrap(), Some(inode));
        assert!(namespaces(me).unwrap().contains(&("mnt".to_owned(), inode)));
        assert_eq!(namespace(me, "unheard_of").unwrap(), None);
        assert_eq!(namespaces_of(me, ["unheard_of", "mnt"]).unwrap(), [None, Some(inode)]);
        assert!(namespace(1 << 30, "mnt").unwrap_err().is_gone());
        assert!(namespaces_of(1 << 30, ["mnt"]).unwrap_err().is_gone());
    }
}
