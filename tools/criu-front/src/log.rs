//! The log file: where an engine and its user look for the reason of a failure.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io::Write,
    time::Instant,
};

/// Most of what is said in an answer, bytes: engines read them into small buffers.
const SHORT: usize = 2048;

/// A log. Where it cannot be written the work goes on.
pub struct Log {
    file: RefCell<Option<File>>,
    since: Instant,
    /// Something went wrong, and it has said so.
    has_failed: Cell<bool>,
}

impl Log {
    /// One that begins now.
    pub fn new(file: Option<File>) -> Self {
        Self { file: RefCell::new(file), since: Instant::now(), has_failed: Cell::new(false) }
    }

    /// What happens.
    pub fn say(&self, text: &str) {
        self.line("", text);
    }

    /// What may matter.
    pub fn warn(&self, text: &str) {
        self.line("Warn  (floe): ", text);
    }

    /// Why it fails; engines look for this word.
    pub fn error(&self, text: &str) {
        self.has_failed.set(true);
        self.line("Error (floe): ", text);
    }

    /// Whether any error was said.
    pub fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    fn line(&self, level: &str, text: &str) {
        let since = self.since.elapsed();
        let at = format!("({:02}.{:06})", since.as_secs(), since.subsec_micros());
        let mut file = self.file.borrow_mut();
        for line in text.lines() {
            let line = format!("{at} {level}{line}\n");
            // A disk that is full must not be the end of the work.
            if let Some(file) = file.as_mut() {
                let _ = file.write_all(line.as_bytes());
            }
        }
    }
}

/// A sentence that fits into an answer.
pub fn short(text: &str) -> String {
    let mut end = text.len().min(SHORT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn each_line_has_its_time_and_what_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        let log = Log::new(Some(file.try_clone().unwrap()));
        log.say("begins");
        assert!(!log.has_failed());
        log.error("pid 5: fd 7: no\npid 6: no");
        assert!(log.has_failed());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(") ").unwrap().1).collect();
        assert_eq!(lines, ["begins", "Error (floe): pid 5: fd 7: no", "Error (floe): pid 6: no"]);
        assert!(text.starts_with("(00.0"));
    }

    #[test]
    fn an_answer_is_cut_between_characters() {
        assert_eq!(short("no"), "no");
        assert!(short(&"ü".repeat(5000)).len() <= SHORT);
    }
}
