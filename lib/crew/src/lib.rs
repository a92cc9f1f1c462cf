//! One thread brings bytes in order, others put them away in any order, and memory stays bounded: what is on its
//! way is in a fixed number of buffers.
#![forbid(unsafe_code)]

use std::{
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// A worker has failed; its error is what [`run`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a worker has failed")
    }
}

impl std::error::Error for Stopped {}

/// The leader's view of the workers. `T` says what to do with a buffer.
pub struct Crew<'a, T> {
    jobs: SyncSender<(T, Vec<u8>, usize)>,
    idle: Receiver<Vec<u8>>,
    stopped: &'a AtomicBool,
}

impl<T> Crew<'_, T> {
    /// A buffer to fill; waits until one is free.
    pub fn buffer(&self) -> Result<Vec<u8>, Stopped> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        self.idle.recv().map_err(|_| Stopped)
    }

    /// Hands the first `len` bytes of a buffer to whoever is free.
    pub fn give(&self, job: T, buffer: Vec<u8>, len: usize) -> Result<(), Stopped> {
        self.jobs.send((job, buffer, len)).map_err(|_| Stopped)
    }
}

/// Runs `lead` with `workers` threads that each do `job` with what they are given, `buffers` buffers of `size`
/// bytes between them. Returns when all that was given is done; the first failure of a worker counts most.
/// Without threads (EAGAIN of clone(2)) nothing is begun.
pub fn run<T: Send, E: Send + From<Stopped> + From<io::Error>, R>(
    workers: usize,
    buffers: usize,
    size: usize,
    job: impl Fn(T, &[u8]) -> Result<(), E> + Sync,
    lead: impl FnOnce(&Crew<'_, T>) -> Result<R, E>,
) -> Result<R, E> {
    let (jobs, todo) = sync_channel::<(T, Vec<u8>, usize)>(buffers);
    let (done, idle) = sync_channel(buffers);
    for _ in 0..buffers {
        // The channel holds them all, so this never waits.
        let _ = done.send(vec![0; size]);
    }
    let (todo, failure, stopped) = (Mutex::new(todo), Mutex::new(None), AtomicBool::new(false));
    let work = |done: SyncSender<Vec<u8>>| {
        loop {
            let next = lock(&todo).recv();
            let Ok((task, buffer, len)) = next else { break };
            // After a failure the rest is only taken, so that nobody waits for ever.
            if !stopped.load(Ordering::Relaxed)
                && let Err(error) = job(task, &buffer[..len])
            {
                lock(&failure).get_or_insert(error);
                stopped.store(true, Ordering::Relaxed);
            }
            let _ = done.send(buffer);
        }
    };
    let led = thread::scope(|scope| {
        for _ in 0..workers {
            let done = done.clone();
            thread::Builder::new().spawn_scoped(scope, || work(done))?;
        }
        drop(done);
        // The crew is dropped at the end of this, which sends the workers home.
        lead(&Crew { jobs, idle, stopped: &stopped })
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(led, Err)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Error {
        Stopped,
        Bad(u64),
    }

    impl From<io::Error> for Error {
        fn from(_: io::Error) -> Self {
            Error::Stopped
        }
    }

    impl From<Stopped> for Error {
        fn from(_: Stopped) -> Self {
            Error::Stopped
        }
    }

    fn bring(crew: &Crew<'_, u64>) -> Result<u64, Error> {
        for n in 0..1000 {
            let mut buffer = crew.buffer()?;
            buffer[0] = n as u8;
            crew.give(n, buffer, 1)?;
        }
        Ok(1000)
    }

    #[test]
    fn everything_is_done_once() {
        let sum = Mutex::new((0, 0));
        let job = |n: u64, bytes: &[u8]| {
            assert_eq!(bytes, &[n as u8]);
            let mut sum = sum.lock().expect("lock");
            *sum = (sum.0 + 1, sum.1 + n);
            Ok(())
        };
        assert_eq!(run(3, 4, 16, job, bring), Ok(1000));
        assert_eq!(sum.into_inner().expect("sum"), (1000, 499_500));
    }

    #[test]
    fn a_failure_stops_the_leader() {
        let job = |n: u64, _: &[u8]| if n == 500 { Err(Error::Bad(n)) } else { Ok(()) };
        assert_eq!(run(2, 3, 16, job, bring), Err(Error::Bad(500)));
    }

    #[test]
    fn the_leaders_failure_is_told() {
        let lead = |_: &Crew<'_, u64>| Err::<(), _>(Error::Bad(7));
        assert_eq!(run(2, 3, 16, |_, _| Ok(()), lead), Err(Error::Bad(7)));
    }
}
