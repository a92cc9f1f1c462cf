//! What is queued in UNIX sockets.

use crate::{Result, files::Files, resource::OfObject, socket::number};
use floe_records::{AnyRecord, Finding, Findings, SocketQueue, UnixSocket};
use floe_sys::{Error, peek, pipe_queued, set_socket_option, socket_option};
use std::os::fd::{AsFd, BorrowedFd};

/// Longest message or stream queue that is carried, bytes.
const MOST: usize = 1 << 20;
const SO_PEEK_OFF: i32 = libc::SO_PEEK_OFF;

impl OfObject for SocketQueue {
    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (open, what) in files.of::<UnixSocket>() {
            let (AnyRecord::UnixSocket(socket), Some(fd)) = (what, files.duplicates.get(&open.id))
            else {
                continue;
            };
            match queue(socket, fd.as_fd())? {
                Ok(queue) if queue.messages.is_empty() => {}
                Ok(queue) => all.push(queue),
                Err(problem) => {
                    let object = format!("what is queued in socket {}", socket.ino);
                    out.refuse(Finding::of(open.pid, object, "object.queue", problem));
                }
            }
        }
        Ok(all)
    }
}

/// What is queued in a socket, without taking it; or why it cannot be had.
fn queue(socket: &UnixSocket, fd: BorrowedFd<'_>) -> Result<Result<SocketQueue, String>> {
    let mut queue = SocketQueue { ino: socket.ino, messages: Vec::new(), bytes: Vec::new() };
    if socket.backlog.is_some() {
        return Ok(Ok(queue));
    }
    let queued = pipe_queued(fd).map_err(|e| Error::new("ask what is queued", e))?;
    let stream = socket.sock_type == libc::SOCK_STREAM as u32;
    if stream && queued == 0 {
        return Ok(Ok(queue));
    }
    let creds = number(fd, libc::SOL_SOCKET, libc::SO_PASSCRED).is_ok_and(|on| on != 0);
    // Each look moves the offset on; the target may use it as well.
    let old = socket_option(fd, libc::SOL_SOCKET, SO_PEEK_OFF, 4)?;
    set_socket_option(fd, libc::SOL_SOCKET, SO_PEEK_OFF, &0i32.to_ne_bytes())?;
    let mut buffer = vec![0; MOST];
    let packets = socket.sock_type == libc::SOCK_SEQPACKET as u32;
    let SocketQueue { messages: lengths, bytes, .. } = &mut queue;
    let looked = match stream {
        true => whole(fd, creds, queued, &mut buffer, lengths, bytes),
        false => messages(fd, [creds, packets], &mut buffer, lengths, bytes),
    };
    set_socket_option(fd, libc::SOL_SOCKET, SO_PEEK_OFF, &old)?;
    if let Err(problem) = looked {
        return Ok(Err(problem));
    }
    // An empty message reads like the end behind a closed peer.
    if packets && queue.bytes.len() < queued {
        return Ok(Err("an empty message cannot be carried".into()));
    }
    Ok(Ok(queue))
}

/// All of a stream.
fn whole(
    fd: BorrowedFd<'_>,
    creds: bool,
    queued: usize,
    buffer: &mut [u8],
    lengths: &mut Vec<u32>,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let buffer = buffer.get_mut(..queued).ok_or("it is too much")?;
    match peek(fd, buffer, creds).map_err(|e| e.to_string())? {
        Some(seen) if seen.has_fds => return Err("descriptors are on their way in it".into()),
        Some(seen) if seen.len == queued => {}
        _ => return Err("it cannot be read as a whole".into()),
    }
    bytes.extend_from_slice(buffer);
    lengths.push(queued as u32);
    Ok(())
}

/// Message by message: each look moves the peek offset on.
fn messages(
    fd: BorrowedFd<'_>,
    [creds, ends]: [bool; 2],
    buffer: &mut [u8],
    lengths: &mut Vec<u32>,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    while let Some(seen) = peek(fd, buffer, creds).map_err(|e| e.to_string())? {
        if seen.has_fds {
            return Err("descriptors are on their way in it".into());
        }
        if seen.len == 0 {
            // The offset does not move over it.
            return if ends { Ok(()) } else { Err("an empty message cannot be carried".into()) };
        }
        let whole = buffer.get(..seen.len).ok_or("a message is too long")?;
        if bytes.len() + seen.len > MOST {
            return Err("it is too much".into());
        }
        bytes.extend_from_slice(whole);
        lengths.push(seen.len as u32);
    }
    Ok(())
}
