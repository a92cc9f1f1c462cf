//! Long work shows a bar on a terminal, and JSON lines to a descriptor.

use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How far some work has come, in bytes.
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: Option<File>,
    tool: &'static str,
    done: u64,
    total: u64,
    told: Instant,
}

impl Progress {
    /// Work of `total` bytes; `lines` gets one JSON object a line, at most five a second.
    pub fn new(tool: &'static str, total: u64, lines: Option<File>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            );
            let bar = ProgressBar::new(total).with_message(tool);
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar, lines, tool, done: 0, total, told: Instant::now() }
    }

    /// `bytes` more are done.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
        if self.lines.is_some() && self.told.elapsed() >= Duration::from_millis(200) {
            self.tell();
        }
    }

    /// All is done; the bar goes away.
    pub fn finish(mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let line = serde_json::json!({ "tool": self.tool, "done": self.done, "total": self.total });
        // Whoever watches may leave at any time.
        if self.lines.as_mut().is_some_and(|lines| writeln!(lines, "{line}").is_err()) {
            self.lines = None;
        }
    }
}
