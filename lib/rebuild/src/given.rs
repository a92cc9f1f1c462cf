//! What a user gives in the place of outside files (`--inherit`).

use crate::{
    factory::{Factory, STATUS, reopen},
    options::{Inherit, Which},
};
use floe_records::{External, FileId, OpenFile};
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::OwnedFd;

/// Whether anything is given for a file under this number.
pub(crate) fn is_given(make: &Factory<'_>, id: FileId, number: u32) -> bool {
    by_number(make, number).is_some() || !by_name(make, id).is_empty()
}

/// What is given for a file under this number, if anything is.
pub(crate) fn given(make: &Factory<'_>, id: FileId, number: u32) -> Result<Option<OwnedFd>> {
    let take = |fd: u32| floe_sys::duplicate_inherited(fd as i32);
    if let Some(fd) = by_number(make, number) {
        return take(fd).map(Some);
    }
    let named = by_name(make, id).into_iter().map(take).collect::<Result<Vec<_>>>()?;
    if named.is_empty() {
        return Ok(None);
    }
    choose(make, id, named).map(Some)
}

/// Of names that nothing has: what was given for them is not used.
pub(crate) fn unused(make: &Factory<'_>) -> Vec<String> {
    let has = |inherit: &&Inherit| {
        make.tree.all::<External>().iter().any(|external| inherit.is_named(&external.what.0))
    };
    let named = make.inherit.iter().filter(|inherit| !has(inherit));
    let name = |inherit: &Inherit| match &inherit.which {
        Which::Name(name) => Some(format!("--inherit {name}: no outside file is called that")),
        Which::Number(_) => None,
    };
    named.filter_map(name).collect()
}

fn by_number(make: &Factory<'_>, number: u32) -> Option<u32> {
    let with = |which: &Which| *which == Which::Number(number);
    make.inherit.iter().find(|inherit| with(&inherit.which)).map(|inherit| inherit.fd)
}

fn by_name(make: &Factory<'_>, id: FileId) -> Vec<u32> {
    let Some(external) = make.tree.get::<External>(id) else { return Vec::new() };
    let named = make.inherit.iter().filter(|inherit| inherit.is_named(&external.what.0));
    named.map(|inherit| inherit.fd).collect()
}

/// The tree may have several descriptions of what has one name, a pipe say, and each gets one of its own: those that are open in
/// the same way are given out in turn, and behind that they are opened again.
fn choose(make: &Factory<'_>, id: FileId, named: Vec<OwnedFd>) -> Result<OwnedFd> {
    let flags = |id: FileId| {
        let open = make.tree.get::<OpenFile>(id).map_or(0, |open| open.flags);
        OFlag::from_bits_retain(open as i32)
    };
    let mode = flags(id) & OFlag::O_ACCMODE;
    let what = make.tree.get::<External>(id).map(|external| &external.what);
    let before = make.tree.all::<External>().iter().filter(|other| {
        let same = Some(&other.what) == what && flags(other.file) & OFlag::O_ACCMODE == mode;
        same && other.file < id
    });
    let turn = before.count();
    let mut fits = Vec::new();
    for (at, fd) in named.iter().enumerate() {
        let how = fcntl(fd, FcntlArg::F_GETFL).map_err(|e| Error::new("look at --inherit", e))?;
        if OFlag::from_bits_retain(how) & OFlag::O_ACCMODE == mode {
            fits.push(at);
        }
    }
    let found = fits.get(turn).copied();
    let mut named = named.into_iter();
    let first = named.nth(found.unwrap_or(0));
    let first = first.ok_or_else(|| Error::because("take --inherit", "nothing is given"))?;
    if found.is_some() {
        return Ok(first);
    }
    // A socket cannot be opened again.
    reopen(&first, mode | flags(id) & STATUS).or(Ok(first))
}
