//! Slaves of pseudo terminals that are mounted somewhere, as /dev/console of a container is: they must be there before that is.

use super::bases::Bases;
use floe_mounts::{Workshop, below};
use floe_records::*;
use floe_sys::{Error, Result, TerminalNumber, terminal_number};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// Most pseudo terminals (NR_UNIX98_PTY_MAX).
const MOST: u64 = 1 << 20;

/// Masters of those in instances of devpts that are mounted anew, by what they were.
pub(super) fn make(
    trees: &[&MountTree],
    bases: &Bases<'_>,
    workshop: &Workshop,
) -> Result<BTreeMap<ObjectId, OwnedFd>> {
    let mut wanted: BTreeMap<(u64, usize), BTreeSet<u64>> = BTreeMap::new();
    for tree in trees {
        for mount in &tree.mounts {
            let is_devpts = |system: &MountedSystem| system.fs_type.0 == b"devpts";
            let (Some(index), Some((at, _))) = (index(mount), bases.of(tree.id, mount)) else {
                continue;
            };
            if tree.system(mount.dev).is_some_and(is_devpts) && bases.is_anew(at, mount.dev) {
                wanted.entry((mount.dev, at)).or_default().insert(index);
            }
        }
    }
    let mut made = BTreeMap::new();
    for ((dev, at), indices) in wanted {
        let base = workshop.base(at);
        let gone = || Error::because("make a pseudo terminal", "its devpts is not there");
        let multiplexer = below(base.ok_or_else(gone)?, b"/ptmx")?;
        let last = indices.last().copied().unwrap_or(0);
        // The kernel gives the lowest one that is free, and all are.
        for index in 0..=last {
            let master = master(&multiplexer)?;
            let found = terminal_number(master.as_fd(), TerminalNumber::Index)
                .map_err(|e| Error::new("ask for the index of a pseudo terminal", e))?;
            if found.cast_unsigned() != index as u32 {
                let doing = format!("make pseudo terminal {index}");
                return Err(Error::because(doing, "the kernel gives another index"));
            }
            // What is in between keeps its place until all are there.
            made.insert((indices.contains(&index), ObjectId { dev, ino: index }), master);
        }
    }
    let wanted = made.into_iter().filter(|((wanted, _), _)| *wanted);
    Ok(wanted.map(|((_, id), master)| (id, master)).collect())
}

/// Which slave a mount shows.
fn index(mount: &MountPoint) -> Option<u64> {
    let name = mount.root.0.strip_prefix(b"/")?;
    let index: u64 = std::str::from_utf8(name).ok()?.parse().ok()?;
    (index < MOST).then_some(index)
}

fn master(multiplexer: &OwnedFd) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", multiplexer.as_raw_fd());
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty())
        .map_err(|e| Error::new("open the ptmx of an instance of devpts", e))
}
