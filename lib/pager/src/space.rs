//! One address space that is watched.
//!
//! Whatever changes it waits until we have read of it, and up to then the kernel puts no page into place. So who holds the lock of
//! a space and has a page put there knows that it still belongs there: either the change has been read and noted, or
//! the kernel says [`NotPut::Later`].

use crate::{Error, pending::Pending};
use floe_sys::{MemoryEvent, NotPut, Userfaultfd, replace_descriptor};
use std::{
    io,
    ops::Deref,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

const PAGE: usize = 4096;
/// How long a change may take to be read, at least.
const MOMENT: Duration = Duration::from_micros(20);
/// How long, and how often, room for pages is waited for: a cgroup that has reached its limit may get some.
const LONG: Duration = Duration::from_millis(20);
const TRIES: usize = 100;

/// What is not in place, and what watches it.
pub struct Space<'a> {
    memory: Memory<'a>,
    state: Mutex<State>,
}

/// What watches a client, or a child that one has forked.
enum Memory<'a> {
    Client(&'a Userfaultfd),
    Child(Userfaultfd),
}

impl Deref for Memory<'_> {
    type Target = Userfaultfd;

    fn deref(&self) -> &Userfaultfd {
        match self {
            Self::Client(memory) => memory,
            Self::Child(memory) => memory,
        }
    }
}

struct State {
    pending: Pending,
    /// Pages of zeros that somebody waits for.
    zeros: Vec<u64>,
    open: bool,
}

/// What events call for.
#[derive(Default)]
pub struct News {
    /// Runs that somebody waits for.
    pub wanted: Vec<u32>,
    /// Something is left to do as soon as the kernel lets us.
    pub again: bool,
}

/// How far pages were put into place.
enum Put {
    All,
    /// As many bytes of them, no more for now.
    Until(usize),
    Gone,
}

impl<'a> Space<'a> {
    /// What is pending in a client.
    pub fn new(memory: &'a Userfaultfd, pending: Pending) -> Self {
        Self::with(Memory::Client(memory), pending)
    }

    fn with(memory: Memory<'a>, pending: Pending) -> Self {
        let state = State { pending, zeros: Vec::new(), open: true };
        Self { memory, state: Mutex::new(state) }
    }

    /// Whether something of a run is pending.
    pub fn wants(&self, run: u32) -> bool {
        self.lock().pending.has(run)
    }

    /// Puts all of a run into place whose content this is.
    pub fn fill(&self, run: u32, content: &[u8]) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            match self.try_fill(run, content) {
                Ok(true) => return Ok(()),
                Ok(false) => thread::sleep(MOMENT),
                Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && tries < TRIES => {
                    tries += 1;
                    thread::sleep(LONG);
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// As much of it as the kernel lets us; whether that is all.
    fn try_fill(&self, run: u32, content: &[u8]) -> io::Result<bool> {
        let mut state = self.lock();
        for (start, piece) in state.pending.of(run) {
            let bytes = content.get(piece.at as usize..(piece.at + piece.len) as usize);
            let bytes = bytes.ok_or_else(|| io::Error::other("a run is shorter than its pages"))?;
            match put(&self.memory, start, bytes)? {
                Put::All => state.pending.remove(start, start + piece.len),
                Put::Until(done) => {
                    state.pending.remove(start, start + done as u64);
                    return Ok(false);
                }
                Put::Gone => state.pending = Pending::default(),
            }
        }
        Ok(true)
    }

    /// Reads what has happened, and takes care of it. `add` gets the children that have been forked, with what is pending in them:
    /// nothing of that is put into the place of their parent meanwhile.
    pub fn settle(
        &self,
        add: &mut dyn FnMut(Space<'a>) -> Result<(), Error>,
    ) -> Result<News, Error> {
        let mut news = News::default();
        let mut state = self.lock();
        if !state.open {
            return Ok(news);
        }
        loop {
            let events = self.memory.events()?;
            if events.is_empty() {
                break;
            }
            for event in events {
                state.note(event, &mut news, add)?;
            }
        }
        for at in std::mem::take(&mut state.zeros) {
            match state.pending.run_at(at) {
                Some(run) => news.wanted.push(run),
                None if zero(&self.memory, at)? => {}
                None => state.zeros.push(at),
            }
        }
        news.again = !state.zeros.is_empty();
        Ok(news)
    }

    /// Watches it no more where all is in place. `null` takes the place of the descriptor, so that the number stays taken.
    /// Whether that was done just now.
    pub fn close_if_done(&self, null: BorrowedFd<'_>) -> Result<bool, Error> {
        let mut state = self.lock();
        if !state.open || !state.pending.is_empty() {
            return Ok(false);
        }
        state.open = false;
        replace_descriptor(self.memory.as_fd(), null)
            .map_err(|e| io::Error::other(e.to_string()))?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note<'a>(
        &mut self,
        event: MemoryEvent,
        news: &mut News,
        add: &mut dyn FnMut(Space<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match event {
            MemoryEvent::Fault(at) => {
                let at = at - at % PAGE as u64;
                match self.pending.run_at(at) {
                    Some(run) => news.wanted.push(run),
                    None => self.zeros.push(at),
                }
            }
            // Where nothing is pending nobody need watch: it ends here.
            MemoryEvent::Fork(_) if self.pending.is_empty() => {}
            MemoryEvent::Fork(memory) => {
                add(Space::with(Memory::Child(memory), self.pending.clone()))?;
            }
            MemoryEvent::Remap(from, to, len) => self.pending.shift(from, to, len),
            MemoryEvent::Remove(start, end) | MemoryEvent::Unmap(start, end) => {
                self.pending.remove(start, end);
            }
        }
        Ok(())
    }
}

impl AsFd for Space<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// Puts pages into place. What is there already stays, and where there is no memory that is watched nothing comes.
fn put(memory: &Userfaultfd, start: u64, bytes: &[u8]) -> io::Result<Put> {
    let (mut done, mut most) = (0, bytes.len());
    while done < bytes.len() {
        let end = bytes.len().min(done + most);
        match memory.copy(start + done as u64, &bytes[done..end])? {
            Ok(count) => done += count as usize,
            Err(NotPut::Later) => return Ok(Put::Until(done)),
            Err(NotPut::Gone) => return Ok(Put::Gone),
            Err(NotPut::Present) => {
                memory.wake(start + done as u64, PAGE as u64)?;
                done += PAGE;
            }
            // A mapping was split, or has got another protection, in between: page by page from here on.
            Err(NotPut::NoMemory) if end - done > PAGE => most = PAGE,
            Err(NotPut::NoMemory) => done += PAGE,
        }
    }
    Ok(Put::All)
}

/// Puts a page of zeros into place, and has who waits for it look again. False: not now.
fn zero(memory: &Userfaultfd, at: u64) -> io::Result<bool> {
    if memory.zero(at, PAGE as u64)? == Err(NotPut::Later) {
        return Ok(false);
    }
    memory.wake(at, PAGE as u64)?;
    Ok(true)
}
