//! Where processes and unions are described: in /proc and /sys, or in recordings of them.

use floe_unions::Given;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `/sys/fs/aufs`, or a copy.
    pub sysfs: PathBuf,
    /// `/proc`, or a copy, or a directory that holds the files of a single process.
    pub proc: PathBuf,
    /// Branches for AUFS mounts whose branches are not to be seen otherwise.
    pub branches: Option<Given>,
}

impl Sources {
    /// The directory of a process.
    pub fn process(&self, pid: u32) -> PathBuf {
        if self.is_single() { self.proc.clone() } else { self.proc.join(pid.to_string()) }
    }

    /// Whether it holds the files of one process.
    pub fn is_single(&self) -> bool {
        self.proc.join("maps").exists()
    }

    /// The processes that are recorded in it, 0 for one without a number; none where it is a live system.
    pub fn recordings(&self) -> Vec<u32> {
        if self.is_single() {
            return vec![0];
        }
        let entries = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let recorded = |pid: &u32| !self.is_live() && self.process(*pid).join("maps").exists();
        let mut pids: Vec<u32> = entries.filter_map(pid).filter(recorded).collect();
        pids.sort_unstable();
        pids
    }

    /// Whether what is shown is there to be compared with.
    pub fn is_live(&self) -> bool {
        self.proc == Path::new("/proc")
    }
}

/// Lines `KEY VALUE` of a recording; empty where there is no such file.
pub fn table(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let text = fs::read(path).unwrap_or_default();
    let pair = |line: &[u8]| {
        let at = line.iter().position(|b| *b == b' ')?;
        Some((line[..at].to_vec(), line[at + 1..].to_vec()))
    };
    text.split(|b| *b == b'\n').filter_map(pair).collect()
}
