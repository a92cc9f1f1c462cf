//! What is queued in pipes and named pipes.

use crate::{Result, file::pipe::pipe_of, files::Files, resource::OfObject};
use floe_records::{AnyRecord, Finding, Findings, ObjectId, PipeData};
use floe_sys::{Error, pipe_queued, pipe_size, set_pipe_size, tee};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// PIPE_BUF: nothing longer is a packet.
const PACKET: u32 = 4096;

impl OfObject for PipeData {
    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let mut ends: BTreeMap<ObjectId, (Option<OwnedFd>, BorrowedFd<'_>)> = BTreeMap::new();
        let mut packets = std::collections::BTreeSet::new();
        for (open, what) in &files.all {
            let Some(pipe) = pipe_of(what).filter(|pipe| files.own_pipes.contains(pipe)) else {
                continue;
            };
            if open.writes() && open.flags & libc::O_DIRECT as u32 != 0 {
                packets.insert(pipe);
            }
            let Some(fd) = files.duplicates.get(&open.id).filter(|_| !ends.contains_key(&pipe))
            else {
                continue;
            };
            // A named pipe that is only written to here: a reader that comes later reads what is left.
            let again = match what {
                AnyRecord::Fifo(_) if !open.reads() => Some(reading_end(fd)?),
                _ => None,
            };
            ends.insert(pipe, (again, fd.as_fd()));
        }
        let mut all = Vec::with_capacity(ends.len());
        for (pipe, (again, fd)) in &ends {
            let end = again.as_ref().map_or(*fd, AsFd::as_fd);
            match queued(*pipe, end, packets.contains(pipe))? {
                Ok(data) => all.push(data),
                Err(problem) => {
                    let object = format!("pipe {}", pipe.ino);
                    out.refuse(Finding::about(object, "object.pipe", problem));
                }
            }
        }
        Ok(all)
    }
}

/// Contents of a pipe without taking them, through a duplicate of its reading end. `packets`: an end for writing is
/// in packet mode (O_DIRECT).
fn queued(
    id: ObjectId,
    end: BorrowedFd<'_>,
    packets: bool,
) -> Result<Result<PipeData, &'static str>> {
    let fail = |e| Error::new(format!("copy the contents of pipe {}", id.ino), e);
    let capacity = pipe_size(end)?;
    let len = pipe_queued(end).map_err(fail)?;
    if len > 0 && capacity > largest()? {
        return Ok(Err(
            "it is larger than fs.pipe-max-size, and copying it needs CAP_SYS_RESOURCE",
        ));
    }
    let mut bytes = vec![0; len];
    let mut lengths = Vec::new();
    if len > 0 {
        let (from, to) = nix::unistd::pipe().map_err(|e| fail(e.into()))?;
        // As many slots as the original has: short writes take a slot each.
        set_pipe_size(to.as_fd(), capacity)?;
        if tee(end, to.as_fd(), len).map_err(fail)? != len {
            return Ok(Err("what is queued in it cannot be copied whole"));
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
        return Ok(Err("packets and other bytes are mixed in it"));
    }
    Ok(Ok(PipeData { id, capacity: capacity as u32, len: len as u32, packets: lengths, bytes }))
}

/// The largest pipe that we can make, bytes.
fn largest() -> Result<usize> {
    const CAP_SYS_RESOURCE: u32 = 24;
    if floe_sys::effective_capabilities()? >> CAP_SYS_RESOURCE & 1 != 0 {
        return Ok(usize::MAX);
    }
    let path = "/proc/sys/fs/pipe-max-size";
    let text = std::fs::read_to_string(path).map_err(|e| Error::new(format!("read {path}"), e))?;
    let damaged = |_| Error::because(format!("read {path}"), "it is no number");
    Ok(text.trim().parse().map_err(damaged)?)
}

/// An end for reading of a named pipe.
fn reading_end(end: &OwnedFd) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).map_err(|e| Error::new("open a named pipe", e).into())
}
