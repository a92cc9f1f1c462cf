//! Block devices. Nothing shows whether one was opened with O_EXCL of open(2), which keeps all others from doing the same; so
//! this is tried when the process stands still, without a moment in which it could meet our claim itself.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    on_mounts,
    resource::OfFile,
};
use floe_records::{BlockDevice, FileId, Pid};
use nix::{
    fcntl::OFlag,
    sys::stat::{major, minor},
};

const RULE: &str = "file.block";

impl OfFile for BlockDevice {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_block_device() && seen.name().is_some() && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        if seen.context.held && !seen.context.taking {
            look_for_claim(seen)?;
        }
        let (pid, name) = (Pid(seen.pid), seen.file_or_removed()?);
        Ok(BlockDevice { file, pid, name, rdev: seen.stat.rdev })
    }
}

/// A device is claimed by one holder: where that is a file system, it is no descriptor.
fn look_for_claim(seen: &Descriptor<'_>) -> Result<(), Problem> {
    let claim = OFlag::O_RDONLY | OFlag::O_EXCL | OFlag::O_NONBLOCK;
    match seen.open_again(claim) {
        Ok(_) => Ok(()),
        Err(error) if error.errno() == Some(libc::EBUSY) => {
            if has_other_holder(seen) {
                return Ok(());
            }
            let problem = "it is open exclusively (O_EXCL), here or elsewhere";
            Err(Problem::new(RULE, problem))
        }
        Err(error) => {
            let problem =
                format!("whether it is open exclusively (O_EXCL) cannot be told: {error}");
            Err(Problem::new(RULE, problem))
        }
    }
}

/// Whether it is mounted, or part of another device.
fn has_other_holder(seen: &Descriptor<'_>) -> bool {
    let rdev = seen.stat.rdev;
    let mounts = on_mounts::seen_by(seen.pid, seen.root());
    if mounts.is_ok_and(|all| all.iter().any(|mount| mount.dev == rdev)) {
        return true;
    }
    let holders = format!("/sys/dev/block/{}:{}/holders", major(rdev), minor(rdev));
    std::fs::read_dir(holders).is_ok_and(|mut all| all.next().is_some())
}
