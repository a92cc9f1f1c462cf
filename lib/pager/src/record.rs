//! What is waited for while nothing else is filled.

use crate::Recording;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A recording under way.
pub struct Record<'a> {
    recording: &'a Recording<'a>,
    seen: Vec<u32>,
    known: BTreeSet<u32>,
    /// When something was waited for last; `None` before it has begun.
    last: Option<Instant>,
}

impl<'a> Record<'a> {
    /// It begins when the gate opens.
    pub fn new(recording: &'a Recording<'a>) -> Self {
        Self { recording, seen: Vec::new(), known: BTreeSet::new(), last: None }
    }

    /// The gate has opened.
    pub fn begin(&mut self) {
        self.last = Some(Instant::now());
    }

    /// These are waited for.
    pub fn add(&mut self, runs: &[u32]) {
        let known = &mut self.known;
        self.seen.extend(runs.iter().filter(|run| known.insert(**run)));
        if !runs.is_empty() && self.last.is_some() {
            self.begin();
        }
    }

    /// How long it takes at least.
    pub fn left(&self) -> Option<Duration> {
        self.last.map(|last| self.recording.quiet.saturating_sub(last.elapsed()))
    }

    /// Whether nothing has been waited for long enough.
    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Tells what was seen.
    pub fn end(&mut self) {
        (self.recording.done)(&self.seen);
    }
}
