//! Pipes and named pipes: who holds their ends, and what is queued in them.

use crate::{Result, error::refusal_of};
use floe_records::{Bytes, FileKind, ObjectId, OpenFile, Pid, PipeData};
use floe_sys::{Error, pipe_queued, pipe_size, set_pipe_size, tee};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// PIPE_BUF: nothing longer is a packet.
const PACKET: u32 = 4096;

/// Contents of a pipe without taking them, through a duplicate of its reading end. `packets`: an end for writing is
/// in packet mode (O_DIRECT).
pub fn queued(pipe: ObjectId, end: &OwnedFd, packets: bool) -> Result<(PipeData, Vec<u8>)> {
    let fail = |e| Error::new(format!("copy the contents of pipe {}", pipe.ino), e);
    let refuse = |problem: &str| refusal_of(format!("pipe {}", pipe.ino), problem);
    let capacity = pipe_size(end.as_fd())?;
    let len = pipe_queued(end.as_fd()).map_err(fail)?;
    let mut bytes = vec![0; len];
    let mut lengths = Vec::new();
    if len > 0 {
        let (from, to) = nix::unistd::pipe().map_err(|e| fail(e.into()))?;
        // As many slots as the original has: short writes take a slot each.
        set_pipe_size(to.as_fd(), capacity)?;
        if tee(end.as_fd(), to.as_fd(), len).map_err(fail)? != len {
            return Err(refuse("what is queued in it cannot be copied whole"));
        }
        // A read ends at the end of a packet, in the copy as well.
        let (mut from, mut done) = (File::from(from), 0);
        while done < len {
            let read = from.read(&mut bytes[done..]).map_err(fail)?;
            done += read;
            lengths.push(read as u32);
        }
    }
    if lengths.len() < 2 && !packets {
        lengths.clear();
    } else if lengths.iter().any(|&length| length > PACKET) {
        return Err(refuse("packets and other bytes are mixed in it"));
    }
    let data = PipeData { pipe, capacity: capacity as u32, len: len as u32, packets: lengths };
    Ok((data, bytes))
}

/// Whether somebody in the tree writes packets into this pipe.
pub fn in_packets(files: &[OpenFile], pipe: ObjectId) -> bool {
    let writes = |file: &&OpenFile| file.flags & 3 != 0 && file.flags & libc::O_DIRECT as u32 != 0;
    files.iter().filter(writes).any(|file| pipe_of(&file.what) == Some(pipe))
}

/// An end for reading of a named pipe.
pub(super) fn reading_end(end: &OwnedFd) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).map_err(|e| Error::new("open a named pipe", e).into())
}

fn pipe_of(what: &FileKind) -> Option<ObjectId> {
    match what {
        FileKind::Pipe(pipe) => Some(*pipe),
        FileKind::Fifo(file) => Some(ObjectId { dev: file.dev, ino: file.ino }),
        _ => None,
    }
}

/// A pipe of which one end is held outside of the tree, and not inside, is the outside's. Gives the pipes whose
/// contents are the tree's.
pub(super) fn tell_foreign(files: &mut [OpenFile], pids: &[Pid]) -> BTreeSet<ObjectId> {
    let mut ends: BTreeMap<ObjectId, (bool, bool, bool)> = BTreeMap::new();
    for file in files.iter() {
        if let Some(pipe) = pipe_of(&file.what) {
            let (reads, writes, fifo) = ends.entry(pipe).or_default();
            *reads |= file.flags & 3 != 1;
            *writes |= file.flags & 3 != 0;
            *fifo = matches!(file.what, FileKind::Fifo(_));
        }
    }
    // Whoever has the name of a pipe may have opened it, so nothing but a look tells.
    let open = ends.iter().filter(|(_, (reads, writes, fifo))| *fifo || !(*reads && *writes));
    let open: BTreeSet<ObjectId> = open.map(|(pipe, _)| *pipe).collect();
    let foreign = if open.is_empty() { open } else { held_outside(&open, pids) };
    for file in files {
        if let FileKind::Pipe(pipe) = file.what
            && foreign.contains(&pipe)
        {
            file.what = FileKind::External(Bytes::from(&*format!("pipe:[{}]", pipe.ino)));
        }
    }
    ends.into_keys().filter(|pipe| !foreign.contains(pipe)).collect()
}

fn held_outside(pipes: &BTreeSet<ObjectId>, pids: &[Pid]) -> BTreeSet<ObjectId> {
    let mut held = BTreeSet::new();
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // We ourselves hold duplicates.
    for pid in others.filter(|pid| !pids.contains(&Pid(*pid)) && *pid != own) {
        // A process that ends meanwhile holds nothing.
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
            if meta.file_type().is_fifo() {
                let pipe = ObjectId { dev: meta.dev(), ino: meta.ino() };
                held.extend(pipes.get(&pipe));
            }
        }
    }
    held
}
