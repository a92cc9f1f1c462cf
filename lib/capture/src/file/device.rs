//! Character devices without a state.

use crate::descriptor::terminal::is_terminal;
use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Device, FileId, Pid};
use nix::sys::stat::{major, minor};

/// null, zero, full, random, urandom.
const PLAIN: [(u64, u64); 5] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)];

impl OfFile for Device {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_char_device()
            && !is_terminal(seen.stat.rdev)
            && seen.name().is_some()
            && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let device = (major(seen.stat.rdev), minor(seen.stat.rdev));
        if !PLAIN.contains(&device) {
            return Err(Problem::new("file.device", "the state of this device cannot be captured"));
        }
        Ok(Device { file, pid: Pid(seen.pid), name: seen.file_or_removed()?, rdev: seen.stat.rdev })
    }
}
