//! Names of UNIX sockets: sockets are bound where they were, and their files get the names, owners and permissions that they had.

use crate::{
    factory::Factory,
    file::unix::{address, is_datagram},
    private::PrivateRoot,
    stand::Stands,
};
use floe_records::*;
use floe_sys::{Error, Result, bind_raw, connect_raw, socket};
use nix::{
    sys::stat::{Mode, SFlag, mknod},
    unistd::mkdtemp,
};
use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

/// A socket file that was made where there was none.
pub(crate) struct Node {
    name: PathBuf,
    pid: Pid,
}

/// The path of its address.
pub(crate) fn path(it: &UnixSocket) -> &Path {
    path_of(&it.name.0)
}

/// Where the file of a socket is that was renamed.
pub(crate) fn renamed(it: &UnixSocket) -> PathBuf {
    let first = it.links.first().map_or(&[][..], |link| &link.0);
    path(it).with_file_name(OsStr::from_bytes(first))
}

/// Whether its file was renamed after it had been bound, to a name by which it can be reached.
pub(crate) fn is_renamed(it: &UnixSocket) -> bool {
    let own = path(it).file_name().map(OsStr::as_bytes);
    let moved = it.links.iter().all(|link| Some(link.0.as_slice()) != own);
    moved && !it.links.is_empty() && renamed(it).as_os_str().len() < LONGEST
}

/// Bytes of `sun_path`, with its NUL.
const LONGEST: usize = 108;

/// The path that an address is.
pub(crate) fn path_of(name: &[u8]) -> &Path {
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    Path::new(OsStr::from_bytes(name))
}

/// Binds to a name that is another file's by now, or nobody's, where nobody else sees it. Without the right to do so it is bound
/// in its place, and the file goes again.
fn bind_aside(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, fd: &OwnedFd) -> Result<()> {
    let to = address(&it.name.0);
    if let Ok(root) = PrivateRoot::new() {
        root.within(path(it), || bind_raw(fd.as_fd(), &to))?;
        make.names.private.insert(it.ino, root);
        return Ok(());
    }
    let nobody = || Error::because("bind a socket", "no process has it");
    let pid = make.stands_with(id).ok_or_else(nobody)?;
    make.stands.within(pid, || bind_raw(fd.as_fd(), &to))?;
    make.names.temporary.push(Node { name: path(it).to_owned(), pid });
    Ok(())
}

/// Binds it to its name. A dead socket file of that name is replaced by one just like it, but for a connected stream: it gets
/// no connections, and the file was that of a listener which has been closed.
pub(crate) fn bind(
    make: &mut Factory<'_>,
    id: FileId,
    it: &UnixSocket,
    fd: &OwnedFd,
) -> Result<()> {
    if it.name.0.is_empty() {
        return Ok(());
    }
    let to = address(&it.name.0);
    let named = |e: Error| {
        let name = path(it).display();
        Error::because(format!("bind a socket to {name}"), e.cause().to_string())
    };
    if it.name.0.first() == Some(&0) {
        return make.within(id, || bind_raw(fd.as_fd(), &to)).map_err(named);
    }
    let name = path(it).to_owned();
    let (Some((uid, gid, mode)), Some(pid)) = (it.node, make.stands_with(id)) else {
        return bind_aside(make, id, it, fd).map_err(named);
    };
    if is_renamed(it) {
        match bind_renamed(make, it, fd, pid) {
            Ok(name) => {
                make.names.renamed.insert(it.ino);
                link_all(make, id, it, pid, &name);
                return own(make, pid, &name, (uid, gid, mode));
            }
            Err(e) => {
                let note = format!("the names that its file was given since lead to nobody: {e}");
                make.note(id, vec![note]);
                return bind_aside(make, id, it, fd).map_err(named);
            }
        }
    }
    let is_connected = it.peer.is_some() && !is_datagram(it);
    let is_there = || Ok(std::fs::symlink_metadata(&name).is_ok());
    if is_connected && make.stands.within(pid, is_there)? {
        return bind_aside(make, id, it, fd).map_err(named);
    }
    let fresh = make.stands.within(pid, || make_room(&name, it.sock_type as i32))?;
    let bound = make.stands.within(pid, || bind_raw(fd.as_fd(), &to).map_err(named));
    if let (Err(_), false) = (&bound, fresh) {
        // A dead socket file again in the place of the one that was removed; the error is told in any case.
        let mode = Mode::from_bits_truncate(mode);
        let _ = make.stands.within(pid, || Ok(mknod(&name, SFlag::S_IFSOCK, mode, 0)));
    }
    bound?;
    if fresh {
        make.nodes.push(Node { name: name.clone(), pid });
    }
    link_all(make, id, it, pid, &name);
    own(make, pid, &name, (uid, gid, mode))
}

/// Gives a socket file its owner and permissions.
fn own(make: &Factory<'_>, pid: Pid, name: &Path, (uid, gid, mode): (u32, u32, u32)) -> Result<()> {
    make.stands.within(pid, || {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::os::unix::fs::chown(name, Some(uid), Some(gid))
            .and_then(|()| std::fs::set_permissions(name, mode))
            .map_err(|e| Error::new(format!("set the owner of {}", name.display()), e))
    })
}

/// Binds a socket whose file was renamed since, and gives the name of that file. It is bound in a directory that stands for the
/// root: what has its first name by now is not touched.
fn bind_renamed(make: &Factory<'_>, it: &UnixSocket, fd: &OwnedFd, pid: Pid) -> Result<PathBuf> {
    let (target, to) = (renamed(it), address(&it.name.0));
    let beside = target.with_file_name(".floe-XXXXXX");
    make.stands.within(pid, || {
        make_room(&target, it.sock_type as i32)?;
        let dir = mkdtemp(&beside).map_err(|e| Error::new("make a directory for a socket", e))?;
        let bound = PrivateRoot::at(&dir)
            .and_then(|root| root.within(path(it), || bind_raw(fd.as_fd(), &to)))
            .and_then(|()| {
                std::fs::rename(dir.join(below(path(it))), &target)
                    .map_err(|e| Error::new(format!("name a socket {}", target.display()), e))
            });
        // It is empty but for directories of ours.
        let _ = std::fs::remove_dir_all(&dir);
        bound
    })?;
    Ok(target)
}

/// Where a path leads to below a root without links, relative to it.
fn below(path: &Path) -> PathBuf {
    let mut way = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => way.push(name),
            Component::ParentDir => drop(way.pop()),
            _ => {}
        }
    }
    way
}

/// Gives the file of a socket that has just been bound all its other names, in the place of dead ones.
fn link_all(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, pid: Pid, has: &Path) {
    let names = it.links.iter().map(|link| has.with_file_name(OsStr::from_bytes(&link.0)));
    let mut failed = Vec::new();
    for name in names.filter(|name| name != has) {
        let done = make.stands.within(pid, || {
            make_room(&name, it.sock_type as i32)?;
            std::fs::hard_link(has, &name)
                .map_err(|e| Error::new(format!("name a socket {}", name.display()), e))
        });
        if let Err(e) = done {
            failed.push(format!("one of the names of its file leads to nobody: {e}"));
        }
    }
    make.note(id, failed);
}

/// Removes a socket file that nobody serves any more; true where there was none.
fn make_room(name: &Path, kind: i32) -> Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(meta) = std::fs::symlink_metadata(name) else { return Ok(true) };
    let doing = || format!("bind a socket to {}", name.display());
    if !meta.file_type().is_socket() {
        return Err(Error::because(doing(), "a file that is no socket has that name"));
    }
    let path = [name.as_os_str().as_bytes(), b"\0"].concat();
    let caller = socket(libc::AF_UNIX, kind, 0)?;
    let answer = connect_raw(caller.as_fd(), &address(&path));
    if answer.map_or_else(|e| e.errno(), |()| None) != Some(libc::ECONNREFUSED) {
        return Err(Error::because(doing(), "somebody else serves it"));
    }
    std::fs::remove_file(name).map_err(|e| Error::new(doing(), e))?;
    Ok(false)
}

impl Node {
    /// The restore has failed: the file goes.
    pub fn undo(&self, stands: &Stands) {
        // Nothing more can be done than try.
        let _ = stands.within(self.pid, || {
            let _ = std::fs::remove_file(&self.name);
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_below_their_root() {
        let ways = [("/run/a/b", "run/a/b"), ("name", "name"), ("../x", "x"), ("/a/../../b", "b")];
        for (path, way) in ways {
            assert_eq!(below(Path::new(path)), Path::new(way));
        }
    }
}
