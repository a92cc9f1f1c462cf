//! The records of a held tree, as a stream.

use crate::{failure::plain, requests::Requests, tracking::Tracking};
use anyhow::{Context, Result};
use floe_capture::{
    memory::{Gather, MemFile, Scanner, secrets},
    tree::Tree as Held,
};
use floe_plan::Extent;
use floe_proc::{ClockOffsets, Stat};
use floe_records::{
    AnyRecord, Begin, Bytes, Entered, FORMAT, ObjectData, Options, Pages, Pid, Record, Tree,
    TreeEnd, Vma, Vmas,
};
use floe_stream::Writer;
use nix::time::{ClockId, clock_gettime};
use std::io::Write;

/// Bytes of a buffer for pages.
const BUFFER: usize = 256 << 10;

/// All that freeze writes.
pub struct Captured {
    begin: Begin,
    entered: Option<Entered>,
    options: Options,
    records: Vec<AnyRecord>,
    secrets: Vec<(ObjectData, Vec<u8>)>,
    /// What ties it to images before it and behind it.
    tracking: Vec<AnyRecord>,
    end: TreeEnd,
}

impl Captured {
    /// Adds what ties it to other images.
    pub fn track(&mut self, tracking: &mut Tracking, tree: &Held) -> Result<()> {
        self.tracking = tracking.round(tree, &self.records)?;
        Ok(())
    }

    /// Asks of what is known here all that restore will ask, on a machine like this one.
    pub fn can_be_restored(&self) -> Result<()> {
        let mut tree = Tree::default();
        let frame = [self.begin.clone().any(), self.options.clone().any(), self.end.clone().any()];
        for record in frame.into_iter().chain(self.records.iter().cloned()) {
            tree.insert(record)?;
        }
        Ok(floe_plan::allow(&tree, &floe_rebuild::machine()?, Extent::Frozen)?)
    }
}

/// Reads everything about a tree.
pub fn collect(
    (root, entered): (u32, Option<Entered>),
    options: &Options,
    tree: &Held,
) -> Result<Captured> {
    let mut begin = begin(root, tree)?;
    let records = tree.capture(options).map_err(plain)?;
    // Behind the capture: what is left of a timer was read by then, and no clock may go on from before that.
    (begin.monotonic_ns, begin.boottime_ns) = clocks_of(root)?;
    let secrets = secrets(tree, &records).map_err(plain)?;
    let end = TreeEnd { processes: tree.processes().len() as u32, threads: tree.threads() as u32 };
    let (options, tracking) = (options.clone(), Vec::new());
    Ok(Captured { begin, entered, options, records, secrets, tracking, end })
}

fn begin(root: u32, tree: &Held) -> Result<Begin> {
    let file = |path: &str| -> Result<Bytes> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("unable to read {path}"))?;
        Ok(text.trim_end().into())
    };
    let holder = std::process::id();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
    Ok(Begin {
        format: FORMAT,
        arch: std::env::consts::ARCH.to_owned(),
        page_size: page as u32,
        kernel: file("/proc/sys/kernel/osrelease")?,
        boot_id: file("/proc/sys/kernel/random/boot_id")?,
        writer: concat!("freeze ", env!("CARGO_PKG_VERSION")).to_owned(),
        root: Pid(root),
        holder: Pid(holder),
        holder_start: Stat::of(holder)?.start_time,
        realtime_ns: now(ClockId::CLOCK_REALTIME)?,
        monotonic_ns: 0,
        boottime_ns: 0,
        xfeatures: tree.xfeatures().map_err(plain)?,
    })
}

/// Nanoseconds of a clock.
fn now(clock: ClockId) -> Result<u64> {
    let time = clock_gettime(clock).context("unable to read a clock")?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// CLOCK_MONOTONIC and CLOCK_BOOTTIME of a tree, which may have a time namespace of its own.
fn clocks_of(root: u32) -> Result<(u64, u64)> {
    let (ours, theirs) = (ClockOffsets::of(std::process::id())?, ClockOffsets::of(root)?);
    let of_tree = |clock, offset: fn(&ClockOffsets) -> i128| {
        let there = i128::from(now(clock)?) - offset(&ours) + offset(&theirs);
        anyhow::Ok(there.clamp(0, i64::MAX.into()) as u64)
    };
    let monotonic = of_tree(ClockId::CLOCK_MONOTONIC, |offsets| offsets.monotonic_ns)?;
    Ok((monotonic, of_tree(ClockId::CLOCK_BOOTTIME, |offsets| offsets.boottime_ns)?))
}

/// Writes it all, End included; by the thread that holds the tree.
/// `requests`: where later stages find the holder.
pub fn write(captured: &Captured, requests: Option<&Requests>, out: impl Write) -> Result<()> {
    let mut w = Writer::new(out);
    w.record(&captured.begin)?;
    if let Some(entered) = &captured.entered {
        w.record(entered)?;
    }
    w.record(&captured.options)?;
    requests.map_or(Ok(()), |requests| w.record(&requests.record()))?;
    w.record(&floe_rebuild::cpu())?;
    if let Some(vdso) = floe_rebuild::own_vdso()? {
        w.record(&vdso)?;
    }
    for record in captured.records.iter().chain(&captured.tracking) {
        w.any(record)?;
    }
    w.record(&captured.end)?;
    for record in &captured.records {
        if let AnyRecord::Vmas(vmas) = record {
            unreadable(vmas, &mut w)?;
        }
    }
    for (data, bytes) in &captured.secrets {
        w.record(data)?;
        w.bulk(bytes)?;
    }
    w.end()?;
    Ok(())
}

/// The pages that the process itself may not read (PROT_NONE). On newer kernels nobody but its tracer may, and that is
/// this thread.
fn unreadable(Vmas { pid, vmas }: &Vmas, w: &mut Writer<impl Write>) -> Result<()> {
    if !vmas.iter().any(Vma::needs_tracer) {
        return Ok(());
    }
    let own = Scanner::new(pid.0)?.look_at(vmas, Vma::needs_tracer)?.own;
    if own.is_empty() {
        return Ok(());
    }
    let memory = MemFile::open(*pid)?;
    let mut gather = Gather::new(&memory, own);
    let mut buffer = vec![0; BUFFER];
    loop {
        let (ranges, _) = gather.fill(&mut buffer)?;
        if ranges.is_empty() {
            return Ok(());
        }
        let len = ranges.bytes() as usize;
        w.record(&Pages { pid: *pid, ranges })?;
        w.bulk(&buffer[..len])?;
    }
}
