//! How every tool behaves: exit codes, the sentence on standard error, standard streams, filters, the
//! end of a pipeline, and progress. `ARCHITECTURE.md` says how the parts belong together.
#![forbid(unsafe_code)]

mod abort;
mod arguments;
mod ends;
mod enter;
mod exit;
mod filter;
mod hangup;
mod held;
mod progress;
mod report;
pub mod requests;
mod zero_copy;

pub use abort::{abort, abort_stream};
pub use arguments::arguments;
pub use ends::{
    Input, Output, file, foreign_input, hang_up, input, output, report_file_size_limit, say,
};
pub use enter::{Child, News, Side, Way};
pub use exit::{Exit, NotPermitted, REFUSED, Usage, exit_code, main};
pub use filter::{Out, Stage, explained, filter};
pub use hangup::{is_broken_pipe, wait as wait_for_hangup, wait_for_reader};
pub use held::Held;
pub use progress::{Progress, lines, progress_lines};
pub use report::warn;
pub use zero_copy::ZeroCopyWriter;
