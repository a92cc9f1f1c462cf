//! What is queued in UNIX sockets.
//!
//! A peek at a stream, or at a first message, leaves the socket alone. The messages behind the first one are reached only by
//! a peek offset, which is a setting of the socket that the target itself would notice. So are the parts of a stream behind the
//! first descriptors: a peek ends with the part that carries them.

use crate::{Result, files::Files, resource::OfObject, socket_kind::number};
use floe_records::{
    AnyRecord, Bytes, Carried, FileId, Finding, Findings, OpenFile, Pid, SocketQueue, UnixSocket,
};
use floe_sys::{Error, PeekOffsets, Peeked, peek, peek_offset, pipe_queued, set_socket_option};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::PoisonError,
};

/// Longest message or stream queue that is carried, bytes.
const MOST: usize = 1 << 20;
/// `sk_shutdown` of include/net/sock.h.
const RCV_SHUTDOWN: u8 = 1;
const MUCH: &str = "it is too much";
const EMPTY: &str = "an empty message cannot be carried";

impl OfObject for SocketQueue {
    fn look(files: &Files, out: &mut Findings) -> Result<()> {
        let mut buffer = Vec::new();
        for source in &sources(files, |_| true)? {
            source.look(&mut buffer).unwrap_or_else(|problem| source.refuse(problem, out));
        }
        Ok(())
    }

    /// They have been read with the descriptors, some of which are on their way in them.
    fn collect(files: &Files, _: &mut Findings) -> Result<Vec<Self>> {
        let mut queues = files.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *queues))
    }
}

/// A queue, and the descriptors on their way in it by message.
pub(crate) struct Read {
    pub pid: Pid,
    pub queue: SocketQueue,
    pub carried: Vec<(u32, Vec<OwnedFd>)>,
}

/// Reads the queues of some sockets, which stand still.
pub(crate) fn read(
    files: &Files,
    wanted: impl Fn(FileId) -> bool,
    out: &mut Findings,
) -> Result<Vec<Read>> {
    let sources = sources(files, wanted)?;
    let moving: Vec<_> = sources.iter().filter(|s| s.needs_offset).map(|s| s.fd).collect();
    let offsets = if moving.is_empty() { None } else { Some(PeekOffsets::rewind(&moving)?) };
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    for source in &sources {
        match source.queue(&mut buffer) {
            Ok(read) => all.push(read),
            Err(problem) => source.refuse(problem, out),
        }
    }
    drop(offsets);
    Ok(all)
}

/// All of these sockets in which something is queued.
fn sources(files: &Files, wanted: impl Fn(FileId) -> bool) -> Result<Vec<Source<'_>>> {
    let mut sources = Vec::new();
    for (open, what) in files.of::<UnixSocket>().filter(|(open, _)| wanted(open.id)) {
        if let (AnyRecord::UnixSocket(socket), Some(fd)) = (what, files.duplicates.get(&open.id)) {
            sources.extend(Source::find(open, socket, fd.as_fd())?);
        }
    }
    Ok(sources)
}

/// A socket in which something is queued.
struct Source<'a> {
    pid: Pid,
    ino: u64,
    fd: BorrowedFd<'a>,
    /// Bytes; of datagrams those of the first one.
    queued: usize,
    is_stream: bool,
    is_packets: bool,
    /// A single peek does not show all.
    needs_offset: bool,
    /// The first message is empty. A peek offset would skip it from its second time on.
    starts_empty: bool,
    /// The target has set an offset itself: a peek would move it on.
    has_offset: bool,
}

impl<'a> Source<'a> {
    /// `None` where nothing is queued.
    fn find(open: &OpenFile, socket: &UnixSocket, fd: BorrowedFd<'a>) -> Result<Option<Self>> {
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
        let mut source = Self {
            pid: open.pid,
            ino: socket.ino,
            fd,
            queued,
            is_stream,
            is_packets,
            needs_offset: true,
            starts_empty: false,
            has_offset: peek_offset(fd)? >= 0,
        };
        if source.has_offset {
            return Ok(Some(source));
        }
        // A stream that carries nothing is shown by a single peek, but for one of several writers whose receiver asks for them.
        source.needs_offset = false;
        if is_stream {
            let asks = number(fd, libc::SOL_SOCKET, libc::SO_PASSCRED)? != 0;
            source.needs_offset = asks || ends_early(fd, queued)?;
        } else {
            let Some(first) = peek(fd, &mut [], false)? else { return Ok(None) };
            // Behind a closed peer, a packet socket gives the same as for an empty message.
            let ended = is_packets && socket.shutdown & RCV_SHUTDOWN != 0;
            source.starts_empty = first.len == 0 && !ended;
            source.needs_offset = !is_packets || first.len != queued;
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
        // What it carries is seen when the target stands still: of what we had a duplicate, the target could not close the last one.
        peek(self.fd, &mut buffer[..self.queued], false).map_err(|e| e.to_string()).map(drop)
    }

    /// What is queued, without taking it; or why it cannot be had.
    fn queue(&self, buffer: &mut Vec<u8>) -> Result<Read, String> {
        if self.starts_empty {
            return Err(EMPTY.into());
        }
        if self.queued > MOST {
            return Err(MUCH.into());
        }
        let queue = SocketQueue {
            ino: self.ino,
            messages: Vec::new(),
            senders: Vec::new(),
            carried: Vec::new(),
            bytes: Vec::new(),
        };
        let mut read = Read { pid: self.pid, queue, carried: Vec::new() };
        let room = match (self.needs_offset, self.is_stream) {
            (true, false) => MOST,
            _ => self.queued,
        };
        buffer.resize(room.max(buffer.len()), 0);
        while let Some(seen) = self.peek(&mut buffer[..room])? {
            if seen.len == 0 {
                // The offset does not move over it.
                let ended = self.is_packets || self.is_stream;
                return if ended { self.whole(read) } else { Err(EMPTY.into()) };
            }
            let bytes = buffer.get(..seen.len).ok_or("a message is too long")?;
            if read.queue.bytes.len() + seen.len > MOST {
                return Err(MUCH.into());
            }
            self.add(&mut read, bytes, seen)?;
            if !self.needs_offset || (self.is_stream && read.queue.bytes.len() == self.queued) {
                break;
            }
        }
        self.whole(read)
    }

    /// Adds a message, or a part of a stream with what it carries.
    fn add(&self, read: &mut Read, bytes: &[u8], seen: Peeked) -> Result<(), String> {
        let at = read.queue.bytes.len();
        // Of a stream, that begins with what is in front of the part that carries something.
        let bare = match self.is_stream && !seen.fds.is_empty() && bytes.len() > 1 {
            true => self.bare(at, bytes.len())?,
            false => 0,
        };
        let queue = &mut read.queue;
        let lens = [bare, bytes.len() - bare];
        for (last, len) in lens.into_iter().enumerate().filter(|(_, len)| *len > 0) {
            let message = queue.messages.len() as u32;
            queue.messages.push(len as u32);
            if !self.is_stream {
                queue.senders.push(Bytes(seen.sender.clone()));
            }
            let sender = seen.credentials.map(|(pid, uid, gid)| (Pid(pid), uid, gid));
            if sender.is_some() || (last == 1 && !seen.fds.is_empty()) {
                queue.carried.push(Carried { message, files: Vec::new(), sender });
            }
        }
        queue.bytes.extend_from_slice(bytes);
        if !seen.fds.is_empty() {
            read.carried.push((queue.messages.len() as u32 - 1, seen.fds));
        }
        Ok(())
    }

    /// How many bytes behind `at`, of `len` that a peek has shown, come before those that carry descriptors: each peek of fewer
    /// tells. The offset ends behind all of them.
    fn bare(&self, at: usize, len: usize) -> Result<usize, String> {
        let set = |offset: usize| {
            let offset = (offset as i32).to_ne_bytes();
            set_socket_option(self.fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, &offset)
                .map_err(|e| e.to_string())
        };
        let mut buffer = vec![0; len];
        let (mut low, mut high) = (0, len - 1);
        // Most begin at once.
        let mut middle = 0;
        while low < high || middle == 0 {
            set(at)?;
            let seen = self.peek(&mut buffer[..middle + 1])?;
            match seen.is_some_and(|seen| !seen.fds.is_empty()) {
                true => high = middle,
                false => low = middle + 1,
            }
            if low >= high {
                break;
            }
            middle = low.midpoint(high);
        }
        set(at + len)?;
        Ok(low)
    }

    fn peek(&self, buffer: &mut [u8]) -> Result<Option<Peeked>, String> {
        match peek(self.fd, buffer, true).map_err(|e| e.to_string())? {
            Some(seen) if seen.truncated => {
                Err("more descriptors are on their way in it than may be opened here".into())
            }
            other => Ok(other),
        }
    }

    /// Nothing of it may be missing.
    fn whole(&self, mut read: Read) -> Result<Read, String> {
        let queue = &mut read.queue;
        if self.is_stream && queue.bytes.len() != self.queued {
            return Err("it cannot be read as a whole".into());
        }
        // An empty message reads like the end behind a closed peer.
        if self.is_packets && queue.bytes.len() < self.queued {
            return Err(EMPTY.into());
        }
        // Of a connected pair all are the peer's.
        if queue.senders.iter().all(|sender| sender.0.is_empty()) {
            queue.senders.clear();
        }
        Ok(read)
    }
}

/// Whether a single peek at a stream does not show all: it ends with the first part that carries descriptors.
fn ends_early(fd: BorrowedFd<'_>, queued: usize) -> Result<bool> {
    let mut buffer = vec![0; queued.min(MOST)];
    let seen = peek(fd, &mut buffer, true)?;
    Ok(seen.is_none_or(|seen| seen.len < buffer.len() || !seen.fds.is_empty()))
}
