//! Room for copies of processes: memory, and processes where a cgroup limits them.
//!
//! When the tree runs on, each page that it writes to takes another one. Where there is not as much memory as all of it
//! would take, it could be killed for that, so nothing is copied.

use crate::{copies::own_bytes, held::Held};
use floe_cgroups::{Mounts, lines};
use floe_sys::{Error, Result};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What there is.
pub(crate) struct Room {
    /// Bytes that copies may come to take.
    wanted: u64,
    /// Bytes that there are.
    memory: u64,
    /// Our own cgroups of hierarchies in which a process that is to be copied is in one with a limit of processes.
    apart: BTreeSet<PathBuf>,
}

impl Room {
    /// Looks at the system and at the cgroups of these processes.
    pub fn of(processes: &[&Held]) -> Result<Self> {
        let mut room = Self { wanted: 0, memory: available()?, apart: BTreeSet::new() };
        let mounts = Mounts::read()?;
        let own = read("/proc/self/cgroup")?;
        let mut seen = BTreeSet::new();
        for held in processes {
            room.wanted += own_bytes(held)?;
            let theirs = read(&format!("/proc/{}/cgroup", held.pid))?;
            if seen.insert(theirs.clone()) {
                lines(&theirs).zip(lines(&own)).for_each(|(line, own)| {
                    room.look((line.hierarchy, line.path, own.path), &mounts)
                });
            }
        }
        Ok(room)
    }

    /// Looks at a cgroup and those above it.
    fn look(&mut self, (hierarchy, path, own): (&[u8], &[u8], &[u8]), mounts: &Mounts) {
        let number = |dir: &Path, name: &str| -> Option<u64> {
            // Without a limit there is a word, or no such file.
            fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
        };
        let mut limits_processes = false;
        for above in Path::new(std::ffi::OsStr::from_bytes(path)).ancestors() {
            let all = mounts.directories(hierarchy, above.as_os_str().as_bytes());
            let Some(dir) = all.first() else { continue };
            limits_processes |= number(dir, "pids.max").is_some();
            let pairs = [
                ("memory.max", "memory.current"),
                ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            ];
            for (limit, usage) in pairs {
                if let Some((limit, usage)) = number(dir, limit).zip(number(dir, usage)) {
                    self.memory = self.memory.min(limit.saturating_sub(usage));
                }
            }
        }
        if limits_processes && own != path {
            self.apart.extend(mounts.directories(hierarchy, own).into_iter().next());
        }
    }

    /// Whether there is enough memory.
    pub fn suffices(&self) -> Result<(), String> {
        let Self { wanted, memory, .. } = *self;
        if wanted <= memory {
            return Ok(());
        }
        let mebibytes = |bytes: u64| bytes >> 20;
        Err(format!("there are {} MiB, and {} may be needed", mebibytes(memory), mebibytes(wanted)))
    }

    /// Brings copies out of cgroups with a limit, into ours.
    pub fn move_out(&self, copies: impl Iterator<Item = u32>) -> Result<()> {
        let copies: Vec<u32> = copies.collect();
        for dir in &self.apart {
            let file = dir.join("cgroup.procs");
            for pid in &copies {
                let doing = || format!("write to {}", file.display());
                fs::write(&file, pid.to_string()).map_err(|e| Error::new(doing(), e))?;
            }
        }
        Ok(())
    }
}

/// Memory that the system has, bytes.
fn available() -> Result<u64> {
    let text = read("/proc/meminfo")?;
    let line = text.split(|byte| *byte == b'\n').find_map(|l| l.strip_prefix(b"MemAvailable:"));
    Ok(kibibytes(line.unwrap_or_default()))
}

/// Bytes of a number of kibibytes as /proc writes it (`  123 kB`); 0 where there is none.
pub(crate) fn kibibytes(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    let number = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::new(format!("read {path}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_proc_are_kibibytes() {
        assert_eq!(kibibytes(b"  123 kB"), 123 << 10);
        assert_eq!((kibibytes(b""), kibibytes(b" none kB")), (0, 0));
    }

    #[test]
    fn what_may_be_written_must_fit() {
        let room = |wanted, memory| Room { wanted, memory, apart: BTreeSet::new() };
        assert_eq!(room(5 << 20, 5 << 20).suffices(), Ok(()));
        let why = room(6 << 20, 5 << 20).suffices().unwrap_err();
        assert_eq!(why, "there are 5 MiB, and 6 may be needed");
    }
}
