//! Pipes: who holds their ends, and what is queued in them.

use crate::Result;
use floe_records::{Bytes, FileKind, OpenFile, Pid, PipeData};
use floe_sys::{Error, pipe_queued, pipe_size, set_pipe_size, tee};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

/// Contents of a pipe without taking them, through a duplicate of its reading end.
pub fn queued(ino: u64, end: &OwnedFd) -> Result<(PipeData, Vec<u8>)> {
    let fail = |e| Error::new(format!("copy the contents of pipe {ino}"), e);
    let capacity = pipe_size(end.as_fd())?;
    let len = pipe_queued(end.as_fd()).map_err(fail)?;
    let mut bytes = vec![0; len];
    if len > 0 {
        let (from, to) = nix::unistd::pipe().map_err(|e| fail(e.into()))?;
        // As many slots as the original has: short writes take a slot each.
        set_pipe_size(to.as_fd(), capacity)?;
        if tee(end.as_fd(), to.as_fd(), len).map_err(fail)? != len {
            return Err(fail(std::io::Error::other("it cannot be copied whole")).into());
        }
        File::from(from).read_exact(&mut bytes).map_err(fail)?;
    }
    Ok((PipeData { pipe: ino, capacity: capacity as u32, len: len as u32 }, bytes))
}

/// A pipe of which one end is held outside of the tree, and not inside, is the outside's.
pub(super) fn tell_foreign(files: &mut [OpenFile], pids: &[Pid]) -> Result<()> {
    let mut ends: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
    for file in files.iter() {
        if let FileKind::Pipe(ino) = file.what {
            let (reads, writes) = ends.entry(ino).or_default();
            *reads |= file.flags & 3 != 1;
            *writes |= file.flags & 3 != 0;
        }
    }
    let open: BTreeSet<u64> =
        ends.iter().filter(|(_, (r, w))| !(*r && *w)).map(|(ino, _)| *ino).collect();
    let foreign = if open.is_empty() { open } else { held_outside(&open, pids) };
    for file in files {
        if let FileKind::Pipe(ino) = file.what
            && foreign.contains(&ino)
        {
            file.what = FileKind::External(Bytes::from(&*format!("pipe:[{ino}]")));
        }
    }
    Ok(())
}

fn held_outside(pipes: &BTreeSet<u64>, pids: &[Pid]) -> BTreeSet<u64> {
    let mut held = BTreeSet::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in others.filter(|pid| !pids.contains(&Pid(*pid))) {
        // A process that ends meanwhile holds nothing.
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(link) = std::fs::read_link(entry.path()) else { continue };
            let ino = link
                .to_str()
                .and_then(|l| l.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok());
            held.extend(ino.filter(|ino| pipes.contains(ino)));
        }
    }
    held
}
