//! Descriptors that cannot be captured.

use crate::{Result, preflight::refusal, proc};
use floe_records::Refusal;
use std::{collections::HashMap, fs, os::unix::fs::FileTypeExt};

/// Kernel objects behind descriptors that `dumpfs` knows.
const KNOWN: [&str; 4] = ["[eventpoll]", "[eventfd]", "[timerfd]", "[signalfd]"];
/// TCP_LISTEN and TCP_CLOSE as /proc/net/tcp prints them.
const QUIET: [&str; 2] = ["0A", "07"];

pub(crate) fn check(pid: u32, out: &mut Vec<Refusal>) -> Result<()> {
    let mut sockets = None;
    for fd in proc::numbers_in(&format!("/proc/{pid}/fd")) {
        let path = format!("/proc/{pid}/fd/{fd}");
        let Ok(link) = fs::read_link(&path) else { continue };
        let link = link.to_string_lossy();
        let problem = if let Some(kind) = link.strip_prefix("anon_inode:") {
            (!KNOWN.contains(&kind)).then_some(("this kind of descriptor cannot be captured", ""))
        } else if let Some(ino) = inode(&link, "socket:[") {
            sockets.get_or_insert_with(|| blocked_sockets(pid)).get(&ino).copied()
        } else if link.starts_with("pipe:[") {
            None
        } else if link.starts_with('/') {
            let block = fs::metadata(&path).is_ok_and(|m| m.file_type().is_block_device());
            block.then_some(("open block devices cannot be captured", ""))
        } else {
            Some(("this kind of descriptor cannot be captured", ""))
        };
        if let Some((problem, hint)) = problem {
            out.push(refusal(pid, &format!("fd {fd} ({link})"), problem, hint));
        }
    }
    Ok(())
}

fn inode(link: &str, prefix: &str) -> Option<u64> {
    link.strip_prefix(prefix)?.strip_suffix(']')?.parse().ok()
}

/// Inodes of the sockets of the process' network namespace that cannot be captured, and why.
fn blocked_sockets(pid: u32) -> HashMap<u64, (&'static str, &'static str)> {
    let mut all = HashMap::new();
    let mut add = |name: &str, column: usize, ok: &[&str], why: (&'static str, &'static str)| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            let quiet = words.get(3).is_some_and(|state| ok.contains(state));
            if !quiet && let Some(ino) = words.get(column).and_then(|w| w.parse().ok()) {
                all.insert(ino, why);
            }
        }
    };
    let connected = ("established TCP connections cannot be captured", "close the connection");
    let other = ("this kind of socket cannot be captured", "");
    add("tcp", 9, &QUIET, connected);
    add("tcp6", 9, &QUIET, connected);
    add("raw", 9, &[], other);
    add("raw6", 9, &[], other);
    add("netlink", 9, &[], other);
    add("packet", 8, &[], other);
    // A closed connection that nobody holds any more has no inode.
    all.remove(&0);
    all
}
