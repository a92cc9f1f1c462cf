//! NUMA policies of single mappings (mbind(2)). That of a thread is carried.

use crate::{Result, subject::Process};
use floe_records::{Finding, Findings, Pid};
use std::{collections::BTreeMap, fs, sync::OnceLock};

const NODES: &str = "/sys/devices/system/node/has_memory";
const DEFAULT: &str = "default";

/// Looks at a process; with one node alone every policy says the same.
pub(crate) fn check(process: &Process<'_>, out: &mut Findings) -> Result<()> {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    // `0`, or `0-1`, or `0,2`; a kernel without nodes has no such file.
    let several = || fs::read_to_string(NODES).is_ok_and(|text| text.contains(['-', ',']));
    if !SEVERAL.get_or_init(several) {
        return Ok(());
    }
    let text = floe_proc::read(process.pid, "numa_maps")?;
    let vdso = process.vdso().map(|(start, _)| start.0);
    for (policy, (first, count)) in policies(&String::from_utf8_lossy(&text), vdso) {
        let object = format!("memory policy {policy} of {count} mappings, the first at {first:x}");
        let problem = "they come back without it";
        out.lose(Finding::of(Pid(process.pid), object, "mapping.policy", problem));
    }
    Ok(())
}

/// Policies that mappings have of their own: by their text the first address and how many have it. Where a mapping has none,
/// that of the thread is shown, as it is for the vdso.
fn policies(text: &str, vdso: Option<u64>) -> BTreeMap<&str, (u64, usize)> {
    let all: Vec<(u64, &str)> = text.lines().filter_map(policy).collect();
    let of_thread = all.iter().find(|(start, _)| Some(*start) == vdso).map_or(DEFAULT, |it| it.1);
    let mut found = BTreeMap::new();
    for (start, policy) in all.into_iter().filter(|(_, policy)| *policy != of_thread) {
        found.entry(policy).or_insert((start, 0)).1 += 1;
    }
    found
}

/// The start of a mapping and its policy, two words of which have a blank in them: `prefer (many)`, `weighted interleave`.
fn policy(line: &str) -> Option<(u64, &str)> {
    let (start, rest) = line.split_once(' ')?;
    let first = rest.split(' ').next()?;
    let words = if matches!(first, "prefer" | "weighted") { 2 } else { 1 };
    let end = rest.match_indices(' ').nth(words - 1).map_or(rest.len(), |(at, _)| at);
    Some((u64::from_str_radix(start, 16).ok()?, &rest[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
400000 default file=/bin/cat mapped=5 N0=5 kernelpagesize_kB=4
600000 bind:0 anon=1 dirty=1 N0=1 kernelpagesize_kB=4
601000 prefer (many)=static:0-1 heap
602000 bind:0
7ffe0000 interleave:0-1
";

    #[test]
    fn policies_are_told_by_their_text() {
        let all = policies(TEXT, None);
        assert_eq!(all["bind:0"], (0x60_0000, 2));
        assert_eq!(all["prefer (many)=static:0-1"], (0x60_1000, 1));
        assert_eq!(all.len(), 3);
        let of_thread = policies(TEXT, Some(0x7ffe_0000));
        assert!(of_thread.contains_key(DEFAULT) && !of_thread.contains_key("interleave:0-1"));
    }
}
