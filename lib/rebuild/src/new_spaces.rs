//! Namespaces that the tree had of its own are made anew, before anything else is: restore goes into them itself, so that sockets
//! are made there and every process is born there.
//!
//! Not into a user namespace, where its rights would end. A child makes that, and those that it owns; restore enters the latter,
//! and has the first process of the tree born in it ([`OwnUser::born`]).

use crate::here::Here;
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
    fs::File,
    io::{Read, Write},
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
    let maker = user.map(|user| Maker::start(tree, user.id, spaces)).transpose()?;
    for (kind, flag) in KINDS {
        let Some(space) = spaces.iter().find(|space| space.kind == kind) else { continue };
        let fail = |e| Error::new(format!("make a {} namespace", kind.name()), e);
        match &maker {
            Some(maker) if space.owner == user.map(|user| user.id) => {
                setns(maker.open(kind)?, flag).map_err(fail)?;
            }
            _ => unshare(flag).map_err(fail)?,
        }
    }
    maker.map(Maker::end).transpose()
}

/// A child in the user namespace.
struct Maker {
    pid: i32,
    /// It ends when this is closed.
    go: OwnedFd,
    maps: IdMaps,
    groups: Vec<u32>,
}

impl Maker {
    fn start(tree: &Tree, id: NsId, spaces: &[&Namespace]) -> Result<Self> {
        const DOING: &str = "make a user namespace";
        let none = || Error::because(DOING, "its maps are not in the stream");
        let maps = tree.get::<IdMaps>(id).ok_or_else(none)?.clone();
        let root =
            tree.root().and_then(|root| tree.all::<Creds>().iter().find(|c| c.pid == root.pid));
        let groups = root.map_or_else(Vec::new, |creds| creds.groups.clone());
        let owned = |(kind, _): &&(NsKind, CloneFlags)| {
            spaces.iter().any(|space| space.kind == *kind && space.owner == Some(id))
        };
        let flags: CloneFlags = KINDS.iter().filter(owned).map(|(_, flag)| *flag).collect();
        let fail = |e| Error::new(DOING, e);
        let (wait, go) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let (ready, done) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let own = nix::unistd::geteuid();
        let become_user = |uid| nix::unistd::seteuid(uid).map_err(fail);
        // The owner is who makes it.
        become_user(Uid::from_raw(maps.owner))?;
        let made = floe_sys::fork(&[], CloneFlags::CLONE_NEWUSER.bits() as u64);
        let Some(pid) = made? else {
            drop((go, ready));
            let made = unshare(flags).is_ok();
            let _ = File::from(done).write_all(&[u8::from(made)]);
            // Until the namespaces have been entered.
            let _ = File::from(wait).read(&mut [0]);
            std::process::exit(0);
        };
        become_user(own)?;
        drop((wait, done));
        let mut answer = [0];
        let heard = File::from(ready).read(&mut answer).map_err(|e| Error::new(DOING, e))?;
        let maker = Self { pid, go, maps, groups };
        if heard == 0 || answer == [0] {
            return Err(Error::because(DOING, "what it owns could not be made"));
        }
        maker.write_maps()?;
        Ok(maker)
    }

    /// Each can be written once.
    fn write_maps(&self) -> Result<()> {
        let write = |file: &str, text: &str| {
            let path = format!("/proc/{}/{file}", self.pid);
            std::fs::write(&path, text).map_err(|e| Error::new(format!("write {path}"), e))
        };
        if self.maps.denies_groups {
            write("setgroups", "deny")?;
        }
        let text = |map: &[IdRange]| -> String {
            map.iter().map(|(inside, outside, len)| format!("{inside} {outside} {len}\n")).collect()
        };
        let maps = [
            ("uid_map", &self.maps.users),
            ("gid_map", &self.maps.groups),
            ("projid_map", &self.maps.projects),
        ];
        for (file, map) in maps.into_iter().filter(|(_, map)| !map.is_empty()) {
            write(file, &text(map))?;
        }
        Ok(())
    }

    fn open(&self, kind: NsKind) -> Result<File> {
        let path = format!("/proc/{}/ns/{}", self.pid, kind.name());
        File::open(&path).map_err(|e| Error::new(format!("open {path}"), e))
    }

    fn end(self) -> Result<OwnUser> {
        let file = self.open(NsKind::User)?;
        let Self { pid, go, maps, groups } = self;
        drop(go);
        waitpid(Pid::from_raw(pid), None).map_err(|e| Error::new("wait for a child", e))?;
        Ok(OwnUser { file, maps, groups })
    }
}

impl OwnUser {
    /// The one whose place it takes.
    pub fn id(&self) -> NsId {
        self.maps.id
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
