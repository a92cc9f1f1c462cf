//! `--lazy`: the tree runs before all of its memory is there.

use crate::{
    bulk::{Bulk, LaterPart},
    receipt::Receipt,
    remote::{self, Remote},
    root_is_init,
    working_set::{self, Places, Recorder, Touched},
};
use anyhow::{Context, Result};
use floe_pager::{Client, Recording, Run, Source, Work};
use floe_plan::{Plan, may_come_later, vma_at};
use floe_rebuild::Restore;
use floe_records::{Addr, Finding, LeftPages, MAX_CONTENT, Pid, Refusals, Share, Thread, Tree};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{PipeWriter, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

/// Longest list of locks that the kernel goes through when a thread ends (ROBUST_LIST_LIMIT of linux/futex.h).
const LOCKS: usize = 2048;
/// Words of the head of such a list.
const WORD: u64 = 8;

/// While a working set is recorded, the rest is filled when nothing has been touched for so long.
const QUIET: Duration = Duration::from_secs(1);

/// How memory comes later.
#[derive(clap::Args)]
pub struct Options {
    /// Let the tree run before its memory is there: pages come when they are touched, and all others behind that.
    #[arg(long, conflicts_with = "plan")]
    lazy: bool,
    /// Write what the tree touches to FILE, until it has touched nothing new for a second; nothing else is filled meanwhile.
    #[arg(long, value_name = "FILE", requires = "lazy")]
    record_working_set: Option<PathBuf>,
    /// Fill first what an earlier restore has recorded in FILE.
    #[arg(long, value_name = "FILE", requires = "lazy")]
    working_set: Option<PathBuf>,
}

/// What is to come later, and how.
pub struct Lazy {
    record: Option<Recorder>,
    touched: Vec<Touched>,
}

impl Options {
    /// Looks whether what is asked for can be had. `from_start`: an image is in a regular file, and is read from its start;
    /// `new_pidns`: in a pid namespace of its own; `receipt`: who sends the tree hears of it.
    pub fn prepare(
        &self,
        tree: &Tree,
        (from_start, new_pidns, receipt): (bool, bool, bool),
    ) -> Result<Option<Lazy>> {
        let left = !tree.all::<LeftPages>().is_empty();
        if left && !(self.lazy && receipt) {
            let problem = "pages of it have stayed where it was";
            let finding = Finding::about("the tree", "restore.left", problem);
            return Err(Refusals(vec![finding.hint("--lazy --receipt, or migrate.sh")]).into());
        }
        if !self.lazy {
            return Ok(None);
        }
        if !left && !from_start {
            let problem = "--lazy needs an image in a regular file on standard input";
            return Err(floe_toolkit::Usage(problem.into()).into());
        }
        if left && (self.record_working_set.is_some() || self.working_set.is_some()) {
            let problem = "there is no working set of pages that have stayed where the tree was";
            return Err(floe_toolkit::Usage(problem.into()).into());
        }
        let refused = |problem: String| {
            let finding = Finding::about("--lazy", "restore.lazy", problem);
            Refusals(vec![finding.hint("restore without --lazy")])
        };
        if new_pidns && (left || root_is_init(tree)) {
            let problem = "the pager would be a process of the tree's own pid namespace";
            return Err(refused(problem.into()).into());
        }
        match floe_sys::may_watch_memory() {
            Err(e) if e.errno() == Some(nix::Error::EPERM as i32) => {
                return Err(floe_toolkit::NotPermitted("CAP_SYS_PTRACE").into());
            }
            Err(e) => return Err(refused(e.to_string()).into()),
            Ok(()) => {}
        }
        let record = self.record_working_set.as_deref().map(Recorder::new).transpose()?;
        let touched = self.working_set.as_deref().map(working_set::read).transpose()?;
        Ok(Some(Lazy { record, touched: touched.unwrap_or_default() }))
    }
}

/// Memory that comes later.
pub enum Later<'a> {
    /// From an image.
    Image(Image<'a>),
    /// From where the tree was.
    Left(&'a Tree, Remote),
}

/// Memory that comes from an image.
pub struct Image<'a> {
    lazy: &'a Lazy,
    tree: &'a Tree,
    parts: Vec<LaterPart>,
    image: File,
}

/// While this is there, the pager fills only what somebody waits for.
pub struct Running {
    gate: PipeWriter,
    strict: bool,
}

impl Running {
    /// The tree may run, and wait for pages. A pager that was not told so may be done already.
    pub fn arm(&self) -> Result<()> {
        if self.strict {
            (&self.gate).write_all(b"r").context("unable to tell the pager that the tree runs")?;
        }
        Ok(())
    }
}

impl<'a> Later<'a> {
    /// Takes out of the bulk what may come later, or finds what was left. `image` is where the stream comes from, `receipt` who
    /// sends it.
    pub fn find(
        lazy: &'a Lazy,
        bulk: &mut Bulk<'_>,
        (tree, plan): (&'a Tree, &Plan),
        work: &Restore<'_>,
        (image, receipt): (&File, Option<&Receipt>),
    ) -> Result<Self> {
        let may_watch = |pid| work.may_be_watched(pid);
        let image = image.try_clone().context("unable to keep the stream open")?;
        if let Some(receipt) = receipt.filter(|_| !tree.all::<LeftPages>().is_empty()) {
            let remote = Remote::new(remote::left(tree, may_watch)?, receipt.file()?, image);
            return Ok(Self::Left(tree, remote));
        }
        let parts =
            bulk.set_aside(|pages| floe_plan::later(tree, &plan.inheritance, pages, may_watch));
        Ok(Self::Image(Image { lazy, tree, parts, image }))
    }

    /// Starts a pager: from here on who touches what is missing waits for it.
    pub fn start(self, work: &Restore<'_>) -> Result<Option<Running>> {
        match self {
            Self::Image(image) => image.start(work),
            Self::Left(tree, remote) => {
                let all = remote.left().iter().map(|left| (left.pid, &left.ranges[..]));
                let (clients, numbers) = clients(work, mappings(tree, all))?;
                let runs = remote.runs(|pid| numbers.get(&pid).copied());
                let runs = runs.context("pages of a process that is not there")?;
                let order = (0..runs.len() as u32).collect();
                start(|gate| Work {
                    clients,
                    runs,
                    order,
                    early: 0,
                    recording: None,
                    source: &remote,
                    gate,
                    strict: true,
                    say: &say,
                })
                .map(Some)
            }
        }
    }
}

fn say(sentence: &str) {
    floe_toolkit::warn("restore", sentence);
}

/// Starts a pager with a gate.
fn start<'w>(work: impl FnOnce(OwnedFd) -> Work<'w>) -> Result<Running> {
    let (gate, running) = std::io::pipe().context("unable to make a pipe")?;
    let work = work(gate.into());
    let strict = work.strict;
    floe_pager::start(work)?;
    Ok(Running { gate: running, strict })
}

/// Watches mappings of processes. Gives their places among the clients, too.
fn clients(
    work: &Restore<'_>,
    mappings: BTreeMap<Pid, BTreeSet<(u64, u64)>>,
) -> Result<(Vec<Client>, BTreeMap<Pid, usize>)> {
    let (mut clients, mut numbers) = (Vec::new(), BTreeMap::new());
    for (pid, mappings) in mappings {
        let (handle, memory) = work.watch(pid)?;
        for (start, len) in mappings {
            let failed = || format!("pid {pid}: unable to watch {len} bytes at {start:#x}");
            memory.register(start, len).with_context(failed)?;
        }
        numbers.insert(pid, clients.len());
        clients.push(Client { pid: pid.0, handle, memory });
    }
    Ok((clients, numbers))
}

/// The mappings that ranges belong to, by process.
fn mappings<'r>(
    tree: &Tree,
    all: impl Iterator<Item = (Pid, &'r [(u64, u32)])>,
) -> BTreeMap<Pid, BTreeSet<(u64, u64)>> {
    let mut found: BTreeMap<Pid, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for (pid, ranges) in all {
        let of_process = found.entry(pid).or_default();
        let mut end = 0;
        for (start, _) in ranges {
            let vma = || vma_at(tree, pid, Addr(*start));
            let vma = (*start >= end).then(vma).flatten();
            if let Some(vma) = vma.filter(|vma| may_come_later(vma)) {
                of_process.insert((vma.start.0, vma.end.0 - vma.start.0));
                end = vma.end.0;
            }
        }
    }
    found
}

impl Image<'_> {
    fn start(mut self, work: &Restore<'_>) -> Result<Option<Running>> {
        self.locks(work)?;
        if self.parts.is_empty() {
            return Ok(None);
        }
        let all = self.parts.iter().map(|(pages, _)| (pages.pid, pages.ranges.as_slice()));
        let (clients, numbers) = clients(work, mappings(self.tree, all))?;
        let run = |(pages, _): &LaterPart| {
            let client = *numbers.get(&pages.pid)?;
            Some(Run { client, ranges: pages.ranges.as_slice().to_vec() })
        };
        let runs: Vec<Run> = self.parts.iter().filter_map(run).collect();
        let (order, early) = self.order();
        let done = |seen: &[u32]| self.write(seen);
        let recording =
            self.lazy.record.is_some().then_some(Recording { quiet: QUIET, done: &done });
        start(|gate| Work {
            clients,
            runs,
            order,
            early,
            recording,
            source: &self,
            gate,
            strict: false,
            say: &say,
        })
        .map(Some)
    }

    /// In which order it is filled, and how much of that belongs to the working set.
    fn order(&self) -> (Vec<u32>, usize) {
        let mut order = Vec::with_capacity(self.parts.len());
        let mut known = BTreeSet::new();
        if !self.lazy.touched.is_empty() {
            let places = self.places();
            let found = self.lazy.touched.iter().flat_map(|touched| touched.find(&places));
            order.extend(found.filter(|part| known.insert(*part)).map(|part| part as u32));
            if order.is_empty() {
                floe_toolkit::warn("restore", "nothing of the working set is in the image");
            }
        }
        let early = order.len();
        // The kernel reads them ahead in the order of the file.
        for (_, stored) in known.iter().filter_map(|part| self.parts.get(*part)) {
            let (at, len) = (stored.bulk.offset as i64, stored.bulk.len as i64);
            // Advice that is not taken costs nothing but time.
            let _ = posix_fadvise(&self.image, at, len, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
        order.extend(
            (0..self.parts.len()).filter(|part| !known.contains(part)).map(|part| part as u32),
        );
        (order, early)
    }

    fn places(&self) -> Places {
        working_set::places(self.parts.iter().map(|(pages, _)| pages))
    }

    /// Writes down what was waited for.
    fn write(&self, seen: &[u32]) {
        let seen = seen.iter().filter_map(|run| self.parts.get(*run as usize));
        let seen = seen.map(|(pages, _)| pages);
        if let Some(Err(error)) = self.lazy.record.as_ref().map(|record| record.write(seen)) {
            floe_toolkit::warn("restore", &format!("{error:#}"));
        }
    }

    /// Locks that threads hold are let go by the kernel when they end (set_robust_list(2)), but only those that are there.
    fn locks(&mut self, work: &Restore<'_>) -> Result<()> {
        let places = self.places();
        let mut brought = BTreeSet::new();
        for thread in self.tree.all::<Thread>().iter().filter(|thread| thread.robust_list.0.0 != 0)
        {
            let pid = self.tree.owner(thread.pid, Share::Memory);
            let mut walk = Walk { pid, later: self, places: &places, brought: &mut brought, work };
            walk.locks(thread.robust_list.0.0)?;
        }
        let mut part = 0;
        self.parts.retain(|_| {
            part += 1;
            !brought.contains(&(part - 1))
        });
        Ok(())
    }
}

/// A walk over the locks of a thread.
struct Walk<'a> {
    pid: Pid,
    later: &'a Image<'a>,
    places: &'a Places,
    /// Parts that have been put into place.
    brought: &'a mut BTreeSet<usize>,
    work: &'a Restore<'a>,
}

impl Walk<'_> {
    fn locks(&mut self, head: u64) -> Result<()> {
        let offset = self.word(head.saturating_add(WORD))?.unwrap_or(0);
        // The last bit of an entry tells of what sort the lock is.
        let lock_of = |entry: u64| (entry & !1).wrapping_add(offset);
        if let Some(entry) = self.word(head.saturating_add(2 * WORD))? {
            self.bring(lock_of(entry))?;
        }
        let mut next = self.word(head)?;
        for _ in 0..LOCKS {
            let Some(entry) = next.map(|entry| entry & !1).filter(|it| *it != head) else { break };
            self.bring(lock_of(entry))?;
            next = self.word(entry)?;
        }
        Ok(())
    }

    /// A word of the memory of the process; `None` where there is no memory, and the kernel would find none either.
    fn word(&mut self, at: u64) -> Result<Option<u64>> {
        self.bring(at)?;
        let mut word = [0; WORD as usize];
        let read = floe_sys::read_memory_partial(self.pid.0 as i32, at, &mut word);
        Ok(read.is_ok_and(|read| read == word.len()).then(|| u64::from_ne_bytes(word)))
    }

    /// Puts the part that has the page at an address into place at once.
    fn bring(&mut self, at: u64) -> Result<()> {
        let below = self.places.range((self.pid, 0)..=(self.pid, at)).next_back();
        let found = below.filter(|((_, start), (len, _))| at < start + u64::from(*len));
        let Some((_, (_, part))) = found.filter(|(_, (_, part))| self.brought.insert(*part)) else {
            return Ok(());
        };
        let (pages, stored) = &self.later.parts[*part];
        let mut content = Vec::new();
        stored.read(&self.later.image, &mut content)?;
        Ok(self.work.memory(self.pid, pages.ranges.as_slice(), &content)?)
    }
}

impl Source for Image<'_> {
    fn read(
        &self,
        run: u32,
        into: &mut Vec<u8>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (_, stored) = self.parts.get(run as usize).ok_or("there is no such run")?;
        debug_assert!(stored.bulk.len <= MAX_CONTENT);
        Ok(stored.read(&self.image, into)?)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let record = self.lazy.record.iter().map(|record| record.file.as_fd());
        [self.image.as_fd()].into_iter().chain(record).collect()
    }
}
