//! One look at a tree: what cannot be captured, and what would be lost. It has no side effect on the tree.
//!
//! The same rules are applied three times: by `freeze --check`, by `freeze` before it stops anything, and to every process
//! of the stopped tree before the first record is written. While a tree runs, what is seen of it may be of two moments, so
//! what stands in the way is believed only when it is still there a moment later.

use crate::{
    Error, Result,
    files::{Files, Purpose},
    frozen::Frozen,
    held::Held,
    kept::Kept,
    known::Ranks,
    network,
    object::cgroup::{self, Memberships},
    origin, other_names, parallel,
    passing::passes,
    resource,
    rule::{
        clocks::Clocks,
        core_scheduling, denied, label, numa, outside, pid_variables,
        rings::Rings,
        segments::Attached,
        sessions,
        sharing::{self, Member, Sharing},
        spaces::Spaces,
        state, status,
    },
    subject::{self, Process},
};
use floe_proc::{Stat, Status};
use floe_records::{AnyRecord, Finding, Findings, NsKind, Options, Pid, Record, Share, Tree, Vmas};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a running tree is looked at again while something stands in the way that may pass, and the time between two looks. A
/// tree that takes longer than that is looked at once more.
const PATIENCE: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(10);
/// Processes that are read before they are looked at.
const AT_ONCE: usize = 64;
/// What a look has found.
#[derive(Debug, Default)]
pub struct Look {
    /// The processes, parents before children.
    pub pids: Vec<u32>,
    /// What stands in the way, and what would be lost.
    pub found: Findings,
    /// What the stop goes by.
    pub before: Before,
    /// What is open and mapped, as records. What exists once for each process is missing.
    pub files: Tree,
}

/// What was seen of a running tree and spares work when it stands still.
#[derive(Default, Debug)]
pub struct Before {
    /// Cgroups that are frozen.
    pub frozen: Frozen,
    /// Which descriptors were told apart.
    pub ranks: Ranks,
    /// What shows descriptors.
    pub kept: Kept,
    /// What would be lost, and can be seen only as long as we have one thread.
    pub lost: Vec<Finding>,
}

/// What follows a look at a running tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing: [`Look::before`] is of no use.
    Report,
    /// The stop: [`Look::files`] stays empty.
    Stop,
    /// The stop, of a tree of which it must be known what a restore of it takes.
    StopForGood,
}

/// Looks at the running tree below `root`.
pub fn look(root: u32, options: &Options, next: Next) -> Result<Look> {
    same_pids()?;
    exists(root)?;
    let mut look = Look::default();
    state::root(root, &mut look.found)?;
    if !look.found.refused.is_empty() {
        return Ok(look);
    }
    // The rest can be seen only by a process that may trace it.
    permitted(root)?;
    let begin = Instant::now();
    let again = |old: Look| {
        // Of what the last look has kept open, nothing is of use.
        drop(old);
        let kept = if next == Next::Report { Kept::default() } else { Kept::new()? };
        once(root, options, (kept, next != Next::Stop)).map_err(untraceable)
    };
    look = again(look)?;
    let patience = PATIENCE.max(begin.elapsed());
    if other_names::search() {
        look = again(look)?;
    }
    let since = Instant::now();
    while !look.found.refused.is_empty() && since.elapsed() < patience {
        sleep(PAUSE);
        let before = std::mem::take(&mut look.found.refused);
        look = again(look)?;
        // What is seen twice is no matter of two moments.
        if look.found.refused == before && !before.iter().any(passes) {
            break;
        }
    }
    settle(&mut look.found, options);
    let net = floe_proc::namespace(root, NsKind::Net.name())?;
    let wanted = look.found.refused.is_empty() && !options.empty.contains(&NsKind::Net);
    if wanted && net != origin::namespace(NsKind::Net)? {
        network::open_variables()?;
    }
    Ok(look)
}

/// Of the executable, the working directory, the root or a mapping.
const TOO_LONG: &str = "a path of it is longer than the kernel shows (4096 bytes)";

/// `all_files`: what is open and mapped is asked for.
fn once(root: u32, options: &Options, (mut kept, all_files): (Kept, bool)) -> Result<Look> {
    let (all, mut found) = (family(root)?, Findings::default());
    let pids: Vec<u32> = all.iter().map(|(pid, _)| *pid).collect();
    let stats = stats(&pids)?;
    let mut children = children(root, &stats);
    let sharing = sharing(&all, &stats, &mut found)?;
    let of_memory = sharing.sharers(Share::Memory);
    let (mut living, mut records, mut attached) = (Vec::new(), Vec::new(), Attached::default());
    let (mut clocks, mut rings, mut spaces) =
        (Clocks::default(), Rings::default(), Spaces::here(options)?);
    for (pid, process) in read_all(&pids, &stats, all_files) {
        let Some(process) = process else {
            state::dead_leader(pid, &mut found)?;
            continue;
        };
        let looked = process.and_then(|mut process| {
            process.children = children.remove(&pid).unwrap_or_default();
            if !of_memory.contains(&Pid(pid)) {
                attached.add(&process);
            }
            if sharing.in_memory(pid) {
                state::waits(&process, &mut found)?;
            }
            clocks.add(&process);
            spaces.add(&process, &mut found)?;
            rings.add(&process);
            one(&process, &mut found)?;
            Ok(Vmas { pid: Pid(pid), vmas: process.layout.vmas })
        });
        match looked {
            Ok(vmas) => {
                living.push(pid);
                records.extend(all_files.then(|| vmas.any()));
            }
            // It may end while it is looked at; the tree is read again when it stands still.
            Err(_) if pid != root && is_ending(pid)? => {}
            Err(crate::Error::Sys(error)) if error.is_long_path() => {
                found.refuse(Finding::of(Pid(pid), "the process", "file.long", TOO_LONG));
            }
            Err(error) => return Err(error),
        }
    }
    attached.check_running(root, &mut found)?;
    clocks.check(&mut found);
    let lost = spaces.check_running(&mut found)?;
    pid_variables::check(&mut found)?;
    sessions::check(&pids, &stats, &mut found)?;
    let frozen = Memberships::read(&living)?.look(options, &mut found)?;
    let still = still_living(&living)?;
    let sharers = sharing.sharers(Share::Table);
    let preview = Purpose::Preview;
    let files = Files::describe(&still, &sharers, options, preview, &mut kept, &mut found);
    let mut ranks = Ranks::default();
    let looked = files.and_then(|mut files| {
        ranks = std::mem::take(&mut files.ranks);
        outside::look(&files, options, &mut found);
        spaces.look(&files, &mut found);
        rings.check(&files, &mut found);
        if all_files {
            records.extend(files.records().map(Cow::into_owned));
        }
        files.look(&mut found)
    });
    if let Err(error) = looked
        && !any_is_ending(&still, root)?
    {
        return Err(error);
    }
    Ok(Look { pids, found, before: Before { frozen, ranks, kept, lost }, files: by_key(records) })
}

/// Processes of which `stats` were read, some at once; nothing of those that have ended.
fn read_all<'a>(
    pids: &'a [u32],
    stats: &'a BTreeMap<u32, Stat>,
    whole: bool,
) -> impl Iterator<Item = (u32, Option<Result<Process<'static>>>)> + 'a {
    let read = move |pid: &u32| {
        let stat = stats.get(pid).filter(|stat| !stat.is_dead())?;
        Some(Process::read(*pid, stat.clone(), &[], whole))
    };
    pids.chunks(AT_ONCE).flat_map(move |some| {
        let processes = parallel::each_of(some.iter().collect(), 2, read);
        some.iter().copied().zip(processes)
    })
}

fn still_living(pids: &[u32]) -> Result<Vec<Pid>> {
    let mut still = Vec::with_capacity(pids.len());
    for pid in pids {
        still.extend((!floe_proc::is_dead(*pid)?).then_some(Pid(*pid)));
    }
    Ok(still)
}

fn by_key(records: Vec<AnyRecord>) -> Tree {
    let mut kept = Tree::default();
    for record in records {
        // Of a pid that was reused meanwhile, the first one.
        let _ = kept.insert(record);
    }
    kept
}

/// What /proc says of processes that are there.
fn stats(pids: &[u32]) -> Result<BTreeMap<u32, Stat>> {
    let mut stats = BTreeMap::new();
    for &pid in pids {
        stats.extend(subject::stat(pid)?.map(|stat| (pid, stat)));
    }
    Ok(stats)
}

/// All but the root, by their parents.
fn children(root: u32, stats: &BTreeMap<u32, Stat>) -> BTreeMap<u32, Vec<(u32, Stat)>> {
    let mut children: BTreeMap<u32, Vec<(u32, Stat)>> = BTreeMap::new();
    for (pid, stat) in stats.iter().filter(|(pid, _)| **pid != root) {
        children.entry(stat.ppid).or_default().push((*pid, stat.clone()));
    }
    children
}

/// What running processes share, of which `stats` were read.
fn sharing(all: &[(u32, u32)], stats: &BTreeMap<u32, Stat>, out: &mut Findings) -> Result<Sharing> {
    let member = |&(pid, maker): &(u32, u32)| {
        let stat = stats.get(&pid).filter(|stat| !stat.is_dead())?;
        Some(Member { pid, parent: stat.ppid, maker })
    };
    let living: Vec<Member> = all.iter().filter_map(member).collect();
    let pids: Vec<u32> = all.iter().map(|(pid, _)| *pid).collect();
    sharing::processes(&living, &pids, out)
}

/// Looks at a tree that stands still; everything that `freeze` and `dumpfs` would refuse is found. Gives also what is shared,
/// what descriptors lead to, and what was read of cgroups.
pub(crate) fn held(
    held: &[Held],
    processes: &[Process<'_>],
    options: &Options,
    told: (&Ranks, &mut Kept),
) -> Result<(Findings, Sharing, Files, Memberships)> {
    let mut found = Findings::default();
    let pids: Vec<u32> = held.iter().map(|held| held.pid).collect();
    let stats = held.iter().map(|held| (held.pid, held.stat.clone())).collect();
    let living: Vec<u32> = processes.iter().map(|process| process.pid).collect();
    let member = |held: &Held| Member { pid: held.pid, parent: held.stat.ppid, maker: held.maker };
    let members = held.iter().filter(|held| held.zombie.is_none()).map(member);
    let sharing = sharing::held(&members.collect::<Vec<_>>(), &mut found)?;
    let of_memory = sharing.sharers(Share::Memory);
    sessions::check(&pids, &stats, &mut found)?;
    let cgroups = Memberships::read(&living)?;
    for (place, _) in cgroups.look(options, &mut found)?.0 {
        found.refuse(cgroup::frozen_meanwhile(&place));
    }
    let (mut attached, mut clocks) = (Attached::default(), Clocks::default());
    let mut spaces = Spaces::here(options)?;
    let mut rings = Rings::default();
    for process in processes {
        one(process, &mut found)?;
        clocks.add(process);
        spaces.add(process, &mut found)?;
        rings.add(process);
        if !of_memory.contains(&Pid(process.pid)) {
            attached.add(process);
        }
    }
    attached.check(&pids, true, &mut found)?;
    clocks.check(&mut found);
    spaces.check(&mut found)?;
    pid_variables::check(&mut found)?;
    let living: Vec<Pid> = processes.iter().map(|process| Pid(process.pid)).collect();
    let sharers = sharing.sharers(Share::Table);
    let files = Files::describe_ranked(&living, &sharers, options, told, &mut found)?;
    rings.check(&files, &mut found);
    denied::check(&files, options, &mut found);
    spaces.look(&files, &mut found);
    files.collect(&mut found)?;
    settle(&mut found, options);
    Ok((found, sharing, files, cgroups))
}

/// Looks at one process, but for its descriptors.
fn one(process: &Process<'_>, out: &mut Findings) -> Result<()> {
    state::tracer(process, out)?;
    state::dead_threads(process, out)?;
    sharing::threads(process, out)?;
    numa::check(process, out)?;
    for thread in &process.tasks {
        status::check(thread, out);
        core_scheduling::check(thread, out)?;
        label::check(thread, out)?;
        resource::look_at_thread(thread, out)?;
    }
    resource::look_at_process(process, out)
}

/// What the processes themselves have told: the rest of the losses.
pub(crate) fn told(mut found: Findings, options: &Options) -> Result<Findings> {
    settle(&mut found, options);
    found.refusals()?;
    Ok(found)
}

/// Each finding once; with `--strict` a loss is a refusal.
fn settle(found: &mut Findings, options: &Options) {
    if options.strict {
        found.refused.append(&mut found.lost);
    }
    for list in [&mut found.refused, &mut found.lost, &mut found.outside] {
        let mut seen = BTreeSet::new();
        list.retain(|finding| seen.insert(finding.clone()));
    }
}

/// Whether a process that could not be looked at is dead, or is so in a moment: it loses one thing after the other.
fn is_ending(pid: u32) -> Result<bool> {
    for _ in 0..100 {
        if floe_proc::is_dead(pid)? {
            return Ok(true);
        }
        sleep(Duration::from_millis(1));
    }
    Ok(false)
}

fn any_is_ending(pids: &[Pid], root: u32) -> Result<bool> {
    for pid in pids.iter().filter(|pid| pid.0 != root) {
        if is_ending(pid.0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn exists(pid: u32) -> Result<()> {
    let status = match Status::of(pid) {
        Err(error) if error.is_gone() => {
            return Err(floe_sys::Error::because("freeze it", "no such process").pid(pid).into());
        }
        other => other?,
    };
    // /proc/TID exists for threads, too, though it is not listed.
    let tgid: u32 = status.number("Tgid")?;
    if tgid != pid {
        let what = format!("it is a thread of process {tgid}");
        return Err(floe_sys::Error::because("freeze it", what).pid(pid).into());
    }
    Ok(())
}

/// All processes of a tree, parents first.
pub fn tree(root: u32) -> floe_sys::Result<Vec<u32>> {
    Ok(family(root)?.into_iter().map(|(pid, _)| pid).collect())
}

/// All processes of a tree, parents first, each with the thread whose child it is; 0 for the root.
pub(crate) fn family(root: u32) -> floe_sys::Result<Vec<(u32, u32)>> {
    family_with(root, &mut |_, _| Ok(()))
}

/// The same; `threads` gets each process with all its threads.
pub(crate) fn family_with(
    root: u32,
    threads: &mut dyn FnMut(u32, &[u32]) -> floe_sys::Result<()>,
) -> floe_sys::Result<Vec<(u32, u32)>> {
    let mut all = vec![(root, 0)];
    let mut seen = BTreeSet::from([root]);
    let mut at = 0;
    while at < all.len() {
        let (pid, _) = all[at];
        at += 1;
        let tids = subject::tids(pid)?;
        threads(pid, &tids)?;
        let mut left = children_of(pid, tids.len())?;
        for tid in tids {
            if left == Some(0) {
                break;
            }
            let children = subject::unless_gone(floe_proc::children(pid, tid))?;
            left = left.map(|left| left.saturating_sub(children.len()));
            let new = children.into_iter().filter(|child| seen.insert(*child));
            all.extend(new.map(|child| (child, tid)));
        }
    }
    Ok(all)
}

/// How many children a process with this many threads has, where it takes less to ask all processes for their parents than all of these
/// threads for their children.
fn children_of(pid: u32, threads: usize) -> floe_sys::Result<Option<usize>> {
    /// Fewer are asked at once.
    const MANY: usize = 64;
    if threads < MANY {
        return Ok(None);
    }
    let all = floe_proc::numbers_in("/proc")?;
    if all.len() > threads {
        return Ok(None);
    }
    let mut count = 0;
    for other in all {
        count += usize::from(subject::stat(other)?.is_some_and(|stat| stat.ppid == pid));
    }
    Ok(Some(count))
}

/// /proc must show the processes that our system calls mean.
fn same_pids() -> Result<()> {
    if floe_proc::shows_our_pids()? {
        return Ok(());
    }
    let problem = "it shows another pid namespace than the one of freeze";
    let finding = Finding::about("/proc", "proc.namespace", problem);
    Err(Error::refuse(finding.hint("enter mount and pid namespace together: nsenter -m -p")))
}

/// Whether we may trace it: opening its memory asks the same question of the kernel.
fn permitted(pid: u32) -> Result<()> {
    let opened = File::open(floe_proc::path(pid, "mem")).map(drop);
    opened.map_err(|e| lacking("CAP_SYS_PTRACE", floe_sys::Error::new("trace it", e).pid(pid)))?;
    mapped_files(pid)
}

/// Whether the links of mapped files may be followed, which even of our own process takes more than its user has. Where they
/// may, all that is left to be forbidden is forbidden to those who may not trace.
fn mapped_files(pid: u32) -> Result<()> {
    let own = std::process::id();
    let Some(map) = floe_proc::mappings(own)?.into_iter().find(|map| map.ino != 0) else {
        return Ok(());
    };
    let link = floe_proc::map_file_path(own, map.start, map.end).metadata();
    link.map(drop).map_err(|e| {
        let doing = "see which files it maps (/proc/PID/map_files)";
        lacking("CAP_CHECKPOINT_RESTORE", floe_sys::Error::new(doing, e).pid(pid))
    })
}

/// What is forbidden when [`permitted`] has passed: processes of the tree that belong to others.
pub(crate) fn untraceable(error: Error) -> Error {
    match error {
        Error::Sys(error) => lacking("CAP_SYS_PTRACE", error),
        other => other,
    }
}

/// An error as the lack of a capability, if it may be one.
fn lacking(capability: &'static str, error: floe_sys::Error) -> Error {
    match error.errno() {
        Some(libc::EPERM | libc::EACCES) => Error::NotPermitted(capability, error),
        _ => error.into(),
    }
}
