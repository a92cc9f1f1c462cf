//! Descriptor tables and the open file descriptions behind them.
//!
//! Nothing is consumed: contents of pipes are copied by tee(2), everything else comes from /proc/PID/fdinfo and
//! from duplicates taken by pidfd_getfd(2), which share the description but not the table.

pub use crate::descriptor_of::Purpose;
use crate::{
    Error, Result,
    descriptor_of::{Context, Descriptor, Problem},
    entry::{Entry, Holder},
    file::{directory, message_queue, netlink, unix},
    in_flight, inet,
    known::{Known, Ranks},
    net_spaces::NetSpaces,
    object::datagram_queue,
    other_names, parallel,
    resource::{self, is},
    socket_losses::Fresh,
};
use floe_records::{
    AnyRecord, External, Fd, FdEntries, FdEntry, FdNum, FdTable, FileId, Finding, Findings, Object,
    ObjectId, OpenFile, Options, Pid, Record, SocketQueue,
};
use nix::sys::termios::tcgetattr;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    os::fd::OwnedFd,
    sync::Mutex,
};

/// Everything that descriptors of a tree lead to.
#[derive(Default)]
pub struct Files {
    /// The processes.
    pub(crate) pids: Vec<Pid>,
    /// Open file descriptions by their ids, each with what it is.
    pub(crate) all: Vec<(OpenFile, AnyRecord)>,
    /// Descriptors by process, ascending.
    pub(crate) tables: Vec<FdTable>,
    /// Properties of descriptors and descriptions.
    pub(crate) properties: Vec<AnyRecord>,
    /// Duplicates of those descriptions whose contents are asked for later.
    pub(crate) duplicates: BTreeMap<FileId, OwnedFd>,
    /// Files without a name that only descriptors lead to.
    pub(crate) objects: BTreeMap<ObjectId, (Object, File)>,
    /// Pipes whose contents are the tree's.
    pub(crate) own_pipes: BTreeSet<ObjectId>,
    /// Pseudo terminals whose other end is closed: restore makes one like it.
    pub(crate) hung_up: BTreeSet<FileId>,
    /// What /proc shows of slaves of pseudo terminals, which may turn out to be the outside's.
    pub(crate) links: BTreeMap<FileId, Vec<u8>>,
    /// Message queues, with who is told of their messages.
    pub(crate) message_queues: BTreeMap<ObjectId, message_queue::State>,
    /// What is queued in UNIX sockets.
    pub(crate) queues: Mutex<Vec<SocketQueue>>,
    /// Descriptors that are refused for what they lead to.
    pub(crate) refused: Vec<(Pid, FdNum)>,
    /// What was read of descriptors, for who describes them once more.
    pub(crate) entries: Vec<FdEntries>,
    /// What was told apart, for who looks once more.
    pub(crate) ranks: Ranks,
    /// Why they are read.
    pub(crate) purpose: Option<Purpose>,
}

/// Work on descriptors, one after the other.
pub(crate) struct Describing<'a> {
    pub(crate) files: Files,
    pub(crate) context: Context<'a>,
    known: Known,
    fresh: Fresh,
    /// Parts of a description that are not carried.
    lost: Vec<(FileId, Finding)>,
    /// Descriptors of which it is still to be kept what was read.
    keep: usize,
    pub(crate) out: &'a mut Findings,
}

impl Files {
    /// Describes what the descriptors of `pids` lead to, without a side effect on them; those of `sharers` have the table of
    /// another one of them. In a preview, descriptors that are
    /// closed meanwhile are left out.
    pub fn describe(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        purpose: Purpose,
        out: &mut Findings,
    ) -> Result<Self> {
        let all = Self::work(pids, sharers, options, purpose, (Vec::new(), Ranks::default()), out)?;
        all.ok_or_else(changed)
    }

    /// The same of processes that stand still, faster where descriptors are as they were told apart when the processes ran.
    pub(crate) fn describe_ranked(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        ranks: &Ranks,
        out: &mut Findings,
    ) -> Result<Self> {
        let (told, mut found) = ((Vec::new(), ranks.clone()), out.clone());
        match Self::work(pids, sharers, options, Purpose::Look, told, &mut found)? {
            Some(files) => {
                *out = found;
                Ok(files)
            }
            None => Self::describe(pids, sharers, options, Purpose::Look, out),
        }
    }

    /// The same; those processes of whose descriptors `read` has records are not read again.
    pub fn describe_read(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        purpose: Purpose,
        read: Vec<FdEntries>,
        out: &mut Findings,
    ) -> Result<Self> {
        let all = Self::work(pids, sharers, options, purpose, (read, Ranks::default()), out)?;
        all.ok_or_else(changed)
    }

    fn work(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        purpose: Purpose,
        (read, ranks): (Vec<FdEntries>, Ranks),
        out: &mut Findings,
    ) -> Result<Option<Self>> {
        let nets = NetSpaces::of(pids)?;
        let context = Context::new(options, purpose, &nets);
        let files = Self { pids: pids.to_vec(), purpose: Some(purpose), ..Self::default() };
        let (known, fresh, lost) = (Known::new(ranks), Fresh::default(), Vec::new());
        let keep = if purpose == Purpose::Look { MOST } else { 0 };
        let mut work = Describing { files, context, known, fresh, lost, keep, out };
        let mut by_pid: HashMap<Pid, Vec<FdEntry>> = HashMap::new();
        for FdEntries { pid, entries } in read {
            by_pid.entry(pid).or_default().extend(entries);
        }
        for pid in pids.iter().filter(|pid| !sharers.contains(pid)) {
            match by_pid.remove(pid) {
                Some(read) => work.process_read(*pid, read)?,
                None => work.process(*pid)?,
            }
        }
        if purpose == Purpose::Look && !work.known.holds()? {
            return Ok(None);
        }
        // Duplicates of what was on its way stay open: others are compared with them.
        let _in_flight = if work.context.held { work.in_flight()? } else { Vec::new() };
        let Describing { mut files, lost, known, .. } = work;
        if purpose == Purpose::Preview {
            files.ranks = known.ranks(&files.tables);
        }
        resource::relate(&mut files, out)?;
        in_flight::check_alone(&files, out);
        // A file that is the outside's is not made again.
        let inside = |id: FileId| !is::<External>(&files.all[id.0 as usize].0);
        let lost = lost.into_iter().filter(|(id, _)| inside(*id));
        lost.for_each(|(_, finding)| out.lose(finding));
        Ok(Some(files))
    }

    /// A descriptor of each description that a process has.
    pub(crate) fn places(&self) -> BTreeMap<FileId, (Pid, FdNum)> {
        let of_table = |table: &'_ FdTable| {
            let pid = table.pid;
            table.fds.iter().map(move |fd| (fd.file, (pid, fd.fd))).collect::<Vec<_>>()
        };
        self.tables.iter().flat_map(of_table).collect()
    }

    /// The descriptions of one kind, with what they are.
    pub(crate) fn of<T: Record>(&self) -> impl Iterator<Item = &(OpenFile, AnyRecord)> {
        self.all.iter().filter(|(open, _)| is::<T>(open))
    }

    /// Makes a description one of another kind.
    pub(crate) fn replace<T: Record>(&mut self, id: FileId, what: T) {
        let (open, old) = &mut self.all[id.0 as usize];
        (open.kind, *old) = (T::KIND, what.any());
        self.duplicates.remove(&id);
    }

    /// Looks at what stands on its own. The processes may run.
    pub(crate) fn look(&self, out: &mut Findings) -> Result<()> {
        resource::look_at_objects(self, out)
    }

    /// What stands on its own: queues and the like. The processes stand still.
    pub fn collect(&self, out: &mut Findings) -> Result<Vec<AnyRecord>> {
        resource::objects(self, out)
    }

    /// Leaves out files without a name that are mapped: their contents travel with the memory.
    pub fn leave_out(&mut self, mapped: &BTreeSet<ObjectId>) {
        self.objects.retain(|id, _| !mapped.contains(id));
    }

    /// Files without a name, open for reading.
    pub fn objects(&self) -> &BTreeMap<ObjectId, (Object, File)> {
        &self.objects
    }

    /// All records but those of [`Files::collect`].
    pub fn records(&self) -> impl Iterator<Item = AnyRecord> {
        let objects = self.objects.values().map(|(object, _)| object.clone().any());
        let files = self.all.iter().flat_map(|(open, what)| [open.clone().any(), what.clone()]);
        let tables = self.tables.iter().filter(|table| !table.fds.is_empty());
        let tables = tables.flat_map(pieces).map(Record::any);
        objects.chain(files).chain(tables).chain(self.properties.iter().cloned())
    }
}

impl Describing<'_> {
    fn process(&mut self, pid: Pid) -> Result<()> {
        let holder = Holder::open(pid.0, self.context.held)?;
        let numbers = holder.numbers()?;
        // Names that were searched for are known to freeze alone.
        let keeps = numbers.len() <= self.keep
            || (self.files.purpose == Some(Purpose::Look) && other_names::some_are_known());
        let (mut fds, mut kept) = (Vec::with_capacity(numbers.len()), Vec::new());
        for some in numbers.chunks(AT_ONCE) {
            let read = parallel::each(some, |fd| holder.entry(*fd));
            for (&fd, entry) in some.iter().zip(read) {
                let Some(entry) = self.read(&holder, fd, entry)? else { continue };
                match self.descriptor(&holder, &entry) {
                    Ok(found) => {
                        let kept_of = |found: Fd| entry.record(found.file);
                        kept.extend(found.filter(|_| keeps).map(kept_of));
                        fds.extend(found);
                    }
                    Err(error) if self.passes(&error) => {}
                    Err(_) if self.runs() && holder.has_changed(&entry) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if keeps {
            self.keep = self.keep.saturating_sub(numbers.len());
            let pieces = kept.chunks(MOST).map(|some| FdEntries { pid, entries: some.to_vec() });
            self.files.entries.extend(pieces);
        }
        self.files.tables.push(FdTable { pid, fds });
        Ok(())
    }

    /// What was read of a descriptor; `None` where it is refused or was closed meanwhile.
    fn read(&mut self, holder: &Holder, fd: u32, entry: Result<Entry>) -> Result<Option<Entry>> {
        match entry {
            Err(Error::Sys(error)) if error.is_stale() => {
                self.out.refuse(holder.stale(fd)?);
                Ok(None)
            }
            Err(Error::Sys(error)) if error.is_long_path() => {
                let problem = "its path is longer than the kernel shows (4096 bytes)";
                let finding =
                    Finding::of(Pid(holder.pid), format!("fd {fd}"), "file.long", problem);
                self.out.refuse(finding);
                Ok(None)
            }
            Err(error) if self.passes(&error) || self.runs() && holder.has_closed(fd) => Ok(None),
            entry => entry.map(Some),
        }
    }

    /// Whether descriptors may change under our eyes.
    fn runs(&self) -> bool {
        !self.context.held
    }

    /// Whether a descriptor was closed while it was looked at, be it that its number leads to something like it again.
    fn passes(&self, error: &Error) -> bool {
        let Error::Sys(error) = error else { return false };
        self.runs() && matches!(error.errno(), Some(libc::ENOENT | libc::EBADF))
    }

    /// A process of which all has been read.
    fn process_read(&mut self, pid: Pid, read: Vec<FdEntry>) -> Result<()> {
        let holder = Holder::open(pid.0, self.context.held)?;
        let mut fds = Vec::with_capacity(read.len());
        for record in read {
            let entry = Entry::of_record(record, &holder)?;
            fds.extend(self.descriptor(&holder, &entry)?);
        }
        self.files.tables.push(FdTable { pid, fds });
        Ok(())
    }

    /// Describes a descriptor; `None` for one that is refused.
    pub(crate) fn descriptor(&mut self, holder: &Holder, entry: &Entry) -> Result<Option<Fd>> {
        let (seen, fd) = (Descriptor::of(holder, self.context, entry), entry.fd);
        let (old, at) = self.known.find(&seen)?;
        let id = old.unwrap_or(FileId(self.files.all.len() as u32));
        let number = Fd { fd: FdNum(fd), file: id, cloexec: seen.cloexec };
        let properties = match self.properties(&seen, id, old.is_none()) {
            Ok(properties) => properties,
            Err(problem) => return self.refuse(problem, &seen),
        };
        if old.is_none() {
            let what = match resource::describe(&seen, id) {
                Ok(what) => what,
                Err(problem) => return self.refuse(problem, &seen),
            };
            self.known.add(&seen, id, at);
            let (flags, pos, kind) = (seen.flags, seen.pos, what.kind().number());
            let open = OpenFile { id, pid: Pid(seen.pid), flags, pos, kind };
            self.losses(&seen, id)?;
            self.keep(&open, &what, seen)?;
            self.files.all.push((open, what));
        }
        self.files.properties.extend(properties);
        Ok(Some(number))
    }

    /// What else there is of a descriptor. One on its way is nobody's yet: nobody would set for it what the description has.
    fn properties(
        &self,
        seen: &Descriptor<'_>,
        id: FileId,
        first: bool,
    ) -> Result<Vec<AnyRecord>, Problem> {
        if seen.is_in_flight() && !first {
            return Ok(Vec::new());
        }
        let mut all = resource::properties(seen, id, first)?;
        all.retain(|it| !matches!(it, AnyRecord::Attributes(_)) || !seen.is_in_flight());
        match all.first().filter(|_| seen.is_in_flight()) {
            Some(found) => {
                let name = found.kind().name();
                let problem = format!("nobody has it open, and its property {name} would be lost");
                Err(Problem::new("descriptor.flight", problem))
            }
            None => Ok(all),
        }
    }

    /// Looks for parts of a directory or socket that are not carried.
    fn losses(&mut self, seen: &Descriptor<'_>, id: FileId) -> Result<()> {
        if !self.context.taking && directory::may_notify(seen)? {
            let problem = "notification of changes (F_NOTIFY) that it may have is not carried";
            let finding = Finding::of(Pid(seen.pid), seen.object(), "file.notify", problem);
            self.lost.push((id, finding));
        }
        if !self.context.taking
            && let Some(name) = seen.name().filter(|name| !name.deleted)
            && let Some(problem) = other_names::shown(seen.link, name.full())
        {
            let finding = Finding::of(Pid(seen.pid), seen.object(), "file.name", problem);
            self.lost.push((id, finding));
        }
        let Some(kind) = seen.socket().filter(|_| !self.context.taking) else { return Ok(()) };
        let options = self.fresh.losses(seen, kind)?.into_iter();
        let mut all: Vec<(&str, String)> =
            options.map(|problem| ("socket.option", problem)).collect();
        if kind.family == libc::AF_UNIX {
            let names = unix::lost_names(seen)?;
            all.extend(names.map(|problem| ("socket.name", problem)));
        }
        let carries = inet::is_inet(kind) && kind.kind != libc::SOCK_STREAM;
        if carries || kind.family == libc::AF_PACKET {
            let lost = inet::lost_of_messages(seen.duplicate()?, kind)?.into_iter();
            all.extend(lost.map(|problem| ("socket.unread", problem)));
        }
        if kind.family == libc::AF_NETLINK {
            let lost = netlink::lost(seen.duplicate()?, kind)?.into_iter();
            all.extend(lost.map(|problem| ("socket.unread", problem)));
        }
        if inet::is_tcp(kind) || inet::is_mptcp(kind) {
            let (family, ino) = (kind.family as u32, seen.stat.ino);
            let bound = || seen.in_network(|all| all.inet.is_bound(family, ino));
            let closed = self.context.options.close_tcp;
            let lost = inet::lost_of_connection(seen.duplicate()?, closed, bound)?;
            all.extend(lost.into_iter().map(|problem| ("socket.ended", problem)));
        }
        for (rule, problem) in all {
            let finding = Finding::of(Pid(seen.pid), seen.object(), rule, problem);
            self.lost.push((id, finding));
        }
        Ok(())
    }

    fn refuse(&mut self, problem: Problem, seen: &Descriptor<'_>) -> Result<Option<Fd>> {
        // One that changed under our eyes says nothing.
        if self.context.held || !seen.has_changed() {
            self.out.refuse(problem.at(seen)?);
            if !seen.is_in_flight() {
                self.files.refused.push((Pid(seen.pid), FdNum(seen.fd)));
            }
        }
        Ok(None)
    }

    /// Keeps a duplicate of what has contents. Only that of a socket can be looked into while the processes run.
    fn keep(&mut self, open: &OpenFile, what: &AnyRecord, seen: Descriptor<'_>) -> Result<()> {
        match what {
            // What is known to be empty need not be looked into.
            AnyRecord::UnixSocket(socket) if !unix::may_hold(socket, &seen) => {}
            AnyRecord::PtySlave(slave) => {
                self.files.links.insert(open.id, seen.link.to_vec());
                if !slave.controlling && seen.duplicate().is_ok_and(|fd| tcgetattr(fd).is_err()) {
                    self.files.hung_up.insert(open.id);
                }
            }
            AnyRecord::UnixSocket(_) if !self.context.held => {
                // It may be closed by now.
                let duplicate = seen.into_duplicate().ok();
                self.files.duplicates.extend(duplicate.map(|duplicate| (open.id, duplicate)));
            }
            AnyRecord::MessageQueue(_) => {
                let state = message_queue::state(&seen)?;
                self.files.message_queues.entry(state.0.id).or_insert(state);
            }
            _ if !self.context.held => {}
            AnyRecord::Pipe(_) if !open.reads() => {}
            AnyRecord::UdpSocket(_) | AnyRecord::DatagramSocket(_)
                if !seen.socket().is_some_and(datagram_queue::is_carried) => {}
            AnyRecord::Pipe(_)
            | AnyRecord::Fifo(_)
            | AnyRecord::UnixSocket(_)
            | AnyRecord::UdpSocket(_)
            | AnyRecord::DatagramSocket(_) => {
                self.files.duplicates.insert(open.id, seen.into_duplicate()?);
            }
            AnyRecord::NamelessFile(_) => {
                let object = crate::file::nameless_file::object(&seen)?;
                self.files.objects.entry(object.0.id).or_insert(object);
            }
            _ => {}
        }
        Ok(())
    }
}

fn changed() -> Error {
    floe_sys::Error::because("tell descriptors apart", "their order has changed").into()
}

/// Descriptors to a record, and of which it is kept what was read: some hundred bytes each.
const MOST: usize = 65_536;
/// Descriptors that are read before they are described: few, because those of a process that runs may change meanwhile.
const AT_ONCE: usize = 1024;

fn pieces(table: &FdTable) -> impl Iterator<Item = FdTable> {
    table.fds.chunks(MOST).map(|fds| FdTable { pid: table.pid, fds: fds.to_vec() })
}
