//! Character devices without a state of each description but its position.

use crate::descriptor::terminal::is_terminal;
use crate::{
    descriptor_of::{Descriptor, Problem},
    file::kernel_log,
    resource::OfFile,
};
use floe_records::{Bytes, Device, FileId, FileRef, Pid};
use nix::sys::stat::{major, minor};

/// mem, null, port, zero, full, random, urandom; hwrng, kvm, btrfs-control, autofs, loop-control.
const PLAIN: [(u64, u64); 12] = [
    (1, 1),
    (1, 3),
    (1, 4),
    (1, 5),
    (1, 7),
    (1, 8),
    (1, 9),
    (10, 183),
    (10, 232),
    (10, 234),
    (10, 235),
    (10, 237),
];
/// cpu/N/msr, cpu/N/cpuid, each with the number N as its minor.
const OF_CPUS: [u64; 2] = [202, 203];
/// kmsg: one that reads it has a place in the log (`kernel_log.rs`); one that only writes has none.
const KMSG: (u64, u64) = (1, 11);

impl OfFile for Device {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_char_device()
            && !kernel_log::is_read(seen)
            && !is_terminal(seen.stat.rdev)
            && seen.name().is_some()
            && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let device = (major(seen.stat.rdev), minor(seen.stat.rdev));
        let plain = PLAIN.contains(&device) || OF_CPUS.contains(&device.0);
        if !plain && device != KMSG {
            return Err(Problem::new("file.device", "the state of this device cannot be captured"));
        }
        let name = match same_device(seen) {
            Some(name) => name,
            None => seen.file_or_removed()?,
        };
        Ok(Device { file, pid: Pid(seen.pid), name, rdev: seen.stat.rdev })
    }
}

/// Of one that was opened in another mount namespace, as the null device of a container often is: the node of the same device
/// that its path leads to in this one.
fn same_device(seen: &Descriptor<'_>) -> Option<FileRef> {
    let name = seen.name().filter(|name| !name.leads && !name.deleted)?;
    let (found, _) = seen.root().find(&name.path)?;
    let same = found.is_char_device() && found.rdev == seen.stat.rdev;
    let (path, outside) = (Bytes(name.path.clone()), name.outside);
    let (dev, ino) = (found.dev, found.ino);
    same.then_some(FileRef { path, outside, dev, ino, mnt_id: None, deleted: false })
}
