//! Descriptors become descriptions: told apart one after the other, and described by several threads where there are many.

use crate::{
    Error, Result,
    descriptor::terminal::is_terminal,
    descriptor_of::{Context, Descriptor, Problem, Purpose},
    entry::{ByName, Entry, Holder, Slot},
    file::{directory, message_queue, nameless_file, netlink, unix},
    files::Files,
    inet,
    kept::Kept,
    known::Known,
    object::datagram_queue,
    other_names, parallel, resource,
    socket_losses::Fresh,
};
use floe_records::{
    AnyRecord, Fd, FdEntries, FdEntry, FdNum, FdTable, FileId, Finding, Findings, Object, OpenFile,
    Pid,
};
use nix::sys::termios::tcgetattr;
use std::fs::File;

/// Work on descriptors.
pub(crate) struct Describing<'a> {
    pub(crate) files: Files,
    pub(crate) context: Context<'a>,
    pub(crate) known: Known,
    pub(crate) fresh: Fresh,
    /// Parts of a description that are not carried.
    pub(crate) lost: Vec<(FileId, Finding)>,
    /// Descriptors of which it is still to be kept what was read.
    pub(crate) keep: usize,
    /// What is kept open for the next look.
    pub(crate) open: &'a mut Kept,
    pub(crate) out: &'a mut Findings,
}

impl Describing<'_> {
    /// A process of whose descriptors nothing is known.
    pub(crate) fn process(&mut self, pid: Pid) -> Result<()> {
        let mut holder = Holder::open(pid.0, self.context.held)?;
        let slots = match self.runs() {
            true => holder.slots_to_keep(self.open)?,
            false => holder.slots_among(self.open)?,
        };
        let count = slots.len();
        holder.make_room(self.files.all.len() + count);
        // Names that were searched for are known to freeze alone.
        let keeps = count <= self.keep
            || (self.files.purpose == Some(Purpose::Look) && other_names::some_are_known());
        let (mut fds, mut kept) = (Vec::with_capacity(count), Vec::new());
        let (mut slots, mut by_name) = (slots.into_iter(), ByName::default());
        loop {
            let some: Vec<Slot> = slots.by_ref().take(self.together()).collect();
            if some.is_empty() {
                break;
            }
            let read = holder.entries(some, self.open, &mut by_name)?;
            let mut entries: Vec<Box<Entry>> = Vec::with_capacity(read.len());
            for (fd, entry) in read {
                entries.extend(self.read(&holder, fd, entry)?);
            }
            let found = self.all(&holder, &entries)?;
            if holder.keeps {
                let open = entries.iter_mut().filter_map(|it| Some((it.fd, it.open.take()?)));
                self.open.put(pid.0, open);
            }
            if keeps {
                let what = |file: FileId| &self.files.all[file.0 as usize].1;
                let of_found = entries.into_iter().zip(&found);
                kept.extend(of_found.filter_map(|(entry, fd)| {
                    let file = (*fd)?.file;
                    Some(entry.record(file, what(file)))
                }));
            }
            fds.extend(found.into_iter().flatten());
        }
        if keeps {
            self.keep = self.keep.saturating_sub(count);
            while !kept.is_empty() {
                let rest = kept.split_off(kept.len().min(TO_A_RECORD));
                let entries = std::mem::replace(&mut kept, rest);
                self.files.entries.push(FdEntries { pid, entries });
            }
        }
        self.files.tables.push(FdTable { pid, fds });
        Ok(())
    }

    /// A process of which all has been read.
    pub(crate) fn process_read(&mut self, pid: Pid, read: Vec<FdEntry>) -> Result<()> {
        let holder = Holder::open(pid.0, self.context.held)?;
        holder.make_room(self.files.all.len() + read.len());
        let mut fds = Vec::with_capacity(read.len());
        let mut read = read.into_iter();
        loop {
            let some: Vec<FdEntry> = read.by_ref().take(self.together()).collect();
            if some.is_empty() {
                break;
            }
            let entries =
                parallel::each_of(some, PIECE, |it| Entry::of_record(it, &holder).map(Box::new));
            let entries = entries.collect::<Result<Vec<Box<Entry>>>>()?;
            fds.extend(self.all(&holder, &entries)?.into_iter().flatten());
        }
        self.files.tables.push(FdTable { pid, fds });
        Ok(())
    }

    /// Describes descriptors of a process; `None` for those that are refused, or were closed meanwhile.
    fn all(&mut self, holder: &Holder, entries: &[Box<Entry>]) -> Result<Vec<Option<Fd>>> {
        if entries.len() >= MANY
            && let Some(found) = self.at_once(holder, entries)?
        {
            return Ok(found);
        }
        let one = |entry: &Entry| match self.descriptor(holder, entry) {
            Err(error) if self.passes(&error) => Ok(None),
            Err(_) if self.runs() && holder.has_changed(entry) => Ok(None),
            found => found,
        };
        entries.iter().map(Box::as_ref).map(one).collect()
    }

    /// Describes them by several threads. `None` where anything is in the way of any of them: then nothing was done.
    fn at_once(
        &mut self,
        holder: &Holder,
        entries: &[Box<Entry>],
    ) -> Result<Option<Vec<Option<Fd>>>> {
        let next = self.files.all.len() as u32;
        let all = entries.iter().map(|entry| Descriptor::of(holder, self.context, entry));
        let all: Vec<Descriptor<'_>> = all.collect();
        let Ok(ids) = self.known.find_all(&all, next) else { return Ok(None) };
        let mut last = next;
        let work = all.iter().zip(&ids).map(|(seen, &id)| {
            let first = id.0 == last;
            last += u32::from(first);
            (seen, id, first)
        });
        let work: Vec<(&Descriptor<'_>, FileId, bool)> = work.collect();
        let described = parallel::each(&work, |(seen, id, first)| {
            is_plain(seen).then(|| self.described(seen, *id, *first))
        });
        let described = described.into_iter().zip(&work).map(|(done, (seen, id, first))| {
            done.unwrap_or_else(|| self.described(seen, *id, *first))
        });
        let described: Result<Vec<Described>, Stopped> = described.collect();
        let Ok(described) = described else {
            self.known.forget(next);
            return Ok(None);
        };
        let mut found = Vec::with_capacity(all.len());
        for ((seen, id), described) in all.into_iter().zip(ids).zip(described) {
            found.push(Some(Fd { fd: FdNum(seen.fd), file: id, cloexec: seen.cloexec }));
            self.note(described, seen)?;
        }
        Ok(Some(found))
    }

    /// What was read of a descriptor; `None` where it is refused or was closed meanwhile.
    fn read(
        &mut self,
        holder: &Holder,
        fd: u32,
        entry: Result<Box<Entry>>,
    ) -> Result<Option<Box<Entry>>> {
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

    /// How many are read before they are described.
    fn together(&self) -> usize {
        if self.runs() { AT_ONCE } else { AT_ONCE_HELD }
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

    /// Describes a descriptor; `None` for one that is refused.
    pub(crate) fn descriptor(&mut self, holder: &Holder, entry: &Entry) -> Result<Option<Fd>> {
        let (seen, fd) = (Descriptor::of(holder, self.context, entry), entry.fd);
        let (old, at) = self.known.find(&seen)?;
        let id = old.unwrap_or(FileId(self.files.all.len() as u32));
        let number = Fd { fd: FdNum(fd), file: id, cloexec: seen.cloexec };
        let described = match self.described(&seen, id, old.is_none()) {
            Ok(described) => described,
            Err(Stopped::By(error)) => return Err(error),
            Err(Stopped::Refused(problem)) => return self.refuse(problem, &seen),
        };
        if old.is_none() {
            self.known.add(&seen, id, at);
        }
        self.note(described, seen)?;
        Ok(Some(number))
    }

    /// What a descriptor adds to what is known; `first`: no other one has led to its description.
    fn described(
        &self,
        seen: &Descriptor<'_>,
        id: FileId,
        first: bool,
    ) -> Result<Described, Stopped> {
        let properties = self.properties(seen, id, first).map_err(Stopped::Refused)?;
        if !first {
            return Ok(Described { properties, new: None });
        }
        let what = resource::describe(seen, id).map_err(Stopped::Refused)?;
        let (flags, pos, kind) = (seen.flags, seen.pos, what.kind().number());
        let open = OpenFile { id, pid: Pid(seen.pid), flags, pos, kind };
        let lost = self.losses(seen).map_err(Stopped::By)?;
        let kept = self.kept(&open, &what, seen).map_err(Stopped::By)?;
        Ok(Described { properties, new: Some(Box::new(New { open, what, lost, kept })) })
    }

    fn note(&mut self, described: Described, seen: Descriptor<'_>) -> Result<()> {
        if let Some(new) = described.new {
            let New { open, what, lost, kept } = *new;
            self.lost.extend(lost.into_iter().map(|finding| (open.id, finding)));
            self.keep(&open, kept, seen)?;
            self.files.all.push((open, what));
        }
        self.files.properties.extend(described.properties);
        Ok(())
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
    fn losses(&self, seen: &Descriptor<'_>) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let mut lose = |rule: &'static str, problem: String| {
            found.push(Finding::of(Pid(seen.pid), seen.object(), rule, problem));
        };
        if !self.context.taking && directory::may_notify(seen)? {
            let problem = "notification of changes (F_NOTIFY) that it may have is not carried";
            lose("file.notify", problem.to_owned());
        }
        if !self.context.taking
            && let Some(name) = seen.name().filter(|name| !name.deleted)
            && let Some(problem) = other_names::shown(seen.link, name.full())
        {
            lose("file.name", problem);
        }
        let Some(kind) = seen.socket().filter(|_| !self.context.taking) else {
            return Ok(found);
        };
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
        all.into_iter().for_each(|(rule, problem)| lose(rule, problem));
        Ok(found)
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

    /// What is to be kept of a description that has contents. Only that of a socket can be looked into while the processes run.
    fn kept(&self, open: &OpenFile, what: &AnyRecord, seen: &Descriptor<'_>) -> Result<Keep> {
        match what {
            // What is known to be empty need not be looked into.
            AnyRecord::UnixSocket(socket) if !unix::may_hold(socket, seen) => Ok(Keep::Nothing),
            AnyRecord::PtySlave(slave) => {
                let hung_up =
                    !slave.controlling && seen.duplicate().is_ok_and(|fd| tcgetattr(fd).is_err());
                Ok(Keep::Link { hung_up })
            }
            // It may be closed by now.
            AnyRecord::UnixSocket(_) if !self.context.held => match seen.duplicate() {
                Ok(_) => Ok(Keep::Duplicate),
                Err(_) => Ok(Keep::Nothing),
            },
            AnyRecord::MessageQueue(_) => Ok(Keep::Queue(Box::new(message_queue::state(seen)?))),
            _ if !self.context.held => Ok(Keep::Nothing),
            AnyRecord::Pipe(_) if !open.reads() => Ok(Keep::Nothing),
            AnyRecord::UdpSocket(_) | AnyRecord::DatagramSocket(_)
                if !seen.socket().is_some_and(datagram_queue::is_carried) =>
            {
                Ok(Keep::Nothing)
            }
            AnyRecord::Pipe(_)
            | AnyRecord::Fifo(_)
            | AnyRecord::UnixSocket(_)
            | AnyRecord::UdpSocket(_)
            | AnyRecord::DatagramSocket(_) => {
                seen.duplicate()?;
                Ok(Keep::Duplicate)
            }
            AnyRecord::NamelessFile(_) => Ok(Keep::Object(Box::new(nameless_file::object(seen)?))),
            _ => Ok(Keep::Nothing),
        }
    }

    fn keep(&mut self, open: &OpenFile, kept: Keep, seen: Descriptor<'_>) -> Result<()> {
        match kept {
            Keep::Nothing => {}
            Keep::Link { hung_up } => {
                self.files.links.insert(open.id, seen.link.to_vec());
                self.files.hung_up.extend(hung_up.then_some(open.id));
            }
            Keep::Duplicate => drop(self.files.duplicates.insert(open.id, seen.into_duplicate()?)),
            Keep::Queue(state) => {
                self.files.message_queues.entry(state.0.id).or_insert(*state);
            }
            Keep::Object(object) => {
                self.files.objects.entry(object.0.id).or_insert(*object);
            }
        }
        Ok(())
    }
}

/// What a descriptor adds to what is known.
struct Described {
    properties: Vec<AnyRecord>,
    /// Its description, where that is new.
    new: Option<Box<New>>,
}

struct New {
    open: OpenFile,
    what: AnyRecord,
    /// Parts of it that are not carried.
    lost: Vec<Finding>,
    kept: Keep,
}

/// What is kept of a description besides its record.
enum Keep {
    Nothing,
    /// The duplicate that has been taken.
    Duplicate,
    /// What /proc shows of it.
    Link {
        hung_up: bool,
    },
    Queue(Box<message_queue::State>),
    Object(Box<(Object, File)>),
}

/// Why a descriptor is not described.
enum Stopped {
    Refused(Problem),
    By(Error),
}

/// Whether describing it takes nothing but calls for the descriptor itself, so that several threads can do it side by side.
fn is_plain(seen: &Descriptor<'_>) -> bool {
    let stat = &seen.stat;
    let of_kernel = ["[eventfd]", "[timerfd]", "[signalfd]", "[eventpoll]"];
    stat.is_dir()
        || stat.is_file() && seen.name().is_some() && !seen.is_queue()
        || stat.is_char_device() && !is_terminal(stat.rdev)
        || seen.link.starts_with(b"pipe:")
        || of_kernel.iter().any(|name| seen.is_anonymous(name))
        || stat.is_socket() && seen.unix_state().is_some()
}

/// Descriptors that are read before they are described: of a process that runs few, because they may change meanwhile.
const AT_ONCE: usize = 2048;
const AT_ONCE_HELD: usize = 16_384;

/// Descriptors in a record: `dumpfs` decodes several of these side by side.
const TO_A_RECORD: usize = 1024;

/// Descriptors from which on several threads describe them, and how many a thread takes at a time.
const MANY: usize = 128;
const PIECE: usize = 64;
