//! UNIX sockets: what sock_diag(7) tells of them.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
    socket::options,
};
use floe_records::{AnyRecord, Bytes, External, FileId, Findings, OpenFile, Pid, UnixSocket};
use floe_sys::{Error, peer_name, socket_name};
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
    os::fd::BorrowedFd,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
};

/// TCP_LISTEN, which UNIX sockets use as well.
const LISTEN: u8 = 10;
/// Both directions: what the death of a peer leaves.
const SHUTDOWN: u8 = 3;

impl OfFile for UnixSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.socket().is_some_and(|kind| kind.family == libc::AF_UNIX)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let kind = seen.socket().map_or(0, |kind| kind.kind as u32);
        unix(seen.pid, file, seen.stat.ino(), seen.duplicate()?, kind)
    }

    /// A stream whose peer is outside of the tree is the outside's.
    fn relate(files: &mut Files, _: &mut Findings) -> Result<()> {
        let socket = |(_, what): &(OpenFile, AnyRecord)| match what {
            AnyRecord::UnixSocket(socket) => Some(socket.ino),
            _ => None,
        };
        let inside: BTreeSet<u64> = files.all.iter().filter_map(socket).collect();
        let mut foreign = Vec::new();
        for (_, what) in &mut files.all {
            let AnyRecord::UnixSocket(socket) = what else { continue };
            let Some(peer) = socket.peer else { continue };
            if peer == 0 || inside.contains(&peer) {
                socket.peer_name = Bytes::default();
            } else if socket.sock_type == libc::SOCK_DGRAM as u32 && !socket.peer_name.0.is_empty()
            {
                socket.peer = None;
            } else {
                foreign.push((socket.file, socket.ino));
            }
        }
        for (file, ino) in foreign {
            let what = Bytes::from(&*format!("socket:[{ino}]"));
            files.replace(file, External { file, what });
        }
        Ok(())
    }
}

fn unix(
    pid: u32,
    file: FileId,
    ino: u64,
    fd: BorrowedFd<'_>,
    kind: u32,
) -> Result<UnixSocket, Problem> {
    let said = diag(ino as u32)
        .map_err(|e| Problem::new("file.unix", format!("sock_diag does not know it: {e}")))?;
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
        let hint = "try again when it has been accepted";
        return Err(Problem::Refused("file.unix", what.into(), hint));
    }
    let shutdown = shutdown.unwrap_or(0);
    let peer = said.peer().map(u64::from);
    if peer == Some(0) && shutdown & SHUTDOWN != SHUTDOWN {
        let what = "its connection has not been accepted yet";
        let hint = "try again when the server has accepted it";
        return Err(Problem::Refused("file.unix", what.into(), hint));
    }
    let address = |name: Result<Vec<u8>, Error>| {
        Ok::<_, Problem>(name?.get(2..).unwrap_or_default().to_vec())
    };
    let name = address(socket_name(fd))?;
    let node = node(pid, &name);
    let peer_name = address(peer_name(fd))?;
    Ok(UnixSocket {
        file,
        pid: Pid(pid),
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
    let meta = std::fs::metadata(floe_proc::path(pid, base).join(OsStr::from_bytes(path))).ok()?;
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
