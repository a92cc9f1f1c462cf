//! The stage: files and queues as metadata, contents of nameless files as bulk.

use anyhow::{Result, bail};
use floe_capture::{
    carry::{Carry, is_unchanged},
    files::{Files, Purpose},
    mapped_files,
    memory::{Gather, contents, lone_segments},
};
use floe_records::{
    AnyRecord, Begin, CarriedFile, FdEntries, Findings, Mm, Namespace, Namespaces, NsId, NsKind,
    Object, ObjectData, ObjectId, Options, PathPattern, Pid, Process, State, Vma, VmaKind, Vmas,
};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Stage};
use floe_worker_pool::{in_order::in_order, parallel};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::File,
};

/// Records that a thread encodes at a time.
const AT_ONCE: usize = 512;
/// Bytes of content that go into one record.
const BUFFER: usize = 256 << 10;

/// What has been seen of the tree so far.
pub struct DumpFs {
    /// An option of this stage, which counts more than the one in the stream.
    close_tcp: bool,
    /// Which files are carried though they have names.
    carry: Vec<PathPattern>,
    carried: Vec<(CarriedFile, File)>,
    options: Options,
    /// When everything came to a stand.
    stopped_ns: u64,
    pids: Vec<Pid>,
    /// Those of them that have the descriptor table of another one.
    sharers: BTreeSet<Pid>,
    vmas: Vec<(Pid, Vma)>,
    programs: Vec<Mm>,
    /// What `freeze` has read of descriptors, as [`FdEntries`].
    read: Vec<RawRecord>,
    files: Files,
    /// IPC namespaces that are the tree's own.
    own_ipc: BTreeSet<NsId>,
    /// A process in each IPC namespace.
    of_ipc: BTreeMap<NsId, Pid>,
    /// Segments of shared memory in those that are the tree's own, which nobody has attached.
    segments: Vec<(Object, File)>,
}

impl DumpFs {
    /// Nothing is known yet.
    pub fn new(close_tcp: bool, carry: Vec<PathPattern>) -> Self {
        Self {
            close_tcp,
            carry,
            carried: Vec::new(),
            options: Options::default(),
            stopped_ns: 0,
            pids: Vec::new(),
            sharers: BTreeSet::new(),
            vmas: Vec::new(),
            programs: Vec::new(),
            read: Vec::new(),
            files: Files::default(),
            own_ipc: BTreeSet::new(),
            of_ipc: BTreeMap::new(),
            segments: Vec::new(),
        }
    }
}

impl Stage for DumpFs {
    fn passed(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            let process: Process = raw.decode()?;
            if !matches!(process.state, State::Zombie(_)) {
                self.pids.push(process.pid);
                if process.shares.table != process.pid {
                    self.sharers.insert(process.pid);
                }
            }
        } else if raw.is::<Vmas>() {
            let Vmas { pid, vmas } = raw.decode()?;
            let of_files = vmas.into_iter().filter(|vma| vma.file.is_some());
            self.vmas.extend(of_files.map(|vma| (pid, vma)));
        } else if raw.is::<Mm>() {
            self.programs.push(raw.decode()?);
        } else if raw.is::<Begin>() {
            let begin: Begin = raw.decode()?;
            self.stopped_ns = begin.realtime_ns;
        } else if raw.is::<Namespace>() {
            let space: Namespace = raw.decode()?;
            if space.kind == NsKind::Ipc && !space.inherited {
                self.own_ipc.insert(space.id);
            }
        } else if raw.is::<Namespaces>() {
            let members: Namespaces = raw.decode()?;
            self.of_ipc.entry(members.ipc).or_insert(members.pid);
        } else if raw.is::<Options>() {
            self.options = raw.decode()?;
        }
        Ok(())
    }

    /// What was meant for this stage ends here.
    fn rewrite(&mut self, raw: RawRecord) -> Result<Option<RawRecord>> {
        if raw.is::<FdEntries>() {
            self.read.push(raw);
            return Ok(None);
        }
        Ok(Some(raw))
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        self.options.close_tcp |= self.close_tcp;
        for file in mapped_files(self.vmas.iter().map(|(pid, vma)| (*pid, vma)))? {
            out.record(&file)?;
        }
        let mut found = Findings::default();
        let (read, stopped_ns) = (std::mem::take(&mut self.read), self.stopped_ns);
        let read = parallel::each_of(read, 1, |raw| raw.decode::<FdEntries>());
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let take = Purpose::Take { stopped_ns };
        let (pids, sharers) = (&self.pids, &self.sharers);
        self.files = Files::describe_read(pids, sharers, &self.options, take, read, &mut found)?;
        let objects = self.files.collect(&mut found)?;
        found.refusals()?;
        // What is mapped as well is the business of dumpmem.
        let mapped: BTreeSet<ObjectId> = (self.vmas.iter())
            .filter(|(_, vma)| vma.kind == VmaKind::Object)
            .filter_map(|(_, vma)| vma.object())
            .collect();
        self.files.leave_out(&mapped);
        let carry = Carry::find(&self.files, &self.vmas, &self.programs, &self.carry)?;
        carry.left_out.iter().for_each(|note| floe_toolkit::warn("dumpfs", note));
        self.carried = carry.files;
        for (carried, _) in &self.carried {
            out.record(carried)?;
        }
        write_all(self.files.records(), out)?;
        let own = self.of_ipc.iter().filter(|(id, _)| self.own_ipc.contains(id));
        for (_, pid) in own.filter(|_| !self.options.empty.contains(&NsKind::Ipc)) {
            self.segments.append(&mut lone_segments(pid.0)?);
        }
        for (segment, _) in &self.segments {
            out.record(segment)?;
        }
        for mut record in objects {
            if let AnyRecord::DatagramQueue(queue) = &record
                && queue.has_empty()
            {
                let what = "empty datagrams that are queued in it show to one checkpoint only";
                floe_toolkit::warn("dumpfs", &format!("socket {}: {what}", queue.ino));
            }
            out.any(&record)?;
            if let Some(content) = record.content().filter(|content| !content.is_empty()) {
                out.bulk(content)?;
            }
        }
        Ok(())
    }

    fn bulk(&mut self, out: &mut Out) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        let nameless = self.files.objects().values();
        for (object, file) in nameless {
            content(object.id, object.size, file, &mut buffer, out)?;
        }
        for (segment, file) in &self.segments {
            content(segment.id, segment.size, file, &mut buffer, out)?;
        }
        for (carried, file) in &self.carried {
            content(carried.id, carried.size, file, &mut buffer, out)?;
            if !is_unchanged(carried, file)? {
                bail!("{carried} was written to by somebody else while it was read: try again");
            }
        }
        Ok(())
    }
}

/// Writes records in their order; several threads encode them, where they are many.
fn write_all<'a>(
    mut records: impl Iterator<Item = Cow<'a, AnyRecord>>,
    out: &mut Out,
) -> Result<()> {
    let encode = |some: Vec<Cow<'_, AnyRecord>>| -> Vec<_> {
        some.iter().map(|record| RawRecord::of(record)).collect()
    };
    in_order(encode, |work| {
        loop {
            let some: Vec<_> = records.by_ref().take(AT_ONCE).collect();
            let is_last = some.len() < AT_ONCE;
            work.give(some);
            let done = if is_last { work.rest() } else { work.ready() };
            for raw in done.into_iter().flatten() {
                out.raw(&raw?)?;
            }
            if is_last {
                return Ok(());
            }
        }
    })
}

/// What a file holds.
fn content(id: ObjectId, size: u64, file: &File, buffer: &mut [u8], out: &mut Out) -> Result<()> {
    let mut gather = Gather::new(file, contents(file, size)?);
    loop {
        let (ranges, _) = gather.fill(buffer)?;
        if ranges.is_empty() {
            return Ok(());
        }
        let len = ranges.bytes() as usize;
        out.record(&ObjectData { id, ranges })?;
        out.bulk(&buffer[..len])?;
    }
}
