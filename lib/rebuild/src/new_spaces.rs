//! Namespaces that the tree had of its own are made anew, before anything else is: restore goes into them itself, so that sockets
//! are made there and every process is born there.
//!
//! Not into a user namespace, where its rights would end. A child makes that, and those that it owns; restore enters the latter,
//! and has the first process of the tree born in it ([`OwnUser::born`]).

use crate::{here::Here, space_maker::SpaceMaker, users};
use floe_records::{Creds, IdMaps, IdRange, Namespace, Namespaces, NsId, NsKind, Tree};
use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns, unshare},
    sys::wait::waitpid,
    unistd::{Gid, Pid, Uid, pipe2, setgroups, setresgid, setresuid},
};
use std::{
    collections::BTreeMap,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// What can be made so. A pid namespace takes a process of its own.
const KINDS: [(NsKind, CloneFlags); 3] = [
    (NsKind::Ipc, CloneFlags::CLONE_NEWIPC),
    (NsKind::Net, CloneFlags::CLONE_NEWNET),
    (NsKind::Uts, CloneFlags::CLONE_NEWUTS),
];

/// Namespaces of the root of the tree that restore is to make, by kind; `told` are the kinds of which the user has said where the
/// tree belongs. One that restore has been started in is there already, but for those of the kinds `empty`, which are made in any case.
pub fn new_spaces<'t>(
    tree: &'t Tree,
    told: &[NsKind],
    empty: &[NsKind],
    here: &Here,
) -> Vec<&'t Namespace> {
    let same_boot = here.is_same_boot(tree);
    let Some(members) = tree.root().and_then(|root| tree.get::<Namespaces>(root.pid)) else {
        return Vec::new();
    };
    let kinds = KINDS.iter().map(|(kind, _)| *kind).chain([NsKind::Pid, NsKind::User]);
    let space = |kind: NsKind| {
        let (_, id) = members.all().into_iter().find(|(name, _)| *name == kind.name())?;
        if empty.contains(&kind) {
            return tree.get::<Namespace>(id);
        }
        let own = tree.get::<Namespace>(id).filter(|space| !space.inherited)?;
        (here.is_in(own, same_boot) != Some(true)).then_some(own)
    };
    kinds.filter(|kind| !told.contains(kind)).filter_map(space).collect()
}

/// A user namespace that the tree has of its own.
#[derive(Debug)]
pub struct OwnUser {
    file: File,
    /// Those around it that the tree has of its own.
    above: BTreeMap<NsId, OwnedFd>,
    maps: IdMaps,
    /// Groups, where they cannot be set inside.
    groups: Vec<u32>,
}

/// Makes namespaces, but for a pid namespace, and goes into all but a user namespace. The calling thread must be the only one.
///
/// # Errors
/// Those of unshare(2), setns(2), clone3(2), and of writing maps of ids.
pub fn make_new(tree: &Tree, spaces: &[&Namespace]) -> Result<Option<OwnUser>> {
    let user = spaces.iter().find(|space| space.kind == NsKind::User);
    let user = user.map(|user| OwnUser::make(tree, user.id)).transpose()?;
    for (kind, flag) in KINDS {
        let Some(space) = spaces.iter().find(|space| space.kind == kind) else { continue };
        let fail = |e| Error::new(format!("make a {} namespace", kind.name()), e);
        match user.as_ref().filter(|user| space.owner == Some(user.id())) {
            Some(user) => {
                let maker = SpaceMaker::start((kind.name(), flag), Some(user.space()))?;
                setns(maker.make()?, flag).map_err(fail)?;
            }
            None => unshare(flag).map_err(fail)?,
        }
    }
    Ok(user)
}

/// Writes the maps of the user namespace of a process; each can be written once.
pub(crate) fn write_maps(pid: i32, maps: &IdMaps) -> Result<()> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).map_err(|e| Error::new(format!("write {path}"), e))
    };
    if maps.denies_groups {
        write("setgroups", "deny")?;
    }
    let text = |map: &[IdRange]| -> String {
        map.iter().map(|(inside, outside, len)| format!("{inside} {outside} {len}\n")).collect()
    };
    let all = [("uid_map", &maps.users), ("gid_map", &maps.groups), ("projid_map", &maps.projects)];
    for (file, map) in all.into_iter().filter(|(_, map)| !map.is_empty()) {
        write(file, &text(map))?;
    }
    Ok(())
}

impl OwnUser {
    fn make(tree: &Tree, id: NsId) -> Result<Self> {
        let none = || Error::because("make a user namespace", "its maps are not in the stream");
        let maps = tree.get::<IdMaps>(id).ok_or_else(none)?.clone();
        let root =
            tree.root().and_then(|root| tree.all::<Creds>().iter().find(|c| c.pid == root.pid));
        let groups = root.map_or_else(Vec::new, |creds| creds.groups.clone());
        let (file, above) = users::make_with_those_above(tree, id)?;
        Ok(Self { file: file.into(), above, maps, groups })
    }

    /// The one whose place it takes.
    pub fn id(&self) -> NsId {
        self.maps.id
    }

    /// The one that takes the place of a namespace, itself or one around it.
    pub(crate) fn find(&self, id: NsId) -> Option<BorrowedFd<'_>> {
        let own = (self.id() == id).then(|| self.space());
        own.or_else(|| self.above.get(&id).map(AsFd::as_fd))
    }

    /// The namespace.
    pub fn space(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Has a stub born in the namespace as init of a new pid namespace that this one owns, a child of ours, with our table of
    /// descriptors. Gives its pid. `sibling`: it is a child of our parent, and so is, for a moment, the one that has made it.
    ///
    /// # Errors
    /// Those of setns(2), clone3(2), and of setting ids.
    pub fn born(&self, sibling: bool) -> Result<i32> {
        const DOING: &str = "start a process in its user namespace";
        let fail = |e| Error::new(DOING, e);
        let (hear, tell) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let outside = floe_sys::pidfd_open(std::process::id() as i32)?;
        let files = CloneFlags::CLONE_FILES.bits() as u64;
        let forked = match sibling {
            true => floe_sys::fork_sibling(files)?,
            false => floe_sys::fork(&[], files)?,
        };
        let Some(child) = forked else {
            let born = self.go_and_bear(sibling.then_some(outside)).unwrap_or_default();
            let _ = nix::unistd::write(&tell, &born.to_ne_bytes());
            // What is open is open for our parent as well.
            std::process::exit(0);
        };
        if sibling {
            // The process that was born looks at it, in our table.
            std::mem::forget(outside);
            ends(child)?;
        } else {
            waitpid(Pid::from_raw(child), None).map_err(fail)?;
        }
        // We have its other end, too: it says nothing where it was killed.
        let flags = FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        fcntl(&hear, flags).map_err(fail)?;
        let mut born = [0; 4];
        nix::unistd::read(&hear, &mut born).map_err(fail)?;
        match i32::from_ne_bytes(born) {
            0 => Err(Error::because(DOING, "it could not be entered")),
            pid => Ok(pid),
        }
    }

    fn go_and_bear(&self, sibling_of: Option<OwnedFd>) -> Result<i32> {
        let fail = |e| Error::new("enter a user namespace", e);
        if self.maps.denies_groups {
            let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            setgroups(&groups).map_err(fail)?;
        }
        setns(&self.file, CloneFlags::CLONE_NEWUSER).map_err(fail)?;
        if let Some((uid, gid)) = self.maps.anybody() {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            setresgid(gid, gid, gid).map_err(fail)?;
            setresuid(uid, uid, uid).map_err(fail)?;
        }
        let flags = CloneFlags::CLONE_FILES | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_PARENT;
        match sibling_of {
            Some(outside) => floe_sys::spawn_sibling(&[], flags.bits() as u64, outside),
            None => floe_sys::spawn_stub(&[], flags.bits() as u64, 0),
        }
    }
}

/// Waits for the end of a process that is no child of ours.
fn ends(pid: i32) -> Result<()> {
    let Ok(handle) = floe_sys::pidfd_open(pid) else { return Ok(()) };
    let mut polled = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            done => return done.map(drop).map_err(|e| Error::new("wait for a process", e)),
        }
    }
}
