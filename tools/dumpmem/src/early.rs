//! The tree runs on before all of its memory has been sent: what is left is read from copies that its holder has made of its
//! processes, or nothing is left.
//!
//! Only where every stage in front of this one has done its work by then, and where the holder takes requests. Shared memory,
//! and what fork(2) does not copy, is sent before.

use crate::{
    piece::{Origin, Piece, What},
    shared::Runs,
};
use anyhow::Result;
use floe_records::{Begin, Pid, Requests, Tree, Vma, VmaKind, without};
use floe_toolkit::requests::{Holder, MOST};
use std::{collections::BTreeMap, ops::Range};

/// Own pages of a process from which on a copy of it takes less time than they do, bytes.
const LARGE: u64 = 1 << 20;
/// The same of all of them together.
const WORTH: u64 = 8 << 20;

/// What is known of the holder.
#[derive(Default)]
pub struct Early {
    pub begin: Option<Begin>,
    pub requests: Option<Requests>,
    /// `dumpfs` has come before us: who comes behind would look at a tree that runs.
    pub files_are_told: bool,
}

/// A tree that will run on.
pub struct Running {
    holder: Holder,
    /// Processes that were copied, with their copies.
    copies: BTreeMap<Pid, Pid>,
    /// Own pages of these.
    left: Vec<(Pid, Vec<Range<u64>>)>,
}

impl Early {
    /// Finds the holder, and has what is worth it copied; takes out of `runs` what can be read when the tree runs. Says why
    /// nothing was copied.
    pub fn copy(&self, tree: &Tree, runs: &mut Runs) -> Result<Option<Running>> {
        let known = self.begin.as_ref().zip(self.requests.as_ref());
        let Some((begin, requests)) = known.filter(|_| self.files_are_told) else {
            return Ok(None);
        };
        // Who may not reach it does as with one that takes no requests.
        let Ok(holder) = Holder::find(begin, requests) else { return Ok(None) };
        let mut later: BTreeMap<Pid, Vec<Range<u64>>> = BTreeMap::new();
        for (pid, runs) in &*runs {
            let stays = tree.vmas(*pid).filter(|vma| !is_copied(vma));
            later.insert(*pid, without(runs, stays.map(|vma| vma.start.0..vma.end.0)));
        }
        later.retain(|_, runs| bytes(runs) >= LARGE);
        let mut running = Running { holder, copies: BTreeMap::new(), left: Vec::new() };
        let all: u64 = later.values().map(|runs| bytes(runs)).sum();
        if all < WORTH || later.len() > MOST {
            return Ok(Some(running));
        }
        let pids: Vec<u32> = later.keys().map(|pid| pid.0).collect();
        let copies = match running.holder.copy(&pids)? {
            Ok(copies) => copies,
            Err(why) => {
                let what = "the tree stands still until its memory has been read";
                floe_toolkit::warn("dumpmem", &format!("{what}: {why}"));
                return Ok(Some(running));
            }
        };
        for (pid, copy) in copies {
            let pid = Pid(pid);
            let Some((left, all)) = later.remove(&pid).zip(runs.get_mut(&pid)) else { continue };
            *all = without(all, left.iter().cloned());
            running.copies.insert(pid, Pid(copy));
            running.left.push((pid, left));
        }
        Ok(Some(running))
    }
}

impl Running {
    /// Adds what is read from copies, and has what is inherited read from them as well.
    pub fn take_over(&self, tree: &Tree, pieces: &mut Vec<Piece>) {
        let stays = |from: Pid, runs: &[Range<u64>]| {
            let overlaps =
                |vma: &Vma| runs.iter().any(|run| run.start < vma.end.0 && vma.start.0 < run.end);
            tree.vmas(from).any(|vma| !is_copied(vma) && overlaps(vma))
        };
        for piece in pieces.iter_mut() {
            if let (What::Parent(_), Origin::Tree(from)) = (piece.what, piece.origin)
                && let Some(copy) = self.copies.get(&from)
                && !stays(from, &piece.runs)
            {
                piece.origin = Origin::Copy(*copy);
            }
        }
        for (pid, runs) in &self.left {
            if let Some(copy) = self.copies.get(pid) {
                let (what, origin) = (What::Own(*pid), Origin::Copy(*copy));
                pieces.push(Piece { what, origin, runs: runs.clone() });
            }
        }
    }

    /// Lets the tree run.
    pub fn release(&self) -> Result<()> {
        self.holder.release()
    }
}

/// Whether fork(2) copies its pages: not with MADV_DONTFORK and MADV_WIPEONFORK of madvise(2), and of huge pages (hugetlb) the one who
/// writes first takes them away from the copy where there are no more.
fn is_copied(vma: &Vma) -> bool {
    let ordinary = vma.huge.is_none() && vma.kind != VmaKind::Detached;
    ordinary && !vma.has(b"dc") && !vma.has(b"wf") && !vma.has(b"ss")
}

/// Bytes of runs.
pub fn bytes(runs: &[Range<u64>]) -> u64 {
    runs.iter().map(|run| run.end - run.start).sum()
}
