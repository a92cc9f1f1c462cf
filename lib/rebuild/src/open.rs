//! Everything that is open for the tree before the first process is made.

mod contents;
mod settle;
mod side_by_side;

use crate::{
    cgroups::Cgroups,
    factory::{Factory, reopen, with_async},
    file::external,
    given,
    handover::Handover,
    mapped::{MapKey, known, map_key},
    memory,
    options::RestoreOptions,
    resource,
    stand::Stands,
};
use floe_plan::{Phase, Step, Subject, ring};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{fcntl::OFlag, sys::stat::SFlag};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Mutex, PoisonError, RwLock},
};

/// Everything that is open for the tree, at numbers that no process of it has; see [`floe_plan::base`].
pub struct OpenFiles<'a> {
    base: u32,
    /// The last number that something is kept at.
    top: u32,
    tree: &'a Tree,
    make: Factory<'a>,
    files: BTreeMap<FileId, OwnedFd>,
    /// What has been opened before its turn.
    opened: HashMap<FileId, Result<OwnedFd>>,
    /// Outside files under the numbers that restore knows.
    standard: BTreeMap<(FileId, FdNum), OwnedFd>,
    /// How stubs get what comes late.
    handover: Option<Handover>,
    /// Pid namespaces below that of the root, or what keeps their places.
    pids: BTreeMap<NsId, OwnedFd>,
    /// What is opened when all processes exist.
    late: BTreeSet<FileId>,
    /// What each process runs.
    exes: BTreeMap<Pid, Program<'a>>,
    /// Executables and mapped files, each opened once for all processes that see it under this name.
    maps: BTreeMap<MapKey<'a>, OwnedFd>,
    /// Nameless files that nobody may map for writing.
    readable: BTreeMap<ObjectId, OwnedFd>,
    /// Nameless files that are run, apart from `readable`: their descriptors are still there when the others are closed.
    programs: BTreeMap<ObjectId, OwnedFd>,
    /// What will not be quite as it was, for people.
    notes: Vec<String>,
    /// The same of what comes late.
    late_notes: Mutex<Vec<String>>,
    /// Removed executables and carried files until they are filled: a program cannot run from what is open for writing.
    writers: RwLock<BTreeMap<ObjectId, OwnedFd>>,
}

impl Drop for OpenFiles<'_> {
    fn drop(&mut self) {
        floe_sys::close_all(std::mem::take(&mut self.files).into_values());
    }
}

/// What keeps the place of a file that is opened late.
fn place_of_late() -> Result<OwnedFd> {
    let fail = |e| Error::new("open /dev/null", e);
    std::fs::File::open("/dev/null").map(OwnedFd::from).map_err(fail)
}

fn late(step: &Step) -> Option<FileId> {
    match step {
        Step::Late(file, _) => Some(*file),
        _ => None,
    }
}

/// An executable.
enum Program<'a> {
    Named(MapKey<'a>),
    Removed(ObjectId),
}

impl<'a> OpenFiles<'a> {
    /// Carries out those of the steps that come before the first process; every refusal at once.
    pub fn new(
        tree: &'a Tree,
        options: &'a RestoreOptions,
        steps: &[Step],
    ) -> Result<Self, Refusals> {
        let mut no = Vec::new();
        // Mounts may begin at them. What has been made goes with this.
        let (mut cgroups, users) = settle::around(tree, options, &mut no);
        let stands = Stands::find(tree, (options, &mut cgroups, users), &mut |pid, object, e| {
            no.push(Finding::of(pid, object, "rebuild.place", e.to_string()));
        });
        memory::check(tree, &mut no);
        if !no.is_empty() {
            // What else there is would follow from it.
            return Err(Refusals(no));
        }
        let notes = [notes(tree), stands.notes().to_vec()].concat();
        let mut me = Self {
            base: floe_plan::base(tree),
            top: 0,
            tree,
            make: Factory::new(tree, stands, cgroups, options),
            files: BTreeMap::new(),
            opened: HashMap::new(),
            standard: BTreeMap::new(),
            handover: None,
            pids: BTreeMap::new(),
            late: steps.iter().filter_map(late).collect(),
            exes: BTreeMap::new(),
            maps: BTreeMap::new(),
            readable: BTreeMap::new(),
            programs: BTreeMap::new(),
            notes,
            late_notes: Mutex::default(),
            writers: RwLock::default(),
        };
        let missing: BTreeMap<FileId, Finding> = external::missing(&me.make).into_iter().collect();
        // A socket is connected again only where it will be used.
        let missed = |step: &Step| match step {
            Step::Open(id, _) => !missing.is_empty() && tree.get::<External>(*id).is_some(),
            _ => false,
        };
        let (mut ahead, filled) = (false, me.begin_side_by_side());
        for step in steps.iter().filter(|step| is_of_restore(step) && !missed(step)) {
            // All other files follow the first one directly.
            if matches!(step, Step::Open(..)) && !std::mem::replace(&mut ahead, true) {
                me.open_side_by_side(steps);
            }
            me.step(step, &mut no);
        }
        drop(filled);
        no.extend(missing.into_values());
        me.settle(&mut no);
        me.settle_terminals(&mut no);
        me.settle_rings(&mut no);
        me.compare_flags();
        me.notes.append(&mut me.make.notes);
        me.notes.append(&mut given::unused(&me.make));
        me.notes.append(&mut me.make.stands.mounts.notes);
        memory::note(tree, &mut me.notes);
        me.open_handover(&mut no);
        me.top = me.last_kept();
        if me.top >= me.base && floe_plan::uses(tree, me.base..=me.top) {
            let problem =
                "what restore was started with leaves too little room between the numbers";
            let hint = "start restore with fewer open descriptors";
            no.push(Finding::about("descriptors", "rebuild.descriptors", problem).hint(hint));
        }
        if no.is_empty() { Ok(me) } else { Err(Refusals(no)) }
    }

    /// The highest number that anything of the tree is kept at.
    fn last_kept(&self) -> u32 {
        let handover = self.handover.iter().flat_map(Handover::kept);
        let files = self.files.values().chain(self.standard.values()).chain(handover);
        let files = files.chain(self.pids.values());
        let maps = self.maps.values().chain(self.readable.values()).chain(self.programs.values());
        let all = files.chain(maps).chain(self.make.objects.values());
        let terminals = self.make.ptys.values().filter_map(|made| made.slave.as_ref());
        all.chain(terminals).map(|fd| fd.as_raw_fd() as u32).max().unwrap_or(0)
    }

    fn step(&mut self, step: &Step, no: &mut Vec<Finding>) {
        let tree = self.tree;
        let mut refuse = |pid: Option<Pid>, object: String, e: Error| {
            let finding = Finding::about(object, "rebuild.open", e.to_string());
            no.push(Finding { pid, ..finding });
        };
        let mut report = |object, e| refuse(None, object, e);
        match *step {
            Step::Make(kind) => resource::make(kind, &mut self.make, &mut report),
            Step::Prepare(kind) => resource::prepare(kind, &mut self.make, &mut report),
            Step::Program(pid) => {
                let exe = tree.get::<Mm>(pid).map(|mm| self.executable(pid, &mm.exe));
                if let Some(Err(e)) = exe {
                    refuse(Some(pid), "executable".into(), e);
                }
            }
            Step::Mapped(pid) => {
                for vma in tree.vmas(pid) {
                    if let Err(e) = self.map(pid, vma) {
                        refuse(Some(pid), format!("{:x}-{:x}", vma.start.0, vma.end.0), e);
                    }
                }
            }
            Step::Open(id, kind) => {
                let Some(open) = tree.get::<OpenFile>(id) else { return };
                // Why its pseudo terminal or its queue could not be had has been said.
                if self.make.lacks_pty(id) || self.make.lacks_queue(id) {
                    return;
                }
                let opened = self.opened.remove(&id).unwrap_or_else(|| {
                    let opened = match self.late.contains(&id) {
                        true => place_of_late(),
                        false => resource::open(open, kind, &mut self.make),
                    };
                    opened.and_then(|fd| with_async(fd, open)).and_then(|fd| high(self.base, fd))
                });
                match opened {
                    Ok(fd) => drop(self.files.insert(id, fd)),
                    Err(e) => refuse(None, tree.describe(id), e),
                }
            }
            Step::Apply(_, subject, kind) => {
                let Subject::File(pid, fd, file) = subject else { return };
                let Some(open) = self.files.get(&file) else { return };
                let notes = &mut self.notes;
                let mut note = |note| notes.push(format!("{}: {note}", tree.describe(file)));
                if let Err(e) = resource::opened(tree, subject, kind, open, &mut note) {
                    refuse(Some(pid), format!("fd {fd}"), e);
                }
            }
            Step::Outside => self.standard(no),
            Step::Writers => self.hold_back_executables(),
            _ => {}
        }
    }

    /// Outside files under the numbers that restore knows.
    fn standard(&mut self, no: &mut Vec<Finding>) {
        let all = self.make.numbers.iter();
        let all = all.flat_map(|(file, numbers)| numbers.iter().map(|number| (*file, *number)));
        let mut found = BTreeMap::new();
        for (file, number) in all {
            // Many processes may have it under the same number.
            if found.contains_key(&(file, FdNum(number))) {
                continue;
            }
            let own = external::by_number(&self.make, file, number);
            match own.and_then(|own| own.map(|own| high(self.base, own)).transpose()) {
                Ok(Some(own)) => drop(found.insert((file, FdNum(number)), own)),
                Ok(None) => {}
                Err(e) => {
                    let object = self.tree.describe(file);
                    no.push(Finding::about(object, "rebuild.open", e.to_string()));
                }
            }
        }
        self.standard.extend(found);
    }

    /// A program cannot run from what is open for writing: those are closed when they are filled.
    fn hold_back_executables(&mut self) {
        for id in self.tree.all::<Mm>().iter().filter_map(|mm| removed_exe(&mm.exe)) {
            let writer = self.make.objects.remove(&id);
            let writers = self.writers.get_mut().unwrap_or_else(PoisonError::into_inner);
            writers.extend(writer.map(|fd| (id, fd)));
        }
        let writers = self.writers.get_mut().unwrap_or_else(PoisonError::into_inner);
        writers.append(&mut self.make.carried.open);
    }

    /// Whether the executable of a process is set only when its content is there.
    pub(crate) fn exe_comes_late(&self, pid: Pid) -> bool {
        let stands = &self.make.stands;
        let made = |exe: &FileRef| stands.mounts.files.has(exe.object());
        let later = |mm: &Mm| mm.exe.deleted || stands.is_redirected(&mm.exe) || made(&mm.exe);
        self.tree.get::<Mm>(pid).is_some_and(later) && self.tree.owner(pid, Share::Memory) == pid
    }

    fn executable(&mut self, pid: Pid, exe: &'a FileRef) -> Result<()> {
        let program = match removed_exe(exe) {
            None => Program::Named(self.shared(pid, exe, false)?),
            Some(id) => {
                if !self.programs.contains_key(&id) {
                    let object = self.make.object(id)?;
                    let readable = || high(self.base, reopen(object, OFlag::O_RDONLY)?);
                    let (exe, mapped) = (readable()?, readable()?);
                    self.readable.insert(id, mapped);
                    self.programs.insert(id, exe);
                }
                Program::Removed(id)
            }
        };
        self.exes.insert(pid, program);
        Ok(())
    }

    /// Opens a file that a process runs or maps, unless it is open already.
    fn shared(&mut self, pid: Pid, name: &'a FileRef, write: bool) -> Result<MapKey<'a>> {
        let key = map_key(self.tree, pid, name, write);
        if !self.maps.contains_key(&key) {
            let flags = if write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
            let stands = &self.make.stands;
            let found = stands.found(pid, name, mapped_kind(name))?;
            if found.stat.st_rdev != 0 && found.stat.st_rdev != ZERO {
                return Err(Error::because(format!("map {}", name.path), "it is another device"));
            }
            let fd = stands.open(pid, name, &found, flags)?;
            stands.same.mapped(name, known(self.tree, pid, name), write, &found, &fd)?;
            self.maps.insert(key, high(self.base, fd)?);
        }
        Ok(key)
    }

    /// Opens what a VMA maps.
    fn map(&mut self, pid: Pid, vma: &'a Vma) -> Result<()> {
        match vma.kind {
            VmaKind::File => {
                if let Some(name) = &vma.file {
                    self.shared(pid, name, vma.wants_writing())?;
                }
            }
            VmaKind::Object => {
                let gone = || Error::because("map it", "its content is not in the stream");
                let id = vma.object().ok_or_else(gone)?;
                let fd = self.make.objects.get(&id).ok_or_else(gone)?;
                if !self.readable.contains_key(&id) && !vma.wants_writing() {
                    let fd = high(self.base, reopen(fd, OFlag::O_RDONLY)?)?;
                    self.readable.insert(id, fd);
                }
                if let Some(low) = self.make.objects.remove(&id) {
                    self.make.objects.insert(id, high(self.base, low)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The restore has succeeded: nothing is undone any more.
    pub fn keep(&mut self) {
        self.make.keep();
    }

    /// From now on the tree lives when we die: files that were made for it stay.
    pub(crate) fn keep_carried(&self) -> Result<()> {
        self.make.stands.mounts.files.stay();
        self.make.carried.keep()
    }

    /// The cgroups of the tree.
    pub(crate) fn cgroups(&self) -> &Cgroups {
        &self.make.cgroups
    }

    /// What will not be quite as it was, in words; nothing is refused for it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// First and last of the numbers that things are kept at, none of which the target has.
    pub(crate) fn numbers(&self) -> (u32, u32) {
        (self.base, self.top.max(self.base))
    }

    /// Puts what came late in the place that was kept for it.
    pub(crate) fn put_late(&self, id: FileId, fd: &OwnedFd) -> Result<()> {
        let none = || Error::because("open a file late", "no place was kept for it");
        let place = self.files.get(&id).ok_or_else(none)?;
        floe_sys::replace_descriptor(place.as_fd(), fd.as_fd())
    }

    /// Number of the slave of a pseudo terminal.
    pub(crate) fn slave(&self, id: ObjectId) -> Result<u32> {
        number(self.make.ptys.get(&id).and_then(|made| made.slave.as_ref()))
    }

    pub(crate) fn file(&self, id: FileId) -> Result<u32> {
        number(self.files.get(&id))
    }

    /// What stands behind a descriptor.
    pub(crate) fn descriptor(&self, fd: &Fd) -> Result<u32> {
        let own = self.standard.get(&(fd.file, fd.fd));
        if own.is_some() { number(own) } else { self.file(fd.file) }
    }

    /// Numbers of the working directory and, where it is not ours, of the root.
    pub(crate) fn places(&self, pid: Pid) -> Result<(u32, Option<u32>)> {
        let place = self.make.stands.of(pid)?;
        let root = place.root.as_ref().map(|fd| fd.as_raw_fd() as u32);
        Ok((place.cwd.as_raw_fd() as u32, root))
    }

    pub(crate) fn exe(&self, pid: Pid) -> Result<u32> {
        number(self.exes.get(&pid).and_then(|program| match program {
            Program::Named(key) => self.maps.get(key),
            Program::Removed(id) => self.programs.get(id),
        }))
    }

    pub(crate) fn mapped(&self, pid: Pid, vma: &Vma) -> Result<u32> {
        if vma.kind == VmaKind::Ring {
            let gone = || Error::because("map it", "its io_uring instance is not there");
            return self.file(vma.object().and_then(|id| ring(self.tree, id)).ok_or_else(gone)?);
        }
        if vma.kind != VmaKind::Object {
            let write = vma.wants_writing();
            let key = vma.file.as_ref().map(|name| map_key(self.tree, pid, name, write));
            return number(key.and_then(|key| self.maps.get(&key)));
        }
        let id = vma.object();
        let readable = id.and_then(|id| self.readable.get(&id));
        let object = id.and_then(|id| self.make.objects.get(&id));
        number(if vma.wants_writing() { object.or(readable) } else { readable.or(object) })
    }
}

/// The object that an executable without a name is.
fn removed_exe(exe: &FileRef) -> Option<ObjectId> {
    exe.deleted.then(|| exe.object())
}

/// Number of /dev/zero.
const ZERO: u64 = nix::sys::stat::makedev(1, 5);

/// What can be mapped: regular files, and of devices one.
fn mapped_kind(name: &FileRef) -> SFlag {
    if name.path.0 == b"/dev/zero" { SFlag::S_IFCHR } else { SFlag::S_IFREG }
}

pub(crate) fn high(base: u32, fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() as u32 >= base {
        return Ok(fd);
    }
    floe_sys::duplicate_from(fd.as_fd(), base as i32)
}

/// What the kernel lets nobody set.
fn notes(tree: &Tree) -> Vec<String> {
    let timers = tree.all::<Timers>().iter();
    let overrun = timers.flat_map(|all| all.posix.iter().map(move |timer| (all.pid, timer)));
    let overrun = overrun.filter(|(_, timer)| timer.overrun != 0);
    overrun
        .map(|(pid, timer)| {
            let (id, count) = (timer.id, timer.overrun);
            format!("pid {pid}: timer {id} forgets its overrun count of {count}")
        })
        .collect()
}

fn number(fd: Option<&OwnedFd>) -> Result<u32> {
    fd.map(|f| f.as_raw_fd() as u32)
        .ok_or_else(|| Error::because("hand over a file", "it is not open"))
}

/// The steps that [`OpenFiles`] carries out.
pub(crate) fn is_of_restore(step: &Step) -> bool {
    matches!(
        step,
        Step::Places
            | Step::Make(_)
            | Step::Prepare(_)
            | Step::Program(_)
            | Step::Mapped(_)
            | Step::Open(..)
            | Step::Outside
            | Step::Writers
            | Step::Apply(Phase::Opened, Subject::File(..), _)
    )
}
