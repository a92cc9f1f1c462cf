//! Pages that were left where the tree was: they are asked for over the way that the stream has come.
//!
//! A request is a line, `want PID START-END,START-END`; the answer is the number of bytes (eight of them, the lowest first) and the
//! pages. Answers come in the order of requests, of which several may be on their way. `done` is the last line.

use anyhow::{Context, Result, ensure};
use floe_pager::{Run, Source};
use floe_plan::{may_come_later, vma_at};
use floe_records::{Addr, Finding, LeftPages, Pid, Refusals, Tree};
use std::{
    error::Error as StdError,
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Condvar, Mutex, PoisonError},
};

/// Bytes and ranges of a request.
const BYTES: u64 = 256 << 10;
const RANGES: usize = 64;

/// Pages of one request.
#[derive(Clone, Debug)]
pub struct Left {
    pub pid: Pid,
    pub ranges: Vec<(u64, u32)>,
}

/// What was left, in requests.
///
/// # Errors
/// Where memory is left that cannot come later: the stream is damaged.
pub fn left(tree: &Tree, may_watch: impl Fn(Pid) -> bool) -> Result<Vec<Left>> {
    let mut all: Vec<Left> = Vec::new();
    for record in tree.all::<LeftPages>() {
        let mut part = Left { pid: record.pid, ranges: Vec::new() };
        let mut room = BYTES;
        for &(Addr(start), len) in &record.ranges {
            let vma = vma_at(tree, record.pid, Addr(start));
            let fits = vma.is_some_and(|vma| may_come_later(vma) && start + len <= vma.end.0);
            if !fits || !may_watch(record.pid) {
                let problem = "pages are left of memory that must be there";
                let finding =
                    Finding::of(record.pid, format!("{start:x}"), "restore.left", problem);
                return Err(Refusals(vec![finding]).into());
            }
            let mut at = start;
            while at < start + len {
                let some = (start + len - at).min(room);
                part.ranges.push((at, some as u32));
                at += some;
                room -= some;
                if room == 0 || part.ranges.len() == RANGES {
                    let next = Left { pid: record.pid, ranges: Vec::new() };
                    all.push(std::mem::replace(&mut part, next));
                    room = BYTES;
                }
            }
        }
        all.extend(Some(part).filter(|part| !part.ranges.is_empty()));
    }
    Ok(all)
}

/// The way to where the pages are.
pub struct Remote {
    left: Vec<Left>,
    to: File,
    from: File,
    /// How many have asked.
    requests: Mutex<u64>,
    /// How many have got an answer.
    answers: Mutex<u64>,
    turn: Condvar,
}

impl Remote {
    /// Requests go to `to`, and answers come from `from`.
    pub fn new(left: Vec<Left>, to: File, from: File) -> Self {
        let (requests, answers) = (Mutex::new(0), Mutex::new(0));
        Self { left, to, from, requests, answers, turn: Condvar::new() }
    }

    /// What is asked for.
    pub fn left(&self) -> &[Left] {
        &self.left
    }

    /// As a pager wants them, by the places of their processes among the clients.
    pub fn runs(&self, number: impl Fn(Pid) -> Option<usize>) -> Option<Vec<Run>> {
        let run =
            |left: &Left| Some(Run { client: number(left.pid)?, ranges: left.ranges.clone() });
        self.left.iter().map(run).collect()
    }

    fn ask(&self, left: &Left) -> Result<u64> {
        let range = |(start, len): &(u64, u32)| format!("{start:x}-{:x}", start + u64::from(*len));
        let ranges: Vec<String> = left.ranges.iter().map(range).collect();
        let line = format!("want {} {}\n", left.pid, ranges.join(","));
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.to).write_all(line.as_bytes()).context("unable to ask for pages")?;
        *requests += 1;
        Ok(*requests - 1)
    }

    fn hear(&self, number: u64, bytes: u64, into: &mut Vec<u8>) -> Result<()> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        while *answers != number {
            answers = self.turn.wait(answers).unwrap_or_else(PoisonError::into_inner);
        }
        let gone = "unable to hear from where the tree was";
        let mut len = [0; 8];
        let read = (&self.from).read_exact(&mut len).and_then(|()| {
            into.resize(bytes as usize, 0);
            (&self.from).read_exact(into)
        });
        *answers += 1;
        self.turn.notify_all();
        read.context(gone)?;
        ensure!(u64::from_le_bytes(len) == bytes, "an answer of another length was asked for");
        Ok(())
    }
}

impl Source for Remote {
    fn read(&self, run: u32, into: &mut Vec<u8>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let left = self.left.get(run as usize).ok_or("there is no such run")?;
        let bytes = left.ranges.iter().map(|(_, len)| u64::from(*len)).sum();
        let number = self.ask(left)?;
        Ok(self.hear(number, bytes, into)?)
    }

    fn finish(&self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        Ok((&self.to).write_all(b"done\n")?)
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.to.as_fd(), self.from.as_fd()]
    }
}
