//! Descriptors that cannot be captured.

use crate::{
    Result,
    files::{self, SocketRules},
    preflight::refusal,
    proc,
};
use floe_records::Refusal;
use std::{
    fs,
    os::{fd::AsFd, unix::fs::FileTypeExt},
};

/// Kernel objects behind descriptors that `dumpfs` knows.
const KNOWN: [&str; 4] = ["[eventpoll]", "[eventfd]", "[timerfd]", "[signalfd]"];

pub(crate) fn check(pid: u32, rules: SocketRules, out: &mut Vec<Refusal>) -> Result<()> {
    let handle = floe_sys::pidfd_open(pid as i32)?;
    for fd in proc::numbers_in(&format!("/proc/{pid}/fd")) {
        let path = format!("/proc/{pid}/fd/{fd}");
        let Ok(link) = fs::read_link(&path) else { continue };
        let link = link.to_string_lossy();
        let kind = ("this kind of descriptor cannot be captured".to_owned(), "");
        let problem = if let Some(name) = link.strip_prefix("anon_inode:") {
            (!KNOWN.contains(&name)).then_some(kind)
        } else if let Some(ino) = inode(&link, "socket:[") {
            // The target may close it while we look: then it is gone and blocks nothing.
            let duplicate = floe_sys::pidfd_getfd(handle.as_fd(), fd as i32).ok();
            duplicate.and_then(|fd| files::socket(pid, ino, fd.as_fd(), rules).err())
        } else if link.starts_with("pipe:[") {
            None
        } else if link.starts_with('/') {
            match fs::metadata(&path) {
                Ok(meta) if meta.file_type().is_block_device() => {
                    Some(("open block devices cannot be captured".to_owned(), ""))
                }
                Ok(meta) => {
                    files::refused(link.as_bytes(), &meta).err().map(|why| (why.to_owned(), ""))
                }
                // Closed meanwhile.
                Err(_) => None,
            }
        } else {
            Some(kind)
        };
        let problem = problem.or_else(|| {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
            files::locks(&info).err().map(|problem| (problem.to_owned(), ""))
        });
        if let Some((problem, hint)) = problem {
            out.push(refusal(pid, &format!("fd {fd} ({link})"), &problem, hint));
        }
    }
    Ok(())
}

fn inode(link: &str, prefix: &str) -> Option<u64> {
    link.strip_prefix(prefix)?.strip_suffix(']')?.parse().ok()
}
