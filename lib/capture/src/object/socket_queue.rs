//! What is queued in UNIX sockets.
//!
//! A peek at a stream, or at a first message, leaves the socket alone. The messages behind the first one are reached only by
//! a peek offset, which is a setting of the socket that the target itself would notice.

use crate::{Result, files::Files, resource::OfObject, socket::number};
use floe_records::{AnyRecord, Finding, Findings, SocketQueue, UnixSocket};
use floe_sys::{Error, PeekOffsets, Peeked, peek, peek_offset, pipe_queued};
use std::os::fd::{AsFd, BorrowedFd};

/// Longest message or stream queue that is carried, bytes.
const MOST: usize = 1 << 20;

impl OfObject for SocketQueue {
    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let mut sources = Vec::new();
        for (open, what) in files.of::<UnixSocket>() {
            let (AnyRecord::UnixSocket(socket), Some(fd)) = (what, files.duplicates.get(&open.id))
            else {
                continue;
            };
            sources.extend(Source::find(open.pid, socket, fd.as_fd())?);
        }
        let moving: Vec<_> = sources.iter().filter(|s| s.needs_offset).map(|s| s.fd).collect();
        let offsets = if moving.is_empty() { None } else { Some(PeekOffsets::rewind(&moving)?) };
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        for source in &sources {
            match source.queue(&mut buffer) {
                Ok(queue) => all.push(queue),
                Err(problem) => {
                    let object = format!("what is queued in socket {}", source.ino);
                    out.refuse(Finding::of(source.pid, object, "object.queue", problem));
                }
            }
        }
        drop(offsets);
        Ok(all)
    }
}

/// A socket in which something is queued.
struct Source<'a> {
    pid: floe_records::Pid,
    ino: u64,
    fd: BorrowedFd<'a>,
    /// Bytes; of datagrams those of the first one.
    queued: usize,
    is_stream: bool,
    is_packets: bool,
    /// SO_PASSCRED is set.
    creds: bool,
    /// A single peek does not show all.
    needs_offset: bool,
}

impl<'a> Source<'a> {
    /// `None` where nothing is queued.
    fn find(
        pid: floe_records::Pid,
        socket: &UnixSocket,
        fd: BorrowedFd<'a>,
    ) -> Result<Option<Self>> {
        if socket.backlog.is_some() {
            return Ok(None);
        }
        let queued = pipe_queued(fd).map_err(|e| Error::new("ask what is queued", e))?;
        let kind = socket.sock_type as i32;
        let (is_stream, is_packets) = (kind == libc::SOCK_STREAM, kind == libc::SOCK_SEQPACKET);
        if is_stream && queued == 0 {
            return Ok(None);
        }
        let creds = number(fd, libc::SOL_SOCKET, libc::SO_PASSCRED)? != 0;
        let mut source = Self {
            pid,
            ino: socket.ino,
            fd,
            queued,
            is_stream,
            is_packets,
            creds,
            needs_offset: true,
        };
        // The target may have set an offset itself, and then a peek would move it on.
        if peek_offset(fd)? < 0 {
            source.needs_offset = false;
            if !is_stream {
                let Some(first) = peek(fd, &mut [], creds)? else { return Ok(None) };
                source.needs_offset = !is_packets || first.len != queued;
            }
        }
        Ok(Some(source))
    }

    /// What is queued, without taking it; or why it cannot be had.
    fn queue(&self, buffer: &mut Vec<u8>) -> Result<SocketQueue, String> {
        let mut queue = SocketQueue { ino: self.ino, messages: Vec::new(), bytes: Vec::new() };
        if self.queued > MOST {
            return Err("it is too much".into());
        }
        if self.is_stream {
            self.whole(buffer, &mut queue)?;
        } else {
            self.messages(buffer, &mut queue)?;
        }
        // An empty message reads like the end behind a closed peer.
        if self.is_packets && queue.bytes.len() < self.queued {
            return Err("an empty message cannot be carried".into());
        }
        Ok(queue)
    }

    fn peek(&self, buffer: &mut [u8]) -> Result<Option<Peeked>, String> {
        match peek(self.fd, buffer, self.creds).map_err(|e| e.to_string())? {
            Some(seen) if seen.has_fds => Err("descriptors are on their way in it".into()),
            other => Ok(other),
        }
    }

    /// All of a stream.
    fn whole(&self, buffer: &mut Vec<u8>, queue: &mut SocketQueue) -> Result<(), String> {
        buffer.resize(self.queued.max(buffer.len()), 0);
        let buffer = &mut buffer[..self.queued];
        match self.peek(buffer)? {
            Some(seen) if seen.len == self.queued => {}
            _ => return Err("it cannot be read as a whole".into()),
        }
        queue.bytes.extend_from_slice(buffer);
        queue.messages.push(self.queued as u32);
        Ok(())
    }

    /// Message by message: each look moves the peek offset on, where there is one.
    fn messages(&self, buffer: &mut Vec<u8>, queue: &mut SocketQueue) -> Result<(), String> {
        let room = if self.needs_offset { MOST } else { self.queued };
        buffer.resize(room.max(buffer.len()), 0);
        while let Some(seen) = self.peek(buffer)? {
            if seen.len == 0 {
                // The offset does not move over it.
                let empty = "an empty message cannot be carried";
                return if self.is_packets { Ok(()) } else { Err(empty.into()) };
            }
            let whole = buffer.get(..seen.len).ok_or("a message is too long")?;
            if queue.bytes.len() + seen.len > MOST {
                return Err("it is too much".into());
            }
            queue.bytes.extend_from_slice(whole);
            queue.messages.push(seen.len as u32);
            if !self.needs_offset {
                break;
            }
        }
        Ok(())
    }
}
