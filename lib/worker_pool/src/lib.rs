//! A bounded producer and consumer pool: one thread reads in order, workers process in any order.
//!
//! All data is in a fixed number of buffers of fixed size, so memory does not grow when the workers are slower than
//! the producer.
#![forbid(unsafe_code)]

pub mod in_order;
pub mod parallel;

use std::{
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// A worker has failed; [`run`] returns the worker's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a worker has failed")
    }
}

impl std::error::Error for Stopped {}

/// The producer's handle of the pool. `T` tells a worker what to do with a buffer.
pub struct WorkerPool<'a, T> {
    jobs: SyncSender<(T, Vec<u8>, usize)>,
    idle: Receiver<Vec<u8>>,
    stopped: &'a AtomicBool,
}

impl<T> WorkerPool<'_, T> {
    /// A buffer to fill; blocks until one is free. Its content is that of an earlier job.
    ///
    /// # Errors
    /// [`Stopped`] when a worker has failed.
    pub fn buffer(&self) -> Result<Vec<u8>, Stopped> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        self.idle.recv().map_err(|_| Stopped)
    }

    /// Queues a job with the first `len` bytes of a buffer from [`WorkerPool::buffer`].
    ///
    /// # Errors
    /// [`Stopped`] when no worker is left.
    pub fn give(&self, job: T, buffer: Vec<u8>, len: usize) -> Result<(), Stopped> {
        self.jobs.send((job, buffer, len)).map_err(|_| Stopped)
    }
}

/// Runs `produce` in this thread, and `work` in `workers` threads on what it gives, with `buffers` buffers of `size`
/// bytes. Returns when all jobs are done.
///
/// # Errors
/// The first error of a worker, else that of `produce`. If a thread cannot be started (EAGAIN of clone(2)) `produce`
/// does not run.
pub fn run<T: Send, E: Send + From<Stopped> + From<io::Error>, R>(
    workers: usize,
    buffers: usize,
    size: usize,
    work: impl Fn(T, &[u8]) -> Result<(), E> + Sync,
    produce: impl FnOnce(&WorkerPool<'_, T>) -> Result<R, E>,
) -> Result<R, E> {
    let (jobs, queue) = sync_channel::<(T, Vec<u8>, usize)>(buffers);
    let (done, idle) = sync_channel(buffers);
    for _ in 0..buffers {
        // The channel has room for all of them, so this does not block.
        let _ = done.send(vec![0; size]);
    }
    let (queue, failure, stopped) = (Mutex::new(queue), Mutex::new(None), AtomicBool::new(false));
    let worker = |done: SyncSender<Vec<u8>>| {
        loop {
            let next = lock(&queue).recv();
            let Ok((job, buffer, len)) = next else { break };
            // After a failure jobs are discarded, so that the producer does not block for ever.
            if !stopped.load(Ordering::Relaxed)
                && let Err(error) = work(job, &buffer[..len])
            {
                lock(&failure).get_or_insert(error);
                stopped.store(true, Ordering::Relaxed);
            }
            let _ = done.send(buffer);
        }
    };
    let produced = thread::scope(|scope| {
        for _ in 0..workers {
            let done = done.clone();
            thread::Builder::new().spawn_scoped(scope, || worker(done))?;
        }
        drop(done);
        // Dropping the pool closes the queue, which ends the workers.
        produce(&WorkerPool { jobs, idle, stopped: &stopped })
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(produced, Err)
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

    fn produce(pool: &WorkerPool<'_, u64>) -> Result<u64, Error> {
        for n in 0..1000 {
            let mut buffer = pool.buffer()?;
            buffer[0] = n as u8;
            pool.give(n, buffer, 1)?;
        }
        Ok(1000)
    }

    #[test]
    fn every_job_is_done_once() {
        let sum = Mutex::new((0, 0));
        let job = |n: u64, bytes: &[u8]| {
            assert_eq!(bytes, &[n as u8]);
            let mut sum = sum.lock().expect("lock");
            *sum = (sum.0 + 1, sum.1 + n);
            Ok(())
        };
        assert_eq!(run(3, 4, 16, job, produce), Ok(1000));
        assert_eq!(sum.into_inner().expect("sum"), (1000, 499_500));
    }

    #[test]
    fn a_failure_stops_the_producer() {
        let job = |n: u64, _: &[u8]| if n == 500 { Err(Error::Bad(n)) } else { Ok(()) };
        assert_eq!(run(2, 3, 16, job, produce), Err(Error::Bad(500)));
    }

    #[test]
    fn an_error_of_the_producer_is_returned() {
        let produce = |_: &WorkerPool<'_, u64>| Err::<(), _>(Error::Bad(7));
        assert_eq!(run(2, 3, 16, |_, _| Ok(()), produce), Err(Error::Bad(7)));
    }
}
