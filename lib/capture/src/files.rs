//! Descriptor tables and the open file descriptions behind them.
//!
//! Nothing is consumed: contents of pipes are copied by tee(2), everything else comes from /proc/PID/fdinfo and
//! from duplicates taken by pidfd_getfd(2), which share the description but not the table.

pub use crate::descriptor_of::Purpose;
use crate::{
    Result,
    describing::Describing,
    descriptor_of::Context,
    file::message_queue,
    in_flight,
    ipc_spaces::IpcSpaces,
    kept::Kept,
    known::{Known, Ranks},
    net_spaces::NetSpaces,
    resource::{self, is},
    socket_losses::Fresh,
};
use floe_records::{
    AnyRecord, External, FdEntries, FdEntry, FdNum, FdTable, FileId, Findings, Object, ObjectId,
    OpenFile, Options, Pid, Record, SocketQueue,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    os::fd::OwnedFd,
    sync::{Mutex, OnceLock},
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
    /// The first descriptor of each description, once that was asked for.
    places: OnceLock<Vec<Option<(Pid, FdNum)>>>,
}

impl Files {
    /// Describes what the descriptors of `pids` lead to, without a side effect on them; those of `sharers` have the table of
    /// another one of them. In a preview, descriptors that are
    /// closed meanwhile are left out, and what shows the others is kept in `open` for the next look.
    pub fn describe(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        purpose: Purpose,
        open: &mut Kept,
        out: &mut Findings,
    ) -> Result<Self> {
        let told = (Vec::new(), Ranks::default(), open);
        Self::work(pids, sharers, options, purpose, told, out)?.ok_or_else(changed)
    }

    /// The same of processes that stand still, faster where descriptors are as they were told apart when the processes ran.
    pub(crate) fn describe_ranked(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        (ranks, open): (&Ranks, &mut Kept),
        out: &mut Findings,
    ) -> Result<Self> {
        let (told, mut found) = ((Vec::new(), ranks.clone(), &mut *open), out.clone());
        match Self::work(pids, sharers, options, Purpose::Look, told, &mut found)? {
            Some(files) => {
                *out = found;
                Ok(files)
            }
            None => Self::describe(pids, sharers, options, Purpose::Look, open, out),
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
        let told = (read, Ranks::default(), &mut Kept::default());
        Self::work(pids, sharers, options, purpose, told, out)?.ok_or_else(changed)
    }

    fn work(
        pids: &[Pid],
        sharers: &BTreeSet<Pid>,
        options: &Options,
        purpose: Purpose,
        (read, ranks, open): (Vec<FdEntries>, Ranks, &mut Kept),
        out: &mut Findings,
    ) -> Result<Option<Self>> {
        let (nets, ipcs) = (NetSpaces::of(pids)?, IpcSpaces::of(pids));
        let context = Context::new(options, purpose, (&nets, &ipcs));
        let files = Self { pids: pids.to_vec(), purpose: Some(purpose), ..Self::default() };
        let (known, fresh, lost) = (Known::new(ranks), Fresh::default(), Vec::new());
        let keep = if purpose == Purpose::Look { MOST } else { 0 };
        let mut work = Describing { files, context, known, fresh, lost, keep, open, out };
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

    /// The first descriptor that leads to a description; `None` for one that is on its way. To be asked when all are known.
    pub(crate) fn place(&self, id: FileId) -> Option<(Pid, FdNum)> {
        let places = self.places.get_or_init(|| {
            let mut places = vec![None; self.all.len()];
            for table in self.tables.iter().rev() {
                for fd in table.fds.iter().rev() {
                    if let Some(place) = places.get_mut(fd.file.0 as usize) {
                        *place = Some((table.pid, fd.fd));
                    }
                }
            }
            places
        });
        *places.get(id.0 as usize)?
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
    pub fn records(&self) -> impl Iterator<Item = Cow<'_, AnyRecord>> {
        let objects = self.objects.values().map(|(object, _)| Cow::Owned(object.clone().any()));
        let files = self.all.iter();
        let files =
            files.flat_map(|(open, what)| [Cow::Owned(open.clone().any()), Cow::Borrowed(what)]);
        let tables = self.tables.iter().filter(|table| !table.fds.is_empty());
        let tables = tables.flat_map(pieces).map(|table| Cow::Owned(table.any()));
        objects.chain(files).chain(tables).chain(self.properties.iter().map(Cow::Borrowed))
    }
}

fn changed() -> crate::Error {
    floe_sys::Error::because("tell descriptors apart", "their order has changed").into()
}

/// Descriptors to a record, and of which it is kept what was read: some hundred bytes each.
pub(crate) const MOST: usize = 65_536;
fn pieces(table: &FdTable) -> impl Iterator<Item = FdTable> {
    table.fds.chunks(MOST).map(|fds| FdTable { pid: table.pid, fds: fds.to_vec() })
}
