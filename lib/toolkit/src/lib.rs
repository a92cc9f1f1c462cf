//! How every tool behaves: exit codes, the sentence on standard error, standard streams, filters, the
//! hang-up law, and progress. `ARCHITECTURE.md` says how the parts belong together.
#![forbid(unsafe_code)]

mod ends;
mod exit;
mod filter;
mod hangup;
mod held;
mod lend;
mod progress;
mod report;

pub use ends::{Input, Output, file, hang_up, input, output, say};
pub use exit::{Exit, NotPermitted, Usage, main};
pub use filter::{Out, Stage, explained, filter};
pub use hangup::{wait as wait_for_hangup, wait_for_reader};
pub use held::Held;
pub use lend::Lender;
pub use progress::{Progress, progress_lines};
pub use report::warn;
