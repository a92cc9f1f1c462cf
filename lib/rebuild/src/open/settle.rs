//! What is done to open files when all of them are there.

use super::{OpenFiles, high};
use crate::{
    cgroups::Cgroups,
    connection,
    descriptor::terminal::Modes,
    factory::reopen,
    file::{
        inotify::{self, watch_removed},
        io_uring,
    },
    handover::Handover,
    late_queues,
    object::{pty, queue},
    options::RestoreOptions,
    script::Script,
    spaces,
    users::Users,
};
use floe_netlock::Held;
use floe_records::*;
use floe_sys::{Error, Guardian, Reconnection, Repair, Result};
use floe_worker_pool::parallel::each;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sched::CloneFlags,
    sys::stat::SFlag,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::PoisonError,
};

/// What the rest is made in: cgroups with their namespaces, and user namespaces.
pub(super) fn around<'a>(
    tree: &Tree,
    options: &'a RestoreOptions,
    no: &mut Vec<Finding>,
) -> (Cgroups, Users<'a>) {
    let made = Users::make(tree, options.user.as_deref()).and_then(|users| {
        let spaces = spaces::cgroup_spaces(tree, options, &users)?;
        Ok((Cgroups::new(tree, &options.cgroup, spaces), users))
    });
    made.unwrap_or_else(|e| {
        no.push(Finding::about("namespaces", "rebuild.place", e.to_string()));
        Default::default()
    })
}

impl OpenFiles<'_> {
    /// The way by which what is opened late comes to those who have it.
    pub(super) fn open_handover(&mut self, no: &mut Vec<Finding>) {
        if self.late.is_empty() && self.tree.all::<PidNames>().is_empty() {
            return;
        }
        let spaces = self.tree.all::<PidNames>().iter().map(|space| space.id);
        let places = spaces.map(|id| Ok((id, high(self.base, super::place_of_late()?)?)));
        let opened = Handover::new(self.base).and_then(|handover| {
            self.handover = Some(handover);
            self.pids = places.collect::<Result<_>>()?;
            Ok(())
        });
        if let Err(e) = opened {
            no.push(Finding::about("restore", "rebuild.open", e.to_string()));
        }
    }

    /// What ids are called where a process is, in a user namespace that restore has made.
    pub(crate) fn maps_of(&self, pid: Pid) -> Option<&IdMaps> {
        self.make.stands.maps(self.tree, pid)
    }

    /// The number of a user namespace that was made.
    pub(crate) fn user_space(&self, id: NsId) -> Option<u32> {
        self.make.stands.user_space(id).map(|space| space.as_raw_fd() as u32)
    }

    /// Has a stub get a file that has come late, under the number that it has here.
    pub(crate) fn hand_over(&self, id: FileId, script: &mut Script<'_>) -> Result<()> {
        let none = || Error::because("hand over a file", "it is not open");
        let open = self.files.get(&id).ok_or_else(none)?;
        let in_user_space = self.maps_of(script.pid(self.tree)).is_some();
        self.hand_over_open(open, in_user_space, script).map(drop)
    }

    /// Has a stub get something that was opened late, under the number that it has here; gives that. `in_user_space`: the stub is in a
    /// user namespace of the tree's own.
    pub(crate) fn hand_over_open(
        &self,
        open: &OwnedFd,
        in_user_space: bool,
        script: &mut Script<'_>,
    ) -> Result<u64> {
        let none = || Error::because("hand over a file", "there is no way");
        let handover = self.handover.as_ref().ok_or_else(none)?;
        let number = open.as_raw_fd() as u32;
        match in_user_space {
            true => handover.send(open.as_fd(), script)?,
            false => handover.take(number, script),
        }
        Ok(number.into())
    }

    /// Mounts what had to wait for pid namespaces.
    pub(crate) fn finish_mounts(&self) -> Result<()> {
        let stands = &self.make.stands;
        let notes = stands.mounts.finish(self.tree, stands.outer, &|id| self.pids(id))?;
        self.late_notes.lock().unwrap_or_else(PoisonError::into_inner).extend(notes);
        Ok(())
    }

    /// What mounts that had to wait have otherwise than they had it, in words.
    pub fn late_notes(&self) -> Vec<String> {
        self.late_notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a pid namespace, which is there now, in the place that was kept for it.
    pub(crate) fn put_pids(&self, space: NsId, open: BorrowedFd<'_>) -> Result<()> {
        floe_sys::replace_descriptor(self.pids(space)?.as_fd(), open)
    }

    /// A pid namespace below that of the root.
    pub(crate) fn pids(&self, space: NsId) -> Result<&OwnedFd> {
        let none = || Error::because("find a pid namespace", "no place was kept for it");
        self.pids.get(&space).ok_or_else(none)
    }

    /// Has a stub get a pid namespace; gives its number.
    pub(crate) fn hand_over_pids(
        &self,
        space: NsId,
        in_user_space: bool,
        script: &mut Script<'_>,
    ) -> Result<u64> {
        self.hand_over_open(self.pids(space)?, in_user_space, script)
    }

    /// The process of the tree that a process is a child of.
    pub(crate) fn born(&self, pid: Pid) -> Option<Pid> {
        let parent = self.tree.get::<Process>(pid).map(|p| p.ppid);
        parent.filter(|parent| self.tree.get::<Process>(*parent).is_some())
    }

    /// Numbers of the namespaces that a process enters when it is there, each with its flag.
    pub(crate) fn spaces(&self, pid: Pid) -> Result<Vec<(u32, CloneFlags)>> {
        let all = self.make.stands.entered(pid, self.born(pid))?.into_iter();
        Ok(all.map(|(space, flag)| (space.as_raw_fd() as u32, flag)).collect())
    }

    /// Masters of pseudo terminals that belong to nobody in the tree.
    pub fn orphans(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let outside = self.tree.all::<OutsideTerminal>().iter().map(|it| it.pty);
        let outside: BTreeSet<ObjectId> = outside.collect();
        let ptys = self.make.ptys.iter().filter(move |(id, _)| outside.contains(id));
        ptys.map(|(_, made)| made.master.as_fd())
    }

    /// Sets the terminals that the tree is given as its own were.
    pub fn modes(&self) -> Result<Modes> {
        let given = |id| {
            let by_number = self.standard.iter().find(|((file, _), _)| *file == id);
            let fd = by_number.map(|(_, fd)| fd).or_else(|| self.files.get(&id))?;
            fd.try_clone().ok()
        };
        Modes::set(self.tree, &given)
    }

    /// What sockets have been given only until all are bound.
    pub(super) fn settle(&self, no: &mut Vec<Finding>) {
        let tcp = self.tree.all::<TcpSocket>().iter().map(|tcp| (tcp.file, &tcp.socket));
        // Connections are in repair mode.
        let tcp = tcp.filter(|(_, socket)| !socket.is_connection());
        let udp = self.tree.all::<UdpSocket>().iter().map(|udp| (udp.file, &udp.socket));
        let others = self.tree.all::<DatagramSocket>().iter().map(|it| (it.file, &it.socket));
        let mptcp = self.tree.all::<MptcpSocket>().iter().map(|it| (it.file, &it.socket));
        let all = tcp.chain(mptcp).chain(udp).chain(others);
        for (id, socket) in all.filter(|(_, socket)| !socket.name.0.is_empty()) {
            if let Some(fd) = self.files.get(&id)
                && let Err(e) = crate::inet::settle(socket, fd)
            {
                no.push(Finding::about(self.tree.describe(id), "rebuild.open", e.to_string()));
            }
        }
    }

    /// Files that are registered with io_uring instances.
    pub(super) fn settle_rings(&self, no: &mut Vec<Finding>) {
        for ring in self.tree.all::<IoUring>() {
            // What could not be opened has been said.
            let all = ring.files.iter().map(|(_, id)| id).chain([&ring.file]);
            if !all.into_iter().all(|id| self.files.contains_key(id)) {
                continue;
            }
            if let Err(e) = io_uring::register(ring, |id| self.files.get(&id)) {
                no.push(Finding::about(
                    self.tree.describe(ring.file),
                    "rebuild.open",
                    e.to_string(),
                ));
            }
        }
    }

    /// Slaves of pseudo terminals go to the numbers that processes find things at; modes that would have been in the way of opening
    /// them go on.
    pub(super) fn settle_terminals(&mut self, no: &mut Vec<Finding>) {
        for (id, made) in &mut self.make.ptys {
            let Some(pty) = self.tree.get::<Pty>(*id) else { continue };
            let slave = made.slave.take().map(|slave| high(self.base, slave)).transpose();
            let settled = slave.and_then(|slave| {
                made.slave = slave;
                pty::settle(pty, made)
            });
            if let Err(e) = settled {
                let object = format!("pseudo terminal {}", id.ino);
                no.push(Finding::about(object, "rebuild.open", e.to_string()));
            }
        }
    }

    /// Notes what is open in another way than it was. What is written to first gets its flags later, and what comes late when it
    /// is opened.
    pub(super) fn compare_flags(&mut self) {
        let later: BTreeSet<FileId> = self.make.given.values().copied().collect();
        let (tree, files, late) = (self.tree, &self.files, &self.late);
        let all: Vec<&OpenFile> = tree.all::<OpenFile>().iter().collect();
        let other = each(&all, |open| {
            let later = later.contains(&open.id) || late.contains(&open.id);
            let fd = files.get(&open.id);
            let fd = fd.filter(|_| !later && open.kind != Kind::External.number())?;
            // A lease, which the process takes, sets this flag.
            let late = tree.get::<Lease>(open.id).map_or(0, |_| libc::O_ASYNC);
            // Of a message queue this is shown too, and stands in its own record.
            let late = late | libc::O_CLOEXEC;
            let (now, was) = (fcntl(fd, FcntlArg::F_GETFL).ok()?, open.flags);
            let differ = (now | late) as u32 != was | late as u32;
            let object = differ.then(|| tree.describe(open.id))?;
            Some(format!("{object}: its flags (F_GETFL) are {now:#o} and were {was:#o}"))
        });
        self.notes.extend(other.into_iter().flatten());
    }

    /// Whether a message has come into a queue before the process that is to be told of messages was registered for that.
    pub(crate) fn has_missed(&self, queue: &Queue, id: FileId) -> Result<bool> {
        let none = || Error::because("look into a message queue", "it is not open");
        let open = self.files.get(&id).ok_or_else(none)?;
        self.make.stands.in_ipc(queue.id.dev, || queue::has_missed(queue, open))
    }

    /// What restore itself has done to files is no event for the tree.
    pub(super) fn forget_events(&self) -> Result<()> {
        for it in self.tree.all::<Inotify>() {
            self.files.get(&it.file).map_or(Ok(()), |fd| inotify::forget(it, fd))?;
        }
        Ok(())
    }

    /// Closes all pipes and pseudo terminals that are kept here. Every process has its own by now.
    pub(crate) fn close_pipes(&self) -> Result<()> {
        let fail = |e: std::io::Error| Error::new("close a pipe", e);
        let null = std::fs::File::open("/dev/null").map_err(fail)?;
        let made = self.make.pipes.values().flat_map(|(reader, writer)| [reader, writer]);
        let made = made.chain(self.make.fifos.values());
        let maybe = |id: FileId| {
            let kinds = [Pipe::KIND, Fifo::KIND, External::KIND, SpecialPath::KIND];
            self.tree.get::<OpenFile>(id).is_none_or(|open| kinds.contains(&open.kind))
        };
        let files = self.files.iter().filter(|(id, _)| maybe(**id)).map(|(_, fd)| fd);
        for fd in made.chain(files).chain(self.standard.values()) {
            let mode = nix::sys::stat::fstat(fd).map_err(|e| fail(e.into()))?.st_mode;
            if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFIFO {
                floe_sys::replace_descriptor(fd.as_fd(), null.as_fd())?;
            }
        }
        let masters = self.tree.all::<PtyMaster>().iter().map(|master| master.file);
        let slaves = self.tree.all::<PtySlave>().iter().map(|slave| slave.file);
        let ends = masters.chain(slaves).filter_map(|id| self.files.get(&id));
        let made = self.make.ptys.values();
        let made = made.flat_map(|made| [&made.master].into_iter().chain(&made.slave));
        let mut terminals = ends.chain(made);
        terminals.try_for_each(|fd| floe_sys::replace_descriptor(fd.as_fd(), null.as_fd()))
    }

    /// Has inotify watch files without a name. What restore itself has open of them is closed first, which would be an event;
    /// every process has its own by now.
    pub(crate) fn watch_removed(&self) -> Result<()> {
        let all = self.tree.all::<Inotify>().iter();
        let all = all.filter(|it| it.watches.iter().any(|watch| watch.name.deleted));
        let all: Vec<&Inotify> = all.collect();
        let mut files = BTreeMap::new();
        for watch in all.iter().flat_map(|it| &it.watches).filter(|watch| watch.name.deleted) {
            let id = watch.name.object();
            let path = match self.make.objects.get(&id) {
                Some(object) => reopen(object, OFlag::O_PATH)?,
                None => {
                    let path = &self.make.stands.removed(&watch.name)?.path;
                    path.try_clone().map_err(|e| Error::new("watch a removed file", e))?
                }
            };
            files.insert(id, path);
        }
        let null = super::place_of_late()?;
        for id in files.keys() {
            let own = [&self.make.objects, &self.readable, &self.programs];
            let mut own = own.into_iter().filter_map(|some| some.get(id));
            own.try_for_each(|fd| floe_sys::replace_descriptor(fd.as_fd(), null.as_fd()))?;
        }
        let none = || Error::because("watch a removed file", "what watches it is not open");
        all.into_iter().try_for_each(|it| {
            watch_removed(it, self.files.get(&it.file).ok_or_else(none)?, &files)
        })
    }

    /// Fills queues of UNIX sockets with what carries something.
    pub(crate) fn send(&self) -> Result<()> {
        let none = || Error::because("send a descriptor", "it is not open");
        late_queues::send(&self.make, &|id| self.files.get(&id).map(AsFd::as_fd).ok_or_else(none))
    }

    /// Over processes that are about to be let go: a guardian that has them end with us or, from its turn on, gives their TCP
    /// connections the network back in our place.
    pub(crate) fn guard(&self, pids: &[i32]) -> Result<Guardian> {
        let locks = self.make.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let removal = |lock: &Held| lock.removal(self.left());
        let unlock = locks.iter().map(|lock| (lock.network().socket(), removal(lock)));
        let sockets = self.connections().map(|(was, fd)| (fd.as_fd(), connection::reuse(was)));
        Guardian::over(pids, &Reconnection { unlock: unlock.collect(), sockets: sockets.collect() })
    }

    /// Ends the repair mode of the TCP connections of the tree, from which the network is still kept away. In repair mode no process
    /// can read from them or write to them.
    pub(crate) fn end_repair(&self) -> Result<()> {
        self.connections().try_for_each(|(was, fd)| connection::end_repair(was, fd))
    }

    /// Has the TCP connections of the tree end without a word to their peers, so that they can be restored once more.
    pub(crate) fn silence(&self) {
        // One that is not in repair mode ends as any other.
        self.connections().for_each(|(_, fd)| drop(floe_sys::set_repair(fd.as_fd(), Repair::On)));
    }

    /// Gives the TCP connections of the tree the network back, and lets them go on.
    pub(crate) fn connect(&self) -> Result<()> {
        let mut locks = self.make.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // They are dropped behind the release of the tree, since that takes longer than all that is left to do.
        locks.iter_mut().try_for_each(|lock| lock.unlock(self.left()))?;
        self.connections().try_for_each(|(was, fd)| connection::go_on(was, fd))
    }

    /// The lock of the network that freeze has left.
    fn left(&self) -> Option<u64> {
        self.tree.all::<NetworkLock>().first().map(|left| left.id)
    }

    fn connections(&self) -> impl Iterator<Item = (&InetSocket, &OwnedFd)> {
        let all = self.tree.all::<TcpSocket>().iter();
        let all = all.filter(|tcp| tcp.socket.is_connection());
        all.filter_map(|tcp| Some((&tcp.socket, self.files.get(&tcp.file)?)))
    }
}
