//! Membership in cgroups (cgroups(7)), and so in cpusets: a tree comes back in those of restore.

use crate::{Result, subject};
use floe_records::{Finding, Findings, Pid};
use std::collections::BTreeMap;

/// Those whose membership is the same text of /proc/PID/cgroup.
struct Members {
    first: u32,
    count: usize,
}

/// Looks at the processes of a tree and their threads; what they have in common is told once.
pub(crate) fn check(pids: &[u32], out: &mut Findings) -> Result<()> {
    let membership = |tid| subject::unless_gone(floe_proc::read(tid, "cgroup"));
    // What has ended is moved into the root of each hierarchy.
    let has_ended = |tid| Ok::<_, floe_sys::Error>(subject::stat(tid)?.is_none_or(|s| s.is_dead()));
    let own = membership(std::process::id())?;
    let mut groups: BTreeMap<Vec<u8>, Members> = BTreeMap::new();
    for &pid in pids {
        for tid in subject::tids(pid)? {
            let text = membership(tid)?;
            if text != own && has_ended(tid)? {
                continue;
            }
            groups.entry(text).or_insert(Members { first: pid, count: 0 }).count += 1;
        }
    }
    // Of one that has just ended.
    groups.remove(&Vec::new());
    let is_one = groups.len() == 1;
    for (text, members) in groups {
        let names = differing(&text, &own);
        if names.is_empty() {
            continue;
        }
        let object = format!("cgroup {names}");
        let problem = "it comes back in that of restore";
        let finding = if is_one {
            Finding::about(object, "cgroup", format!("the tree is in it, and {problem}"))
        } else {
            let problem = format!("{} of the threads are in it, and {problem}", members.count);
            let pid = Pid(members.first);
            Finding::of(pid, object, "cgroup", problem)
        };
        out.lose(finding.hint("run restore in that cgroup"));
    }
    Ok(())
}

/// The lines of one membership that are not in another one, without the numbers of the hierarchies.
fn differing(text: &[u8], own: &[u8]) -> String {
    let lines = |text: &'_ [u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        text.lines().map(str::to_owned).collect()
    };
    let own = lines(own);
    let theirs = lines(text).into_iter().filter(|line| !own.contains(line));
    let names = theirs.map(|line| {
        let name = line.split_once(':').map_or(&*line, |(_, name)| name);
        name.strip_prefix(':').unwrap_or(name).to_owned()
    });
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let own = b"4:memory:/a\n1:name=systemd:/\n0::/\n";
        assert_eq!(differing(own, own), "");
        let theirs = b"4:memory:/b c\n1:name=systemd:/\n0::/app:1\n";
        assert_eq!(differing(theirs, own), "memory:/b c /app:1");
    }
}
