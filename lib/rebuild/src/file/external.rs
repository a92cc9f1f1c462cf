//! What belongs to the world outside of the tree: taken from restore's own descriptors.

use crate::{
    descriptor::{outside_socket, terminal},
    factory::Factory,
    given::{given, is_given},
    named,
    resource::ForFile,
};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::{OFlag, open as open_path},
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::stat::{Mode, fstat, makedev},
};
use std::os::fd::OwnedFd;

/// The device /dev/null.
const NULL: u64 = makedev(1, 3);

/// The rule of the findings of [`missing`].
pub const OUTSIDE: &str = "file.outside";

/// What takes the place of an outside file where it has this number: by `--inherit`, by number for standard
/// output and error; standard input carried the stream, so in the place of a terminal comes that of our standard output
/// or error, and nothing else. `None` for other numbers.
pub(crate) fn by_number(make: &Factory<'_>, id: FileId, number: u32) -> Result<Option<OwnedFd>> {
    let take = |number: u32| floe_sys::duplicate_inherited(number as i32).map(Some);
    if let Some(given) = given(make, id, number)? {
        return Ok(Some(given));
    }
    if has_hung_up(make, id) || !make.standard {
        return Ok(None);
    }
    if [1, 2].contains(&number) {
        return take(number);
    }
    if number == 0 {
        if let Some(ours) = terminal::ours().filter(|_| is_terminal(make, id)) {
            return take(ours);
        }
        return null(make, id, OFlag::O_RDONLY).map(Some);
    }
    Ok(None)
}

/// Pipes and sockets have no path. One of another kind than a pseudo terminal may have no modes either, such as the console of
/// a container.
fn is_terminal(make: &Factory<'_>, id: FileId) -> bool {
    is_at(make, id, b"/") && !has_hung_up(make, id)
}

/// Whether it is a pseudo terminal whose other end is gone: it had no modes any more.
fn has_hung_up(make: &Factory<'_>, id: FileId) -> bool {
    is_at(make, id, b"/dev/pts/") && make.tree.get::<Terminal>(id).is_none()
}

fn is_at(make: &Factory<'_>, id: FileId, start: &[u8]) -> bool {
    make.tree.get::<External>(id).is_some_and(|external| external.what.0.starts_with(start))
}

/// A pseudo terminal whose other end is closed.
fn hung_up(open: &OpenFile) -> Result<OwnedFd> {
    let fail = |e| Error::new("make a pseudo terminal", e);
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).map_err(fail)?;
    grantpt(&master).and_then(|()| unlockpt(&master)).map_err(fail)?;
    let path = ptsname_r(&master).map_err(fail)?;
    let flags = named::flags(open) | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open_path(path.as_str(), flags, Mode::empty()).map_err(fail)
}

impl ForFile for External {
    /// What takes its place under all other numbers: the same as under one that is known. A terminal that was opened for
    /// itself is ours, opened for itself.
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let id = open.id;
        let mut numbers = make.numbers.get(&id).cloned().unwrap_or_default();
        // Given ones first, and standard input, which is only read, last.
        numbers.sort_by_key(|number| (!is_given(make, id, *number), *number == 0, *number));
        for &number in &numbers {
            if let Some(fd) = by_number(make, id, number)? {
                return Ok(fd);
            }
        }
        let ours = terminal::ours().filter(|_| make.standard && !self.is_line());
        if let Some(ours) = ours.filter(|_| is_terminal(make, id)) {
            return terminal::again(ours, named::flags(open));
        }
        if has_hung_up(make, id) {
            return hung_up(open);
        }
        let socket = make.tree.get::<OutsideSocket>(id);
        if !make.standard && make.outside(self) == Outside::Broken {
            // Nobody has said so of this one.
            make.note(id, vec!["it comes back with its other end closed".to_owned()]);
        }
        match (make.outside(self), socket) {
            (Outside::Refuse, _) => {}
            (Outside::Null, _) => return null(make, id, named::flags(open)),
            (Outside::Broken, Some(socket)) => return outside_socket::broken(open, socket),
            (Outside::Broken, None) => return broken(open),
            (Outside::Reconnect, _) => return outside_socket::reconnected(make, open, socket),
        }
        // Restore has looked for those that it must be given.
        Err(Error::because("make an outside file", "nothing takes its place"))
    }
}

/// Outside files that nothing takes the place of. The hint of each is the option that gives it.
pub(crate) fn missing(make: &Factory<'_>) -> Vec<(FileId, Finding)> {
    let mut missing = Vec::new();
    for external in make.tree.all::<External>() {
        let id = external.file;
        let numbers = make.numbers.get(&id).map_or(&[][..], Vec::as_slice);
        let standard = |number: &u32| make.standard && *number <= 2;
        let known = |number: &u32| standard(number) || is_given(make, id, *number);
        let is_line = external.is_line();
        let ours = make.standard && is_terminal(make, id) && !is_line && terminal::ours().is_some();
        if make.outside(external) != Outside::Refuse
            || numbers.iter().any(known)
            || ours
            || has_hung_up(make, id)
        {
            continue;
        }
        let Some((pid, fd)) = make.tree.holder(id) else { continue };
        let object = format!("fd {fd} ({})", external.what);
        let finding = Finding::of(pid, object, OUTSIDE, external.in_words());
        missing.push((id, finding.hint(format!("--inherit {fd}"))));
    }
    missing
}

/// That of the tree, where it has one: ours may lie on a mount that the tree does not see.
fn null(make: &Factory<'_>, id: FileId, flags: OFlag) -> Result<OwnedFd> {
    let flags = (flags & OFlag::O_ACCMODE) | OFlag::O_CLOEXEC;
    let path = Bytes::from("/dev/null");
    if let Some((pid, _)) = make.tree.holder(id)
        && let Ok(place) = make.stands.bytes(pid, &path, OFlag::O_PATH)
        && fstat(&place)
            .is_ok_and(|stat| stat.st_rdev == NULL && stat.st_mode & libc::S_IFMT == libc::S_IFCHR)
        && let Ok(fd) = make.stands.bytes(pid, &path, flags)
    {
        return Ok(fd);
    }
    open_path("/dev/null", flags, Mode::empty()).map_err(|e| Error::new("open /dev/null", e))
}

/// An end of a pipe whose other end is closed.
fn broken(open: &OpenFile) -> Result<OwnedFd> {
    let (reader, writer) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new("make a pipe", e))?;
    Ok(if open.writes() { writer } else { reader })
}
