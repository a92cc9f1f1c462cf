//! What is queued in UNIX sockets.
//!
//! A peek at a stream, or at a first message, leaves the socket alone. The messages behind the first one are reached only by
//! a peek offset, which is a setting of the socket that the target itself would notice.

use crate::{Result, files::Files, resource::OfObject, socket_kind::number};
use floe_records::{AnyRecord, Bytes, Finding, Findings, SocketQueue, UnixSocket};
use floe_sys::{Error, PeekOffsets, Peeked, peek, peek_offset, pipe_queued};
use std::os::fd::{AsFd, BorrowedFd};

/// Longest message or stream queue that is carried, bytes.
const MOST: usize = 1 << 20;
/// `sk_shutdown` of include/net/sock.h.
const RCV_SHUTDOWN: u8 = 1;
const MUCH: &str = "it is too much";
const EMPTY: &str = "an empty message cannot be carried";

impl OfObject for SocketQueue {
    fn look(files: &Files, out: &mut Findings) -> Result<()> {
        let mut buffer = Vec::new();
        for source in &sources(files)? {
            source.look(&mut buffer).unwrap_or_else(|problem| source.refuse(problem, out));
        }
        Ok(())
    }

    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let sources = sources(files)?;
        let moving: Vec<_> = sources.iter().filter(|s| s.needs_offset).map(|s| s.fd).collect();
        let offsets = if moving.is_empty() { None } else { Some(PeekOffsets::rewind(&moving)?) };
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        for source in &sources {
            match source.queue(&mut buffer) {
                Ok(queue) => all.push(queue),
                Err(problem) => source.refuse(problem, out),
            }
        }
        drop(offsets);
        Ok(all)
    }
}

/// All sockets in which something is queued.
fn sources(files: &Files) -> Result<Vec<Source<'_>>> {
    let mut sources = Vec::new();
    for (open, what) in files.of::<UnixSocket>() {
        if let (AnyRecord::UnixSocket(socket), Some(fd)) = (what, files.duplicates.get(&open.id)) {
            sources.extend(Source::find(open.pid, socket, fd.as_fd())?);
        }
    }
    Ok(sources)
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
    /// The first message is empty. A peek offset would skip it from its second time on.
    starts_empty: bool,
    /// The target has set an offset itself: a peek would move it on.
    has_offset: bool,
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
        // One that is connected to none has nothing, and says ENOTCONN.
        if socket.sock_type as i32 == libc::SOCK_SEQPACKET && socket.peer.is_none() {
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
            starts_empty: false,
            has_offset: peek_offset(fd)? >= 0,
        };
        if !source.has_offset {
            source.needs_offset = false;
            if !is_stream {
                let Some(first) = peek(fd, &mut [], creds)? else { return Ok(None) };
                // Behind a closed peer, a packet socket gives the same as for an empty message.
                let ended = is_packets && socket.shutdown & RCV_SHUTDOWN != 0;
                source.starts_empty = first.len == 0 && !ended;
                source.needs_offset = !is_packets || first.len != queued;
            }
        }
        Ok(Some(source))
    }

    fn refuse(&self, problem: String, out: &mut Findings) {
        let object = format!("what is queued in socket {}", self.ino);
        out.refuse(Finding::of(self.pid, object, "object.queue", problem));
    }

    /// Whether what shows of the queue can be had, while the target runs.
    fn look(&self, buffer: &mut Vec<u8>) -> Result<(), String> {
        if self.starts_empty {
            return Err(EMPTY.into());
        }
        if self.queued > MOST {
            return Err(MUCH.into());
        }
        if self.has_offset {
            return Ok(());
        }
        buffer.resize(self.queued.max(buffer.len()), 0);
        self.peek(&mut buffer[..self.queued]).map(drop)
    }

    /// What is queued, without taking it; or why it cannot be had.
    fn queue(&self, buffer: &mut Vec<u8>) -> Result<SocketQueue, String> {
        let mut queue = SocketQueue {
            ino: self.ino,
            messages: Vec::new(),
            senders: Vec::new(),
            bytes: Vec::new(),
        };
        if self.starts_empty {
            return Err(EMPTY.into());
        }
        if self.queued > MOST {
            return Err(MUCH.into());
        }
        if self.is_stream {
            self.whole(buffer, &mut queue)?;
        } else {
            self.messages(buffer, &mut queue)?;
        }
        // An empty message reads like the end behind a closed peer.
        if self.is_packets && queue.bytes.len() < self.queued {
            return Err(EMPTY.into());
        }
        // Of a connected pair all are the peer's.
        if queue.senders.iter().all(|sender| sender.0.is_empty()) {
            queue.senders.clear();
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
                return if self.is_packets { Ok(()) } else { Err(EMPTY.into()) };
            }
            let whole = buffer.get(..seen.len).ok_or("a message is too long")?;
            if queue.bytes.len() + seen.len > MOST {
                return Err(MUCH.into());
            }
            queue.bytes.extend_from_slice(whole);
            queue.messages.push(seen.len as u32);
            queue.senders.push(Bytes(seen.sender));
            if !self.needs_offset {
                break;
            }
        }
        Ok(())
    }
}
