//! Work that several threads finish in any order, and whose results go on in the order of its beginning.

use crate::Result;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What takes the results, and whose turn it is.
pub(crate) struct Turns<'a, S: ?Sized> {
    state: Mutex<State<'a, S>>,
    changed: Condvar,
}

struct State<'a, S: ?Sized> {
    sink: &'a mut S,
    next: u64,
    /// Somebody will not take a turn, so that it never comes to those behind.
    failed: bool,
}

impl<'a, S: ?Sized> Turns<'a, S> {
    /// The first turn is 0.
    pub fn new(sink: &'a mut S) -> Self {
        let state = State { sink, next: 0, failed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until all before this turn are done, and does it; `false`: somebody has failed, so that it never comes.
    ///
    /// # Errors
    /// That of `work`.
    pub fn take(&self, turn: u64, work: impl FnOnce(&mut S) -> Result<()>) -> Result<bool> {
        let mut state = self.lock();
        while state.next != turn && !state.failed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed {
            return Ok(false);
        }
        let done = work(state.sink);
        state.failed = done.is_err();
        state.next += 1;
        self.changed.notify_all();
        done.map(|()| true)
    }

    /// Nobody waits any more for somebody who has failed before its turn.
    pub fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<'a, S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn turns_come_in_their_order() {
        let mut seen = Vec::new();
        let turns = Turns::new(&mut seen);
        thread::scope(|scope| {
            for thread in 0..4 {
                let turns = &turns;
                scope.spawn(move || {
                    for turn in (thread..400).step_by(4) {
                        assert!(
                            turns
                                .take(turn, |seen| {
                                    seen.push(turn);
                                    Ok(())
                                })
                                .expect("a turn")
                        );
                    }
                });
            }
        });
        assert_eq!(seen, (0..400).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_for_who_has_failed() {
        for early in [true, false] {
            let mut seen = Vec::new();
            let turns = Turns::new(&mut seen);
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    turns.take(1, |seen| {
                        seen.push(1);
                        Ok(())
                    })
                });
                if early {
                    turns.fail();
                } else {
                    let fails = |_: &mut Vec<i32>| Err(std::io::Error::other("full").into());
                    turns.take(0, fails).expect_err("full");
                }
                assert!(!waiting.join().expect("no panic").expect("no error"), "it never comes");
            });
            assert!(seen.is_empty());
        }
    }
}
