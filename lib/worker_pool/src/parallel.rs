//! The same work on many things, in several threads.

use std::{
    num::NonZero,
    panic::resume_unwind,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{Builder, available_parallelism, scope},
};

/// Things that a thread takes at a time: many, so that it seldom asks for more, and few, so that all end together.
const PIECE: usize = 64;
/// Threads at most: what they read shares locks of the kernel.
const MOST: usize = 4;

/// Does `work` on each; the results come in the order of `all`.
pub fn each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let Some(threads) = threads(all.len(), PIECE) else { return all.iter().map(work).collect() };
    let piece = |at: usize| all.chunks(PIECE).nth(at).map(|some| some.iter().map(&work).collect());
    pieces(threads, piece).flatten().collect()
}

/// The same of things that are used up; `piece`: how many are taken at a time.
pub fn each_of<T: Send, R: Send>(
    all: Vec<T>,
    piece: usize,
    work: impl Fn(T) -> R + Sync,
) -> impl Iterator<Item = R> {
    let (mut all, mut left) = (all, Vec::new());
    let done = match threads(all.len(), piece) {
        None => vec![all.into_iter().map(work).collect()].into_iter(),
        Some(threads) => {
            // Each is moved as seldom as can be: there may be many, and large ones.
            while all.len() > piece {
                left.push(Mutex::new(all.split_off(all.len() - piece)));
            }
            left.push(Mutex::new(all));
            let taken = |at: usize| {
                let some = left.iter().rev().nth(at)?;
                let some =
                    std::mem::take(&mut *some.lock().unwrap_or_else(PoisonError::into_inner));
                Some(some.into_iter().map(&work).collect::<Vec<R>>())
            };
            pieces(threads, taken).collect::<Vec<_>>().into_iter()
        }
    };
    done.flatten()
}

/// How many threads are worth it for this many things, of which each takes `piece` at a time; `None` for one.
fn threads(count: usize, piece: usize) -> Option<usize> {
    let enough = if piece == 1 { count } else { count / (2 * piece) };
    if enough < 2 {
        return None;
    }
    Some(cores().min(enough)).filter(|threads| *threads > 1)
}

/// How many threads are worth it at most.
pub(crate) fn cores() -> usize {
    // Asked once: it takes three calls and a file.
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = *CORES.get_or_init(|| available_parallelism().map_or(1, NonZero::get));
    cores.min(MOST)
}

/// The pieces that `work` makes of numbers from 0 on until it makes none, in their order.
fn pieces<R: Send>(
    threads: usize,
    work: impl Fn(usize) -> Option<Vec<R>> + Sync,
) -> impl Iterator<Item = Vec<R>> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = work(at) else { return done };
            done.push((at, piece));
        }
    };
    let mut done = scope(|scope| {
        // Where one cannot be had, the others do its part.
        let others: Vec<_> =
            (1..threads).filter_map(|_| Builder::new().spawn_scoped(scope, run).ok()).collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, some)| some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for len in [0, 1, PIECE, 4 * PIECE, 100 * PIECE + 7] {
            let all: Vec<usize> = (0..len).collect();
            let twice = each(&all, |n| n * 2);
            assert!(twice.len() == len && twice.iter().enumerate().all(|(at, n)| *n == at * 2));
            let of = each_of(all, 1 + len % 3, |n| n * 2);
            assert_eq!(of.collect::<Vec<_>>(), twice);
        }
    }
}
