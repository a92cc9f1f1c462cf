//! UNIX sockets.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem, Purpose, unasked},
    files::Files,
    resource::OfFile,
    sock_diag::{UnixState, unix_socket},
    socket::{options, unusual_options},
};
use floe_records::{
    AnyRecord, Bytes, External, FileId, Finding, Findings, OpenFile, OutsideSocket, Pid, Record,
    UnixSocket,
};
use floe_sys::{Error, peer_name, socket_name};
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::Metadata,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirEntryExt, FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
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
            links: Vec::new(),
            backlog: state.listening.then_some(state.backlog),
            waiting: if state.listening { connected(seen)? } else { Vec::new() },
            shutdown: state.shutdown,
            options: Vec::new(),
        };
        let address = |name: Result<Vec<u8>, Error>| {
            Ok::<_, Problem>(name?.get(2..).unwrap_or_default().to_vec())
        };
        if seen.context.taking {
            let name = address(socket_name(seen.duplicate()?))?;
            let receives = is_datagram(&socket) || socket.backlog.is_some();
            (socket.node, socket.links) = node(seen, &state, &name, receives);
            socket.name = Bytes(name);
        }
        let mut has_name = !socket.name.0.is_empty();
        // Whether a datagram socket belongs to the tree depends on it.
        if seen.context.taking || (is_datagram(&socket) && state.peer.is_some()) {
            let name = address(peer_name(seen.duplicate()?))?;
            has_name |= !name.is_empty();
            // One that nobody could connect to any more is no address.
            if state.peer.is_none_or(|peer| leads_to(seen, peer, &name)) {
                socket.peer_name = Bytes(name);
            }
        }
        socket.options = if has_name {
            options(seen, &[])?
        } else {
            unusual_options(seen, socket.sock_type as i32)?
        };
        Ok(socket)
    }

    /// A stream whose peer is outside of the tree is the outside's.
    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let socket = |(_, what): &(OpenFile, AnyRecord)| match what {
            AnyRecord::UnixSocket(socket) => Some(socket.ino),
            _ => None,
        };
        let inside: BTreeSet<u64> = files.all.iter().filter_map(socket).collect();
        waiting(files, &inside, out);
        let mut foreign = Vec::new();
        for (_, what) in &mut files.all {
            let AnyRecord::UnixSocket(socket) = what else { continue };
            let Some(peer) = socket.peer else { continue };
            if peer == 0 || inside.contains(&peer) {
                socket.peer_name = Bytes::default();
            } else if is_datagram(socket) && !socket.peer_name.0.is_empty() {
                socket.peer = None;
            } else {
                let file = socket.file;
                let (peer, options) = (socket.peer_name.clone(), socket.options.clone());
                let (pid, sock_type, shutdown) = (socket.pid, socket.sock_type, socket.shutdown);
                let it = OutsideSocket { file, pid, sock_type, peer, shutdown, options };
                foreign.push((it, socket.ino));
            }
        }
        for (it, ino) in foreign {
            let file = it.file;
            files.properties.push(it.any());
            let what = Bytes::from(&*format!("socket:[{ino}]"));
            files.replace(file, External { file, what });
        }
        Ok(())
    }
}

const AGAIN: &str = "try again when the server has accepted it";

/// Connections that wait for accept(2). The kernel shows neither their own ends nor what is queued there: each is to come from a
/// socket of the tree, which has sent nothing.
fn waiting(files: &mut Files, inside: &BTreeSet<u64>, out: &mut Findings) {
    let taking = matches!(files.purpose, Some(Purpose::Take { .. }));
    let mut known = BTreeSet::new();
    for (open, what) in &mut files.all {
        let AnyRecord::UnixSocket(socket) = what else { continue };
        known.extend(socket.waiting.iter().copied());
        let foreign = socket.waiting.iter().filter(|ino| !inside.contains(ino)).count();
        if foreign > 0 && !taking {
            let object = format!("socket {}, which listens", socket.ino);
            let what = format!(
                "connections from outside of the tree, or closed ones ({foreign}) have not been accepted yet"
            );
            let finding = Finding::of(open.pid, object, "file.unix", what);
            out.refuse(finding.hint("try again when they have been accepted"));
        }
        // One that has come since is none of the tree's: it ends with the listener.
        socket.waiting.retain(|ino| inside.contains(ino));
    }
    for (open, what) in &files.all {
        let AnyRecord::UnixSocket(socket) = what else { continue };
        let alone = socket.peer == Some(0) && socket.shutdown & SHUTDOWN != SHUTDOWN;
        if alone && !is_datagram(socket) && !known.contains(&socket.ino) {
            let object = format!("socket {}", socket.ino);
            let what = "a listener outside of the tree has not accepted its connection yet";
            out.refuse(Finding::of(open.pid, object, "file.unix", what).hint(AGAIN));
        }
    }
}

/// The state of a socket that can be captured.
fn state(seen: &Descriptor<'_>) -> Result<UnixState, Problem> {
    let known = match seen.unix_state() {
        Some(state) => Ok(state),
        // Made since the others were listed.
        None => {
            let ino = seen.stat.ino;
            seen.in_network(|_| unix_socket(ino).map_err(unasked))
        }
    };
    let state = known.map_err(|e| {
        Problem::new("file.unix", format!("sock_diag does not know it: {}", e.cause()))
    })?;
    // A peer of datagrams that was closed leaves nothing but itself behind.
    let connects = state.kind != libc::SOCK_DGRAM;
    let waits = connects && state.peer == Some(0);
    let ino = seen.stat.ino;
    let is_waiting = || seen.in_network(|all| Ok::<_, Error>(all.unix.waits(ino)));
    if waits && state.shutdown & SHUTDOWN != SHUTDOWN && !is_waiting()? {
        return Err(Problem::Refused("file.unix", "its peer is not known".into(), AGAIN));
    }
    if waits && state.unread > 0 && is_waiting()? {
        let what = "it has sent something, and its connection has not been accepted yet";
        return Err(Problem::Refused("file.unix", what.into(), AGAIN));
    }
    Ok(state)
}

/// Those that wait for accept(2) of a listener.
fn connected(seen: &Descriptor<'_>) -> Result<Vec<u64>, Error> {
    let ino = seen.stat.ino;
    seen.in_network(|all| Ok(all.unix.waiting(ino)))
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

/// The file that a socket was bound to, where that still has its name: owner, group and permissions. By now the name may be that
/// of another socket, or of a file of any kind. Of one that others send to, all its names in that directory count, and are told
/// if they are not just the one.
fn node(
    seen: &Descriptor<'_>,
    state: &UnixState,
    name: &[u8],
    receives: bool,
) -> (Option<(u32, u32, u32)>, Vec<Bytes>) {
    let Some(path) = path(seen.pid, name) else { return (None, Vec::new()) };
    let known = |meta: &Metadata| (meta.uid(), meta.gid(), meta.mode() & 0o777);
    let meta = std::fs::metadata(&path).ok().filter(|meta| is_of(seen, state, meta));
    if !receives || meta.as_ref().is_some_and(|meta| meta.nlink() == 1) {
        return (meta.as_ref().map(known), Vec::new());
    }
    let names = names_of(seen, state, &path);
    let node = meta.as_ref().or(names.first().map(|(_, meta)| meta)).map(known);
    let usual = names.iter().all(|(name, _)| Some(name.as_os_str()) == path.file_name());
    let links = names.into_iter().map(|(name, _)| Bytes(name.into_vec()));
    (node, if usual { Vec::new() } else { links.collect() })
}

/// The names that the file of a socket has in the directory of a path.
fn names_of(seen: &Descriptor<'_>, state: &UnixState, path: &Path) -> Vec<(OsString, Metadata)> {
    let Some((ino, _)) = state.node else { return Vec::new() };
    let entries = path.parent().and_then(|dir| std::fs::read_dir(dir).ok());
    let same = entries.into_iter().flatten().flatten().filter(|entry| entry.ino() as u32 == ino);
    let found = same.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?)));
    found.filter(|(_, meta)| is_of(seen, state, meta)).collect()
}

/// Names of its file that will lead to nobody, because they are in other directories.
pub(crate) fn lost_names(seen: &Descriptor<'_>) -> Result<Option<String>, Error> {
    let Some(state) = seen.unix_state().filter(|state| state.node.is_some()) else {
        return Ok(None);
    };
    if state.kind != libc::SOCK_DGRAM && !state.listening {
        return Ok(None);
    }
    let name = socket_name(seen.duplicate()?)?;
    let Some(path) = path(seen.pid, name.get(2..).unwrap_or_default()) else { return Ok(None) };
    let Some(meta) = std::fs::metadata(&path).ok().filter(|meta| is_of(seen, &state, meta)) else {
        return Ok(None);
    };
    let others = match meta.nlink() {
        1 => 0,
        links => links.saturating_sub(names_of(seen, &state, &path).len() as u64),
    };
    let problem = format!("hard links of its file in other directories ({others}) lead to nobody");
    Ok((others > 0).then_some(problem))
}

/// Whether a name that a process has of another socket leads there.
fn leads_to(seen: &Descriptor<'_>, ino: u64, name: &[u8]) -> bool {
    let Some(path) = path(seen.pid, name) else { return true };
    let found = seen.in_network(|all| all.unix.find(ino).map_err(unasked));
    let Ok(Some(state)) = found else { return true };
    std::fs::metadata(path).is_ok_and(|meta| is_of(seen, &state, &meta))
}

/// Whether a file is the one that a socket was bound to.
fn is_of(seen: &Descriptor<'_>, state: &UnixState, meta: &Metadata) -> bool {
    let Some((ino, dev)) = state.node else { return false };
    let shown = meta.ino() as u32;
    // Union file systems show other devices than the kernel has, and some of them other inodes. There the name is another
    // socket's only where that is known to have it.
    let internal = (nix::sys::stat::major(meta.dev()) << 20) | nix::sys::stat::minor(meta.dev());
    let known = || seen.in_network(|all| Ok::<_, Error>(all.unix.have_node(shown)));
    let is_other = shown != ino && (internal == u64::from(dev) || known().unwrap_or(false));
    meta.file_type().is_socket() && !is_other
}

/// Where we find the file of a name; `None` where it has none.
fn path(pid: u32, name: &[u8]) -> Option<PathBuf> {
    let path = name.strip_suffix(b"\0").unwrap_or(name);
    let (base, path) = match path {
        [] | [0, ..] => return None,
        [b'/', path @ ..] => ("root", path),
        path => ("cwd", path),
    };
    Some(floe_proc::path(pid, base).join(OsStr::from_bytes(path)))
}
