//! The cgroups of a tree: found or made before anything else is, joined as soon as a process or thread is there, and limited
//! and frozen before all are let go.
//!
//! Where all of the tree belongs into the cgroup that restore is in, nothing is done in that hierarchy. Whether something may be
//! in a cgroup is tried by a process that is there for nothing else: the kernel's rules (of rights, of cgroups that hand
//! controllers on, of cpusets without processors) are the kernel's to know.

mod make;
mod roots;
mod target;

pub(crate) use roots::{Made, NewSpace};

use floe_cgroups::{Directory, Mounts};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::Pid as RawPid,
};
use roots::Moved;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    thread::sleep,
    time::Duration,
};
use target::{Own, Target};

/// Rounds of a millisecond in which a cgroup that was made in vain comes to be empty.
const EMPTYING: u32 = 1000;

type Key = <Cgroup as Resource>::Key;
/// Namespaces that are still to be made, where restore is, and what is mounted there.
type With<'w, 't> = (&'w mut Vec<NewSpace<'t>>, &'w Own, &'w Mounts);

/// A cgroup that something of the tree belongs into, or one above.
struct Group {
    of: Key,
    directory: Directory,
    /// What it was, where this restore has made it.
    made: Option<CgroupDirectory>,
}

/// Moves a process with all its threads, or a thread.
fn put_into(directory: &Directory, tid: u32, whole: bool) -> Result<()> {
    let file: &[u8] = match (whole, directory.is_version_2()) {
        (true, _) => b"cgroup.procs",
        (false, true) => b"cgroup.threads",
        (false, false) => b"tasks",
    };
    directory.write(file, tid.to_string().as_bytes()).map_err(|e| match e.errno() {
        Some(libc::EBUSY) => {
            let problem =
                "it hands controllers on (cgroup.subtree_control), and then nothing may be in it";
            Error::because("be in it", problem)
        }
        Some(libc::ENOSPC) => {
            Error::because("be in it", "it has no processors, or no memory nodes")
        }
        Some(libc::EOPNOTSUPP) => {
            Error::because("be in it", "it is invalid, or another threaded domain")
        }
        _ => e,
    })
}

/// A hierarchy in which something is to be done.
#[derive(Default)]
struct Hierarchy {
    groups: Vec<Group>,
    /// Where each thread belongs that is listed, by the number of the group.
    listed: BTreeMap<Tid, usize>,
    /// Where all others belong.
    others: Option<usize>,
    /// Where restore is.
    own: Option<usize>,
}

impl Hierarchy {
    fn of(&self, tid: Tid) -> Option<usize> {
        self.listed.get(&tid).copied().or(self.others)
    }
}

/// The cgroups of a tree; dropped before [`Cgroups::keep`], what was made is removed.
#[derive(Default)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    problems: BTreeMap<Key, Error>,
    /// Those that are frozen in the end, by hierarchy and group.
    frozen: Vec<(usize, usize)>,
    /// Those that were found frozen, with nothing in them.
    thawed: Vec<(usize, usize)>,
    /// What takes the place of the cgroups of each hierarchy.
    moved: BTreeMap<Bytes, Moved>,
    /// Hierarchies that nobody has seen.
    unseen: BTreeSet<Bytes>,
    /// Cgroup namespaces.
    pub spaces: Made,
    kept: bool,
}

impl Cgroups {
    /// Finds or makes all of them, and namespaces. What is in the way is told by [`Cgroups::problem`].
    pub fn new(tree: &Tree, mode: &CgroupMode, mut spaces: Vec<NewSpace<'_>>) -> Self {
        let mut me = Self::default();
        let all = tree.all::<Cgroup>();
        let all = if *mode == CgroupMode::Ignore { &[] } else { all };
        let built = me.build(all, mode, &mut spaces);
        let Some(first) = all.first() else { return me };
        let done = if me.problems.is_empty() { built.and_then(|()| me.probe()) } else { built };
        if let Err(e) = done {
            me.problems.entry(first.key()).or_insert(e);
        }
        me
    }

    /// What is in the way of a cgroup; told once.
    pub fn problem(&mut self, of: &Key) -> Result<()> {
        let hint = "--cgroup ignore has the tree come back in the cgroups of restore";
        let told = |e| Error::because("have it", format!("{e} ({hint})"));
        self.problems.remove(of).map_or(Ok(()), |e| Err(told(e)))
    }

    fn build(
        &mut self,
        all: &[Cgroup],
        mode: &CgroupMode,
        spaces: &mut Vec<NewSpace<'_>>,
    ) -> Result<()> {
        if all.is_empty() && spaces.is_empty() {
            return Ok(());
        }
        let (own, mounts) = (Own::read()?, Mounts::read()?);
        let mut names: BTreeMap<&Bytes, Vec<&Cgroup>> = BTreeMap::new();
        for cgroup in all {
            names.entry(&cgroup.hierarchy).or_default().push(cgroup);
        }
        let bases = target::bases(mode, &own, &mounts, names.keys().copied())?;
        // Version 2, whose name is empty, comes last: a namespace has roots in all of them.
        for (name, of) in names.into_iter().rev() {
            let (here, base) = (own.path(name), bases.get(name));
            let moved = Moved { old: target::common_of(&of), new: base.cloned() };
            self.moved.insert(name.clone(), moved);
            match target::targets(mode, &of, base) {
                Ok(targets) if target::is_done(&targets, here) => {}
                Ok(targets) if target::is_unseen(&targets, &mounts)? => {
                    self.unseen.insert(name.clone());
                }
                Ok(targets) => self.hierarchy(&targets, here, (spaces, &own, &mounts)),
                Err((of, e)) => drop(self.problems.insert(of, e)),
            }
        }
        if self.problems.is_empty() {
            self.make_spaces(None, spaces, (&own, &mounts));
        }
        Ok(())
    }

    /// Finds or makes the cgroups of a hierarchy, those above first.
    fn hierarchy(&mut self, targets: &[Target<'_>], here: Option<&[u8]>, with: With<'_, '_>) {
        let number = self.hierarchies.len();
        self.hierarchies.push(Hierarchy::default());
        for target in targets {
            if let Err(e) = self.group(number, target, here, (&mut *with.0, with.1, with.2)) {
                self.problems.insert(target.cgroup.key(), e);
                // Those below would lack it.
                return;
            }
        }
    }

    fn group(
        &mut self,
        number: usize,
        target: &Target<'_>,
        here: Option<&[u8]>,
        (spaces, own, mounts): With<'_, '_>,
    ) -> Result<()> {
        let (directory, is_new) = make::find(target, mounts, here.is_some())?;
        let made = target.cgroup.directory.clone().filter(|_| is_new);
        let hierarchy = &mut self.hierarchies[number];
        let at = hierarchy.groups.len();
        match &target.cgroup.members {
            Members::Others => hierarchy.others = Some(at),
            Members::Listed(all) => {
                hierarchy.listed.extend(all.iter().map(|(_, tid)| (*tid, at)));
            }
        }
        if here == Some(&target.path) {
            hierarchy.own = Some(at);
        }
        let path = directory.path().to_owned();
        hierarchy.groups.push(Group { of: target.cgroup.key(), directory, made });
        if is_new && target.cgroup.hierarchy.0.is_empty() {
            let new = Directory::open(&[path])?;
            let new = new.as_ref().map(|new| (target.path.as_slice(), new));
            new.into_iter().for_each(|new| self.make_spaces(Some(new), spaces, (own, mounts)));
        }
        let Group { directory, made, .. } = &self.hierarchies[number].groups[at];
        // Also what has only been begun is removed with the others.
        made.as_ref().map_or(Ok(()), |made| make::begin(directory, made))?;
        self.freezer((number, at), target)
    }

    /// Whether a cgroup can be frozen in the end, or used at all where it is frozen already.
    fn freezer(&mut self, (number, at): (usize, usize), target: &Target<'_>) -> Result<()> {
        let Group { directory, made, .. } = &self.hierarchies[number].groups[at];
        let was = target.cgroup.directory.as_ref().is_some_and(|directory| directory.frozen);
        let is = directory.is_told_to_freeze()?;
        let no = |problem| Err(Error::because("put the tree into it", problem));
        if made.is_none() && (was || is) {
            // Of version 1 only those of our pid namespace are seen.
            let seen = directory.is_version_2() || floe_proc::is_in_initial_pid_namespace()?;
            let alone = was && seen && directory.processes()?.is_empty();
            match is {
                _ if alone => {}
                _ if was && !seen => {
                    return no(
                        "it was frozen, and what else is in it is not seen from this pid namespace",
                    );
                }
                false => {
                    return no("it was frozen, and others are in it here, which would be, too");
                }
                true => return no("it is frozen here"),
            }
            if is {
                directory.freeze(false)?;
                self.thawed.push((number, at));
            }
        }
        if was {
            self.frozen.push((number, at));
        }
        if make::is_frozen_above(directory)? {
            return no("one above it is frozen here");
        }
        Ok(())
    }

    /// Tries with a process of its own whether something may be in each cgroup that has members.
    fn probe(&mut self) -> Result<()> {
        if self.hierarchies.is_empty() {
            return Ok(());
        }
        let pid = floe_sys::spawn_stub(&[], 0, libc::SIGCHLD)?;
        for hierarchy in &self.hierarchies {
            let all: BTreeSet<usize> =
                hierarchy.listed.values().copied().chain(hierarchy.others).collect();
            for at in all.into_iter().filter(|at| Some(*at) != hierarchy.own) {
                let group = &hierarchy.groups[at];
                if let Err(e) = put_into(&group.directory, pid as u32, true) {
                    self.problems.insert(group.of.clone(), e);
                }
            }
        }
        let pid = RawPid::from_raw(pid);
        let ended = kill(pid, Signal::SIGKILL).and_then(|()| waitpid(pid, None));
        ended.map(drop).map_err(|e| Error::new("end a process that was tried", e))
    }

    /// Puts a thread, or a process by the id of its leader, where it belongs. So far it is where that one belongs which has made
    /// it, and the root is where restore is.
    pub fn join(&self, tree: &Tree, tid: Tid) -> Result<()> {
        let thread = tree.get::<Thread>(tid);
        let leader = thread.filter(|thread| thread.pid.0 != tid.0).map(|thread| Tid(thread.pid.0));
        let process = tree.get::<Process>(Pid(tid.0)).map(|process| process.maker);
        let maker = leader.or(process.filter(|maker| tree.get::<Thread>(*maker).is_some()));
        for hierarchy in &self.hierarchies {
            let now = maker.map_or(hierarchy.own, |maker| hierarchy.of(maker));
            if let Some(at) = hierarchy.of(tid).filter(|at| Some(*at) != now) {
                let put = put_into(&hierarchy.groups[at].directory, tid.0, leader.is_none());
                put.map_err(|e| e.pid(tid.0))?;
            }
        }
        Ok(())
    }

    /// Sets what limits those that were made, and freezes those that were frozen.
    pub fn limit(&self) -> Result<()> {
        for group in self.hierarchies.iter().flat_map(|hierarchy| &hierarchy.groups) {
            if let Some(made) = &group.made {
                make::set(&group.directory, made, PropertyTurn::Late)?;
            }
        }
        self.told(&self.frozen).try_for_each(|directory| directory.freeze(true))
    }

    /// Lets what is frozen by now hear of its end.
    pub fn thaw(&self) {
        for directory in self.told(&self.frozen) {
            // Nothing more can be done than try.
            let _ = directory.freeze(false);
        }
    }

    fn told<'a>(&'a self, all: &'a [(usize, usize)]) -> impl Iterator<Item = &'a Directory> {
        all.iter().map(|(number, at)| &self.hierarchies[*number].groups[*at].directory)
    }

    /// The restore has succeeded.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let all = self.hierarchies.iter().flat_map(|hierarchy| hierarchy.groups.iter().rev());
        for group in all.filter(|group| group.made.is_some()) {
            let path = group.directory.path();
            let busy = |_: &u32| {
                fs::remove_dir(path).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY))
            };
            // What was killed in it leaves it in a moment.
            (0..EMPTYING).take_while(busy).for_each(|_| sleep(Duration::from_millis(1)));
        }
        for directory in self.told(&self.thawed) {
            let _ = directory.freeze(true);
        }
    }
}
