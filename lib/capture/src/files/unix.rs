//! UNIX sockets: what sock_diag(7) tells of them, and what is queued.

use super::sockets::{Problem, number, options};
use crate::{Result, error::refusal_of, proc};
use floe_records::{Bytes, FileKind, OpenFile, SocketQueue, UnixSocket};
use floe_sys::{
    Error, peek, peer_name, pipe_queued, set_socket_option, socket_name, socket_option,
};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    unix::{ShowFlags, StateFlags, UnixRequest, UnixResponse, nlas::Nla},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
};

/// TCP_LISTEN, which UNIX sockets use as well.
const LISTEN: u8 = 10;
/// Both directions: what the death of a peer leaves.
const SHUTDOWN: u8 = 3;
/// Longest message or stream queue that is carried, bytes.
const MOST: usize = 1 << 20;
const SO_PEEK_OFF: i32 = libc::SO_PEEK_OFF;

pub(super) fn unix(
    pid: u32,
    ino: u64,
    fd: BorrowedFd<'_>,
    kind: u32,
) -> Result<UnixSocket, Problem> {
    let said = diag(ino as u32).map_err(|e| (format!("sock_diag does not know it: {e}"), ""))?;
    let listening = said.header.state == LISTEN;
    let shutdown = said.nlas.iter().find_map(|nla| match nla {
        Nla::Shutdown(how) => Some(*how),
        _ => None,
    });
    let backlog = said.nlas.iter().find_map(|nla| match nla {
        Nla::ReceiveQueueLength(_, backlog) if listening => Some(*backlog),
        _ => None,
    });
    let waiting = said.nlas.iter().any(|nla| matches!(nla, Nla::ReceiveQueueLength(1.., _)));
    if listening && waiting {
        let what = "a connection to it has not been accepted yet";
        return Err((what.into(), "try again when it has been accepted"));
    }
    let shutdown = shutdown.unwrap_or(0);
    let peer = said.peer().map(u64::from);
    if peer == Some(0) && shutdown & SHUTDOWN != SHUTDOWN {
        let what = "its connection has not been accepted yet";
        return Err((what.into(), "try again when the server has accepted it"));
    }
    let address = |name: Result<Vec<u8>, Error>| {
        let name = name.map_err(|e| (e.to_string(), ""))?;
        Ok(name.get(2..).unwrap_or_default().to_vec())
    };
    let name = address(socket_name(fd))?;
    let node = node(pid, &name);
    let peer_name = address(peer_name(fd))?;
    Ok(UnixSocket {
        ino,
        sock_type: kind,
        name: Bytes(name),
        peer,
        peer_name: Bytes(peer_name),
        node,
        backlog,
        shutdown,
        options: options(fd, &[]),
    })
}

/// Owner, group and permissions of the file that a name stands for.
fn node(pid: u32, name: &[u8]) -> Option<(u32, u32, u32)> {
    let path = name.strip_suffix(b"\0").unwrap_or(name);
    let (base, path) = match path {
        [] | [0, ..] => return None,
        [b'/', path @ ..] => ("root", path),
        path => ("cwd", path),
    };
    let meta = std::fs::metadata(proc::path(pid, base).join(OsStr::from_bytes(path))).ok()?;
    Some((meta.uid(), meta.gid(), meta.mode() & 0o7777))
}

fn diag(ino: u32) -> io::Result<UnixResponse> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let request = UnixRequest {
        state_flags: StateFlags::all(),
        inode: ino,
        show_flags: ShowFlags::PEER | ShowFlags::RQLEN,
        cookie: [0xff; 8],
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::UnixRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let message =
        <NetlinkMessage<SockDiagMessage>>::deserialize(&bytes).map_err(io::Error::other)?;
    match message.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::UnixResponse(said)) => Ok(*said),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("unknown answer")),
    }
}

/// A stream whose peer is outside of the tree is the outside's. Gives the sockets whose queues are the tree's.
pub(super) fn tell_foreign(files: &mut [OpenFile]) -> BTreeSet<u64> {
    let inside: BTreeSet<u64> = files
        .iter()
        .filter_map(|file| match &file.what {
            FileKind::Unix(socket) => Some(socket.ino),
            _ => None,
        })
        .collect();
    let mut own = BTreeSet::new();
    for file in files {
        let FileKind::Unix(socket) = &mut file.what else { continue };
        match socket.peer {
            Some(peer) if peer != 0 && !inside.contains(&peer) => {
                if socket.sock_type == libc::SOCK_DGRAM as u32 && !socket.peer_name.0.is_empty() {
                    socket.peer = None;
                    own.insert(socket.ino);
                } else {
                    let what = format!("socket:[{}]", socket.ino);
                    file.what = FileKind::External(what.as_str().into());
                    continue;
                }
            }
            Some(_) => {
                socket.peer_name = Bytes::default();
                own.insert(socket.ino);
            }
            None => drop(own.insert(socket.ino)),
        }
    }
    own
}

/// What is queued in a socket, without taking it.
pub fn socket_queue(socket: &UnixSocket, fd: &OwnedFd) -> Result<(SocketQueue, Vec<u8>)> {
    let fail = |what: &str| refusal_of(format!("what is queued in socket {}", socket.ino), what);
    let fd = fd.as_fd();
    let creds = number(fd, libc::SOL_SOCKET, libc::SO_PASSCRED).is_ok_and(|on| on != 0);
    let mut queue = SocketQueue { ino: socket.ino, messages: Vec::new() };
    let mut bytes = Vec::new();
    if socket.backlog.is_some() {
        return Ok((queue, bytes));
    }
    let queued = pipe_queued(fd).map_err(|e| Error::new("ask what is queued", e))?;
    let stream = socket.sock_type == libc::SOCK_STREAM as u32;
    if stream && queued == 0 {
        return Ok((queue, bytes));
    }
    // Each look moves the offset on; the target may use it as well.
    let old = socket_option(fd, libc::SOL_SOCKET, SO_PEEK_OFF, 4)?;
    set_socket_option(fd, libc::SOL_SOCKET, SO_PEEK_OFF, &0i32.to_ne_bytes())?;
    let mut buffer = vec![0; MOST];
    let packets = socket.sock_type == libc::SOCK_SEQPACKET as u32;
    let looked = match stream {
        true => whole(fd, creds, queued, &mut buffer, &mut queue.messages, &mut bytes),
        false => messages(fd, [creds, packets], &mut buffer, &mut queue.messages, &mut bytes),
    };
    set_socket_option(fd, libc::SOL_SOCKET, SO_PEEK_OFF, &old)?;
    looked.map_err(|e| fail(&e))?;
    // An empty message reads like the end behind a closed peer.
    if packets && bytes.len() < queued {
        return Err(fail("an empty message cannot be carried"));
    }
    Ok((queue, bytes))
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
