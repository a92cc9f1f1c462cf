//! Ends of pipes, and which pipes belong to the world outside of the tree.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    object::tcp_connection::duplicate,
    origin,
    resource::OfFile,
};
use floe_records::{AnyRecord, Bytes, External, FileId, Findings, NsKind, ObjectId, Pid, Pipe};
use floe_sys::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt},
        },
    },
};

impl OfFile for Pipe {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_fifo() && seen.link.starts_with(b"pipe:") && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let (dev, ino) = seen.inode();
        Ok(Pipe { file, pipe: ObjectId { dev, ino } })
    }

    /// A pipe of which one end is held outside of the tree, and not inside, is the outside's.
    fn relate(files: &mut Files, _: &mut Findings) -> Result<()> {
        files.own_pipes = own_pipes(files)?;
        let foreign: Vec<(FileId, u64)> = (files.of::<Pipe>())
            .filter_map(|(open, what)| {
                let pipe = pipe_of(what).filter(|pipe| !files.own_pipes.contains(pipe))?;
                Some((open.id, pipe.ino))
            })
            .collect();
        for (file, ino) in foreign {
            let what = Bytes::from(&*format!("pipe:[{ino}]"));
            files.replace(file, External { file, what });
        }
        Ok(())
    }
}

/// The pipe behind a description, named or not.
pub(crate) fn pipe_of(what: &AnyRecord) -> Option<ObjectId> {
    match what {
        AnyRecord::Pipe(pipe) => Some(pipe.pipe),
        AnyRecord::Fifo(fifo) => Some(fifo.name.object()),
        _ => None,
    }
}

/// The pipes whose contents are the tree's.
fn own_pipes(files: &Files) -> Result<BTreeSet<ObjectId>> {
    let mut ends: BTreeMap<ObjectId, (bool, bool, bool)> = BTreeMap::new();
    for (open, what) in &files.all {
        if let Some(pipe) = pipe_of(what) {
            let (reads, writes, fifo) = ends.entry(pipe).or_default();
            *reads |= open.reads();
            *writes |= open.writes();
            *fifo |= matches!(what, AnyRecord::Fifo(_));
        }
    }
    // Every process that knows the name of a pipe may have opened it, so nothing but a look tells.
    let open = ends.iter().filter(|(_, (reads, writes, fifo))| *fifo || !(*reads && *writes));
    let open: BTreeSet<ObjectId> = open.map(|(pipe, _)| *pipe).collect();
    let mut foreign = BTreeSet::new();
    if !open.is_empty() {
        foreign = held_outside(&open, &files.pids)?;
        if !sees_all()? {
            let alone = ends.iter().filter(|(_, (reads, writes, fifo))| !*fifo && reads != writes);
            let alone: BTreeSet<ObjectId> = alone.map(|(pipe, _)| *pipe).collect();
            foreign.extend(held_somewhere(files, &alone)?);
        }
    }
    Ok(ends.into_keys().filter(|pipe| !foreign.contains(pipe)).collect())
}

/// Whether /proc shows what is outside of the tree: it does not in a pid namespace that we have gone into.
fn sees_all() -> Result<bool> {
    Ok(!origin::has_left(NsKind::Pid)?)
}

/// Those of them, of which the tree has one end, whose other end is open: its own end tells.
fn held_somewhere(files: &Files, pipes: &BTreeSet<ObjectId>) -> Result<BTreeSet<ObjectId>> {
    let mut held = BTreeSet::new();
    for (open, what) in files.of::<Pipe>() {
        let Some(pipe) = pipe_of(what).filter(|pipe| pipes.contains(pipe)) else { continue };
        let Some((pid, fd)) = files.place(open.id) else { continue };
        // It may be closed by now; that shows again when it stands still.
        let Ok(end) = duplicate(pid, fd) else { continue };
        let mut polled = [PollFd::new(end.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).map_err(|e| Error::new("look at a pipe", e))?;
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        if !polled[0].revents().is_some_and(|found| found.intersects(gone)) {
            held.insert(pipe);
        }
    }
    Ok(held)
}

fn held_outside(pipes: &BTreeSet<ObjectId>, pids: &[Pid]) -> Result<BTreeSet<ObjectId>> {
    let inside: BTreeSet<u32> = pids.iter().map(|pid| pid.0).collect();
    let numbers: BTreeMap<u64, ObjectId> = pipes.iter().map(|pipe| (pipe.ino, *pipe)).collect();
    let mut held = BTreeSet::new();
    let own = std::process::id();
    // We ourselves hold duplicates.
    let others = floe_proc::numbers_in("/proc")?.into_iter();
    for pid in others.filter(|pid| !inside.contains(pid) && *pid != own) {
        // A process that ends meanwhile holds nothing.
        for entry in std::fs::read_dir(floe_proc::path(pid, "fd")).into_iter().flatten().flatten() {
            let Ok(link) = std::fs::read_link(entry.path()) else { continue };
            let link = link.as_os_str().as_bytes();
            // A named pipe shows its name, which tells nothing: only a stat(2) does.
            let number = match link.strip_prefix(b"pipe:[").and_then(|end| end.strip_suffix(b"]")) {
                Some(number) => std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()),
                None if !link.starts_with(b"/") => None,
                None => std::fs::metadata(entry.path())
                    .ok()
                    .filter(|meta| meta.file_type().is_fifo())
                    .map(|meta| meta.ino()),
            };
            held.extend(number.and_then(|number| numbers.get(&number)));
        }
    }
    Ok(held)
}
