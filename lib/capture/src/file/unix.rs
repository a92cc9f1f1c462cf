//! UNIX sockets.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
    sock_diag::{UnixState, unix_socket},
    socket::options,
};
use floe_records::{AnyRecord, Bytes, External, FileId, Findings, OpenFile, Pid, UnixSocket};
use floe_sys::{Error, peer_name, socket_name};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
};

/// Both directions: what the death of a peer leaves.
const SHUTDOWN: u8 = 3;

impl OfFile for UnixSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.socket().is_some_and(|kind| kind.family == libc::AF_UNIX)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let state = state(seen)?;
        let mut socket = UnixSocket {
            file,
            pid: Pid(seen.pid),
            ino: seen.stat.ino,
            sock_type: seen.socket().map_or(0, |kind| kind.kind as u32),
            name: Bytes::default(),
            peer: state.peer,
            peer_name: Bytes::default(),
            node: None,
            backlog: state.listening.then_some(state.backlog),
            shutdown: state.shutdown,
            options: options(seen, &[])?,
        };
        let address = |name: Result<Vec<u8>, Error>| {
            Ok::<_, Problem>(name?.get(2..).unwrap_or_default().to_vec())
        };
        if seen.context.taking {
            let name = address(socket_name(seen.duplicate()?))?;
            socket.node = node(seen.pid, &name);
            socket.name = Bytes(name);
        }
        // Whether a datagram socket belongs to the tree depends on it.
        if seen.context.taking || (is_datagram(&socket) && state.peer.is_some()) {
            socket.peer_name = Bytes(address(peer_name(seen.duplicate()?))?);
        }
        Ok(socket)
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
            } else if is_datagram(socket) && !socket.peer_name.0.is_empty() {
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

/// The state of a socket that can be captured.
fn state(seen: &Descriptor<'_>) -> Result<UnixState, Problem> {
    let known = match seen.unix_state() {
        Some(state) => Ok(state),
        // Made since the others were listed.
        None => unix_socket(seen.stat.ino),
    };
    let state =
        known.map_err(|e| Problem::new("file.unix", format!("sock_diag does not know it: {e}")))?;
    if state.listening && state.queued > 0 {
        let what = "a connection to it has not been accepted yet";
        let hint = "try again when it has been accepted";
        return Err(Problem::Refused("file.unix", what.into(), hint));
    }
    if state.peer == Some(0) && state.shutdown & SHUTDOWN != SHUTDOWN {
        let what = "its connection has not been accepted yet";
        let hint = "try again when the server has accepted it";
        return Err(Problem::Refused("file.unix", what.into(), hint));
    }
    Ok(state)
}

fn is_datagram(socket: &UnixSocket) -> bool {
    socket.sock_type == libc::SOCK_DGRAM as u32
}

/// Whether something may be queued in a socket. Of messages an empty one counts nothing.
pub(crate) fn may_hold(socket: &UnixSocket, seen: &Descriptor<'_>) -> bool {
    let is_stream = socket.sock_type == libc::SOCK_STREAM as u32;
    let is_empty = is_stream && seen.unix_state().is_some_and(|state| state.queued == 0);
    socket.backlog.is_none() && !is_empty
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
    Some((meta.uid(), meta.gid(), meta.mode() & 0o777))
}
