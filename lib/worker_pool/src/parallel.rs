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
    pieces(all, PIECE, work)
}

/// The same of things that are used up; `piece`: how many are taken at a time.
pub fn each_of<T: Send, R: Send>(
    all: Vec<T>,
    piece: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let all: Vec<Mutex<Option<T>>> = all.into_iter().map(|it| Mutex::new(Some(it))).collect();
    let once =
        |it: &Mutex<Option<T>>| it.lock().unwrap_or_else(PoisonError::into_inner).take().map(&work);
    pieces(&all, piece, once).into_iter().flatten().collect()
}

fn pieces<T: Sync, R: Send>(all: &[T], size: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    // Asked once: it takes three calls and a file.
    static CORES: OnceLock<usize> = OnceLock::new();
    let enough = if size == 1 { all.len() } else { all.len() / (2 * size) };
    if enough < 2 {
        return all.iter().map(work).collect();
    }
    let cores = *CORES.get_or_init(|| available_parallelism().map_or(1, NonZero::get));
    let threads = cores.min(MOST).min(enough);
    if threads < 2 {
        return all.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = all.chunks(size).nth(at) else { return done };
            done.push((at, piece.iter().map(&work).collect::<Vec<R>>()));
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
    done.into_iter().flat_map(|(_, some)| some).collect()
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
            assert_eq!(of, twice);
        }
    }
}
