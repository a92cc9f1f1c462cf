//! References to files, as a process sees them.

use floe_proc::Fdinfo;
use floe_records::FileRef;
use floe_sys::Result;
use std::{
    fs::{self, OpenOptions},
    os::fd::AsFd,
    os::unix::{ffi::OsStrExt, ffi::OsStringExt, fs::MetadataExt, fs::OpenOptionsExt},
    path::PathBuf,
};

const DELETED: &[u8] = b" (deleted)";

/// Where the root of the process lies.
pub(crate) fn root_path(pid: u32) -> Result<Vec<u8>> {
    floe_proc::link(pid, "root")
}

/// The file behind a link of /proc/PID: `exe`, `cwd`, `root`.
pub(crate) fn link(pid: u32, name: &str) -> Result<FileRef> {
    let path = floe_proc::link(pid, name)?;
    let fail = |e| floe_proc::unable(pid, name, e);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(floe_proc::path(pid, name))
        .map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    let mnt_id = Some(Fdinfo::of_own(file.as_fd())?.mnt_id);
    let (path, deleted) = without_suffix(pid, path, meta.dev(), meta.ino());
    let (path, outside) = below_root(path, &root_path(pid)?);
    Ok(FileRef { path: path.into(), outside, dev: meta.dev(), ino: meta.ino(), mnt_id, deleted })
}

/// A path as the process sees it, from the path as we see it, and whether it lies outside of its root.
pub(crate) fn below_root(path: Vec<u8>, root: &[u8]) -> (Vec<u8>, bool) {
    if root == b"/" {
        return (path, false);
    }
    match path.strip_prefix(root) {
        Some([]) => (b"/".to_vec(), false),
        Some(rest) if rest[0] == b'/' => (rest.to_vec(), false),
        _ => (path, true),
    }
}

/// Takes ` (deleted)` off where it is the kernel's remark and no part of the name.
///
/// A file that lost this name and has another one beside it (as semaphores of sem_open(3) do) is not deleted: its name is
/// that other one.
pub(crate) fn without_suffix(pid: u32, path: Vec<u8>, dev: u64, ino: u64) -> (Vec<u8>, bool) {
    let Some(bare) = path.strip_suffix(DELETED) else { return (path, false) };
    if leads_to(pid, &path, dev, ino) {
        return (path, false);
    }
    // Unlinked, and linked again under the old name since: still there for whoever opens it.
    if leads_to(pid, bare, dev, ino) {
        return (bare.to_vec(), false);
    }
    match another_name(pid, bare, dev, ino) {
        Some(other) => (other, false),
        None => (bare.to_vec(), true),
    }
}

/// Another name of a file in the directory where it had this one.
fn another_name(pid: u32, path: &[u8], dev: u64, ino: u64) -> Option<Vec<u8>> {
    let cut = path.iter().rposition(|byte| *byte == b'/')?;
    let entries = fs::read_dir(place(pid, &path[..=cut])?).ok()?.flatten();
    let same = entries.filter(|entry| std::os::unix::fs::DirEntryExt::ino(entry) == ino);
    let mut names = same.map(|entry| [&path[..=cut], &entry.file_name().into_vec()].concat());
    names.find(|name| leads_to(pid, name, dev, ino))
}

/// Where we find a path, which we see as /proc/PID shows it to us.
fn place(pid: u32, path: &[u8]) -> Option<PathBuf> {
    let (inner, outside) = below_root(path.to_vec(), &root_path(pid).ok()?);
    let mut full =
        PathBuf::from(if outside { "/".to_owned() } else { format!("/proc/{pid}/root") });
    full.push(std::ffi::OsStr::from_bytes(inner.strip_prefix(b"/").unwrap_or(&inner)));
    Some(full)
}

/// Whether a path is below /proc/PID.
pub(crate) fn of_a_process(path: &[u8]) -> bool {
    let rest = path.strip_prefix(b"/proc/");
    rest.is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// Whether the path, in the mount namespace of the process, leads to this inode.
pub(crate) fn leads_to(pid: u32, path: &[u8], dev: u64, ino: u64) -> bool {
    let found = place(pid, path).and_then(|path| fs::symlink_metadata(path).ok());
    found.is_some_and(|meta| meta.dev() == dev && meta.ino() == ino)
}
