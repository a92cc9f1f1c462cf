//! Progress of long work: a bar where standard error is a terminal, JSON lines to a descriptor of choice.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Shortest time between two JSON lines.
const BEAT: Duration = Duration::from_millis(100);

/// The descriptor that `--progress-fd` names. To be called before anything is opened: afterwards the number might be that
/// of a file of ours.
pub fn progress_lines(fd: Option<i32>) -> anyhow::Result<Option<File>> {
    lines("--progress-fd", fd)
}

/// A descriptor that our caller has given us by this option, to write lines to.
///
/// # Errors
/// [`crate::Usage`] where it cannot be written to.
pub fn lines(option: &str, fd: Option<i32>) -> anyhow::Result<Option<File>> {
    let Some(fd) = fd else { return Ok(None) };
    let no = |why: String| crate::Usage(format!("unable to write to {option} {fd}: {why}"));
    if fd < 0 {
        return Err(no("it is no descriptor".into()).into());
    }
    let own = floe_sys::duplicate_inherited(fd).map_err(|e| no(e.cause().to_string()))?;
    let flags = fcntl(&own, FcntlArg::F_GETFL).map_err(|e| no(e.to_string()))?;
    if OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Err(no("it is open for reading only".into()).into());
    }
    Ok(Some(File::from(own)))
}

/// Counts bytes of work for people and programs.
pub struct Progress {
    bar: ProgressBar,
    lines: Option<File>,
    tool: String,
    done: u64,
    total: Option<u64>,
    told: Instant,
}

impl Progress {
    /// `total` bytes of work, where known; `lines` come from [`progress_lines`].
    pub fn new(tool: &str, total: Option<u64>, lines: Option<File>) -> anyhow::Result<Self> {
        // Of a pipe, the tool that knows how much there is shows a bar, and no other one.
        let bar = if total.is_some() && io::stderr().is_terminal() {
            let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
                .with_style(ProgressStyle::with_template(style)?)
                .with_message(tool.to_owned())
        } else {
            ProgressBar::hidden()
        };
        let told = Instant::now();
        Ok(Self { bar, lines, tool: tool.into(), done: 0, total, told })
    }

    /// That many more bytes are done.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        self.bar.inc(bytes);
        if self.lines.is_some() && self.told.elapsed() >= BEAT {
            self.told = Instant::now();
            self.tell(false);
        }
    }

    /// The work is done.
    pub fn finish(mut self) {
        self.bar.finish_and_clear();
        self.tell(true);
    }

    fn tell(&mut self, done: bool) {
        let Some(file) = &mut self.lines else { return };
        let line = serde_json::json!({
            "tool": self.tool, "bytes": self.done, "total": self.total, "done": done,
        });
        // Nobody listens any more: the work goes on without telling.
        if file.write_all(format!("{line}\n").as_bytes()).is_err() {
            self.lines = None;
        }
    }
}
