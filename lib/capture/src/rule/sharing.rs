//! What processes share (CLONE_VM, CLONE_FILES, CLONE_FS and CLONE_SIGHAND of clone(2)), where restore cannot make them so again.
//! And the reverse: threads that have left what their process shares (unshare(2), setns(2)).

use crate::{
    Result, parallel,
    subject::{OF_THREADS, Process},
};
use floe_proc::{is_dead, is_ending};
use floe_records::{Finding, Findings, Links, Pid, Share, Sharer, Shares};
use floe_sys::{Shared, kcmp_shared};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

const HINT: &str = "have it call execve(2) or unshare(2) first";

/// A process of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    pub pid: u32,
    pub parent: u32,
    /// The thread of its parent whose child it is.
    pub maker: u32,
}

/// What each process of a tree has from which other one.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    /// Those that have something from a process before them.
    shares: BTreeMap<Pid, Shares>,
    /// Those that have their memory in common with any other.
    in_memory: BTreeSet<u32>,
}

impl Sharing {
    /// Of one process.
    pub fn of(&self, pid: u32) -> Shares {
        self.shares.get(&Pid(pid)).copied().unwrap_or(Shares::none(Pid(pid)))
    }

    /// Those that have it from a process before them.
    pub fn sharers(&self, share: Share) -> BTreeSet<Pid> {
        let has = |(pid, shares): &(&Pid, &Shares)| shares.of(share) != **pid;
        self.shares.iter().filter(has).map(|(pid, _)| *pid).collect()
    }

    /// Whether a process has its memory in common with another one, be it outside of the tree.
    pub fn in_memory(&self, pid: u32) -> bool {
        self.in_memory.contains(&pid)
    }
}

/// Looks at the living processes of a tree of `pids`, parents first: who shares with another one, inside or outside of it.
pub(crate) fn processes(living: &[Member], pids: &[u32], out: &mut Findings) -> Result<Sharing> {
    let mut outside = floe_proc::numbers_in("/proc")?;
    let inside: BTreeSet<u32> = pids.iter().copied().collect();
    outside.retain(|pid| !inside.contains(pid));
    among(living, &outside, out)
}

/// Looks at the living processes of a tree that stands still, and at the parent of its root, which may wait for it in vfork(2)
/// and then shares its memory.
pub(crate) fn held(living: &[Member], out: &mut Findings) -> Result<Sharing> {
    let parent = living.first().map(|root| root.parent).filter(|parent| *parent != 0);
    among(living, parent.as_slice(), out)
}

/// Of processes that have just ended nothing is found: they share nothing any more.
fn among(inside: &[Member], outside: &[u32], out: &mut Findings) -> Result<Sharing> {
    let mut found = Sharing::default();
    for share in Share::ALL {
        // Signal actions are shared only by those that share memory too (CLONE_SIGHAND of clone(2)).
        if share == Share::Actions && found.in_memory.is_empty() {
            continue;
        }
        let kind = kind(share);
        let mut refuse = |pid, problem| {
            let finding = Finding::of(Pid(pid), share.name(), "process.shares", problem);
            out.refuse(finding.hint(HINT));
        };
        let mut sorted: Vec<u32> = Vec::with_capacity(inside.len());
        let mut sharers = BTreeSet::new();
        for pid in inside.iter().map(|member| member.pid) {
            match place(&sorted, pid, kind)? {
                Some(Ok(at)) => {
                    sharers.extend([pid, sorted[at]]);
                    let shares = found.shares.entry(Pid(pid)).or_insert(Shares::none(Pid(pid)));
                    shares.set(share, Pid(sorted[at]));
                }
                Some(Err(at)) => sorted.insert(at, pid),
                None => {}
            }
        }
        for &other in outside {
            if let Some(Ok(at)) = place(&sorted, other, kind)? {
                sharers.insert(sorted[at]);
                refuse(
                    sorted[at],
                    format!("it shares it with process {other}, outside of the tree"),
                );
            }
        }
        if share == Share::Memory {
            found.in_memory = sharers;
        }
        for (pid, owner) in links(share, inside, &found).err().unwrap_or_default() {
            let problem = format!(
                "it shares it with process {owner}, and cannot be made so again: those between them have their own"
            );
            refuse(pid.0, problem);
        }
    }
    Ok(found)
}

fn kind(share: Share) -> Shared {
    match share {
        Share::Memory => Shared::Vm,
        Share::Table => Shared::Files,
        Share::Directories => Shared::Fs,
        Share::Actions => Shared::Sighand,
    }
}

/// Whether all can be made again as they are.
fn links(
    share: Share,
    inside: &[Member],
    found: &Sharing,
) -> std::result::Result<(), Vec<(Pid, Pid)>> {
    let sharer = |member: &Member| Sharer {
        pid: Pid(member.pid),
        parent: Pid(member.parent),
        by_thread: member.maker != member.parent,
        owner: found.of(member.pid).of(share),
    };
    Links::find(share, &inside.iter().map(sharer).collect::<Vec<_>>()).map(drop)
}

/// Where a process belongs among others that are sorted by what they have of a kind: the one that shares it, or a place of
/// its own. `None` for a process that has just ended, which shares nothing.
fn place(sorted: &[u32], pid: u32, kind: Shared) -> Result<Option<Result<usize, usize>>> {
    let (mut low, mut high) = (0, sorted.len());
    while low < high {
        let middle = low.midpoint(high);
        match kcmp_shared(sorted[middle] as i32, pid as i32, kind) {
            // One that is ending has nothing any more, as others have nothing: threads of the kernel have no memory.
            Ok(Ordering::Equal) if is_ending(pid)? => return Ok(None),
            Ok(Ordering::Equal) if is_ending(sorted[middle])? => low = middle + 1,
            Ok(Ordering::Equal) => return Ok(Some(Ok(middle))),
            Ok(Ordering::Less) => low = middle + 1,
            Ok(Ordering::Greater) => high = middle,
            // The one that it is compared with has ended: the next one serves as well.
            Err(_) if is_dead(sorted[middle])? && !is_dead(pid)? => low = middle + 1,
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(Err(low)))
}

/// Looks at the threads of a process.
pub(crate) fn threads(process: &Process<'_>, out: &mut Findings) -> Result<()> {
    let pid = process.pid;
    let leaders = OF_THREADS.map(|name| process.namespace(name));
    let own = parallel::each(&process.tasks, |thread| {
        let own = |share: &Share| {
            let order = kcmp_shared(pid as i32, thread.tid as i32, kind(*share));
            order.is_ok_and(|order| order != Ordering::Equal)
        };
        let all = if thread.tid == pid { &[][..] } else { &[Share::Table, Share::Directories] };
        all.iter().filter(|share| own(share)).map(|share| share.name().to_owned()).collect()
    });
    for (thread, mut left) in process.tasks.iter().zip::<Vec<Vec<String>>>(own) {
        let tid = thread.tid;
        let theirs = thread.namespaces.unwrap_or(leaders);
        let differing = OF_THREADS.iter().zip(theirs.iter().zip(&leaders));
        let differing: Vec<_> = differing.filter(|(_, (theirs, own))| theirs != own).collect();
        // One that is just ending has no namespaces any more.
        if !differing.is_empty() && !is_dead(tid)? {
            left.extend(differing.iter().map(|(name, _)| format!("{name} namespace")));
        }
        for what in left {
            let problem = format!("thread {tid} has one of its own");
            out.refuse(Finding::of(Pid(pid), what, "thread.own", problem));
        }
    }
    Ok(())
}
