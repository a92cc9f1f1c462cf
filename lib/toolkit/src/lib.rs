//! How every tool behaves: exit codes, the error sentence, standard streams, filters.

mod exit;
mod filter;
mod hangup;
mod output;
mod progress;

pub use exit::{Exit, Status, main, parse};
pub use filter::{Out, Stage, filter};
pub use hangup::{mark_reader, nothing_behind_end, wait_for_reader};
pub use output::{input, output};
pub use progress::Progress;
