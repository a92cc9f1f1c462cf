//! The pager: a thread that hears what happens in the memory of processes, and some that fill it.

use crate::{
    Error, Run, Work,
    jobs::Jobs,
    pending::{Pending, Piece},
    record::Record,
    space::Space,
};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::EventFd,
    },
    unistd::read,
};
use std::{
    fs::File,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Most threads that fill.
const FILLERS: usize = 4;
/// What is heard besides the spaces, by the numbers of those.
const STOP: u64 = u64::MAX;
const GATE: u64 = u64::MAX - 1;
/// How soon something is tried again.
const SOON: Duration = Duration::from_millis(1);

/// All that the threads of a pager have in common.
struct Pager<'a> {
    work: &'a Work<'a>,
    spaces: RwLock<Vec<Arc<Space<'a>>>>,
    jobs: Jobs,
    heard: Epoll,
    stop: EventFd,
    /// In the place of what watches a space that is done.
    null: File,
    open: Mutex<usize>,
    /// Who waits for something does so with right.
    armed: AtomicBool,
}

/// Serves all processes until all is in place, or nobody is left.
pub(crate) fn serve(work: &Work<'_>) -> Result<(), Error> {
    let pager = Pager {
        work,
        spaces: RwLock::default(),
        jobs: Jobs::new(&work.order, work.early, work.strict),
        heard: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        stop: EventFd::new()?,
        null: File::open("/dev/null")?,
        open: Mutex::new(0),
        armed: AtomicBool::new(!work.strict),
    };
    pager.heard.add(&pager.stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
    pager.heard.add(&work.gate, EpollEvent::new(EpollFlags::EPOLLIN, GATE))?;
    for (client, pending) in work.clients.iter().zip(pending(work.clients.len(), &work.runs)) {
        pager.add(Space::new(&client.memory, pending))?;
    }
    pager.run()?;
    work.source.finish().map_err(Error::Content)
}

/// What is pending in each client.
fn pending(clients: usize, runs: &[Run]) -> Vec<Pending> {
    let mut all = vec![Vec::new(); clients];
    for (run, it) in (0..).zip(runs) {
        let mut at = 0;
        for (start, len) in &it.ranges {
            let len = u64::from(*len);
            if let Some(pieces) = all.get_mut(it.client) {
                pieces.push((*start, Piece { len, run, at }));
            }
            at += len;
        }
    }
    all.into_iter().map(Pending::new).collect()
}

impl<'a> Pager<'a> {
    fn run(&self) -> Result<(), Error> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            // Where most of the time is spent on the way, more can be on their way.
            let least = if self.work.strict { FILLERS } else { 2 };
            let fillers: Vec<_> = (0..cores.clamp(least, FILLERS))
                .map(|_| {
                    thread::Builder::new().spawn_scoped(scope, || self.finishing(|| self.work()))
                })
                .collect();
            let mut done = self.finishing(|| self.listen());
            for filler in fillers {
                let filled = match filler {
                    Ok(filler) => filler.join().unwrap_or(Err(Error::Thread)),
                    Err(e) => Err(e.into()),
                };
                done = done.and(filled);
            }
            done
        })
    }

    /// Does some work; where it fails all others end, too.
    fn finishing(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let done = work();
        if done.is_err() {
            self.end()?;
        }
        done
    }

    fn end(&self) -> Result<(), Error> {
        self.jobs.end();
        self.stop.write(1)?;
        Ok(())
    }

    /// Hears what happens.
    fn listen(&self) -> Result<(), Error> {
        let mut again: Vec<u64> = Vec::new();
        let mut events = [EpollEvent::empty(); 64];
        let mut record = self.work.recording.as_ref().map(Record::new);
        loop {
            let quiet = record.as_ref().and_then(Record::left);
            let timeout = if again.is_empty() { quiet } else { Some(SOON) };
            let timeout = timeout.map_or(EpollTimeout::NONE, |time| {
                // Rounded up, so that it is over then.
                EpollTimeout::try_from(time + SOON).unwrap_or(EpollTimeout::MAX)
            });
            let count = match self.heard.wait(&mut events, timeout) {
                Err(nix::Error::EINTR) => 0,
                count => count?,
            };
            let mut heard = std::mem::take(&mut again);
            heard.extend(events[..count].iter().map(EpollEvent::data));
            heard.sort_unstable();
            heard.dedup();
            for number in heard {
                match number {
                    STOP => {
                        record.iter_mut().for_each(Record::end);
                        return Ok(());
                    }
                    GATE if read(&self.work.gate, &mut [0])? > 0 => {
                        self.armed.store(true, Ordering::Relaxed);
                    }
                    GATE => {
                        self.heard.delete(&self.work.gate)?;
                        match &mut record {
                            Some(record) => record.begin(),
                            None => self.jobs.open(),
                        }
                    }
                    number if self.settle(number as usize, record.as_mut())? => again.push(number),
                    _ => {}
                }
            }
            if record.as_ref().is_some_and(Record::is_over) {
                record.take().iter_mut().for_each(Record::end);
                self.jobs.open();
            }
        }
    }

    /// Takes care of what has happened in one space; whether that must be tried again.
    fn settle(&self, number: usize, record: Option<&mut Record<'_>>) -> Result<bool, Error> {
        let Some(space) = self.space(number) else { return Ok(false) };
        let news = space.settle(&mut |child| self.add(child))?;
        if !news.wanted.is_empty() && !self.is_armed()? {
            return Err(Error::Early);
        }
        news.wanted.iter().for_each(|run| self.jobs.hurry(*run));
        if let Some(record) = record {
            record.add(&news.wanted);
        }
        self.close(&space)?;
        Ok(news.again)
    }

    /// Whether a byte has come through the gate: it comes before the processes run, but may be heard behind what they do.
    fn is_armed(&self) -> Result<bool, Error> {
        let now = || floe_sys::poll(self.work.gate.as_fd(), libc::POLLIN, Some(Duration::ZERO));
        Ok(self.armed.load(Ordering::Relaxed) || now()? != 0)
    }

    /// Fills one run after the other.
    fn work(&self) -> Result<(), Error> {
        let mut content = Vec::new();
        while let Some(run) = self.jobs.next() {
            self.fill(run, &mut content)?;
            self.jobs.done(run);
        }
        Ok(())
    }

    /// Fills a run wherever it is wanted. A child that is forked meanwhile stands behind its parent, and has what that had.
    fn fill(&self, run: u32, content: &mut Vec<u8>) -> Result<(), Error> {
        let mut read = false;
        for number in 0.. {
            let Some(space) = self.space(number) else { break };
            if !space.wants(run) {
                continue;
            }
            if !read {
                self.work.source.read(run, content).map_err(Error::Content)?;
                read = true;
            }
            space.fill(run, content)?;
            self.close(&space)?;
        }
        Ok(())
    }

    fn space(&self, number: usize) -> Option<Arc<Space<'a>>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }

    fn add(&self, space: Space<'a>) -> Result<(), Error> {
        let mut all = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, all.len() as u64);
        self.heard.add(&space, event)?;
        all.push(Arc::new(space));
        Ok(())
    }

    /// Closes a space where it is done, and ends with the last one.
    fn close(&self, space: &Space<'_>) -> Result<(), Error> {
        if !space.close_if_done(self.null.as_fd())? {
            return Ok(());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open -= 1;
        if *open == 0 { self.end() } else { Ok(()) }
    }
}
