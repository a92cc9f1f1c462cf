//! A map of bpf(2).

use crate::{Bytes, FileId, Link, MAX_RECORD, Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, BPF_F_MMAPABLE.
pub const MAP_FLAGS: u32 = 1 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10;
/// Bytes of the record beside its content, at most.
const REST: u64 = 1000;
/// Bytes of the record of an entry beside key and value, at most.
const ENTRY: u64 = 20;

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BpfEntry {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// A hash (BPF_MAP_TYPE_HASH) or an array (BPF_MAP_TYPE_ARRAY) that no program uses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BpfMap {
    /// The open file description.
    pub file: FileId,
    /// A process that has it.
    pub pid: Pid,
    /// Its number in the system: one that somebody else has as well is still there.
    pub map: u32,
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries, at most.
    pub max_entries: u32,
    /// BPF_F_*.
    pub flags: u32,
    /// Its name.
    pub name: Bytes,
    /// No call may change it any more (BPF_MAP_FREEZE).
    pub frozen: bool,
    /// What it holds; of an array what is not zero.
    pub entries: Vec<BpfEntry>,
}

impl BpfMap {
    /// Entries of these lengths that a record holds.
    pub fn most(key_size: u32, value_size: u32) -> u64 {
        let one = ENTRY + u64::from(key_size) + u64::from(value_size);
        (MAX_RECORD as u64 - REST) / one
    }
}

impl Resource for BpfMap {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure([1, 2].contains(&self.kind), "it is neither a hash nor an array")?;
        ensure(self.flags & !MAP_FLAGS == 0, "it has flags that there are not")?;
        ensure(self.name.0.len() < 16 && !self.name.0.contains(&0), "its name is none")?;
        ensure(self.entries.len() <= self.max_entries as usize, "it holds more than fits")?;
        let fits = |entry: &BpfEntry| {
            entry.key.0.len() == self.key_size as usize
                && entry.value.0.len() == self.value_size as usize
        };
        ensure(self.entries.iter().all(fits), "an entry has another length")
    }
}
