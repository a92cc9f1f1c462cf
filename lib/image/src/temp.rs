//! A file that appears whole or not at all.

use crate::{Error, Result};
use nix::sys::signal::{SigSet, Signal, raise};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, Once},
};

/// Temporary files to remove when a signal ends the tool.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file under a temporary name in the directory of its final name.
pub(crate) struct Temp {
    path: PathBuf,
    file: File,
    committed: bool,
}

impl Temp {
    /// Makes `.NAME.floe-PID` beside `target`, readable by its owner only: memory holds secrets.
    pub fn new(target: &Path, suffix: &str) -> Result<Self> {
        if target.metadata().is_ok_and(|about| !about.is_file()) {
            let what = "it is there, and is no regular file";
            return Err(Error::file("write", target, io::Error::other(what)));
        }
        let name = target.file_name().ok_or_else(|| {
            Error::file("write", target, io::Error::other("the path has no file name"))
        })?;
        watch_signals();
        let prefix = format!(".{}.floe-", name.to_string_lossy());
        remove_stale(&directory(target), &prefix);
        let path = directory(target).join(format!("{prefix}{}{suffix}", std::process::id()));
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut open = OPEN.lock().unwrap_or_else(|e| e.into_inner());
        let file = options.open(&path).map_err(|e| Error::file("create", &path, e))?;
        open.push(path.clone());
        Ok(Self { path, file, committed: false })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, for good. Without `sync` it may be lost when the machine stops soon.
    pub fn commit(mut self, target: &Path, sync: bool) -> Result<()> {
        if sync {
            self.file.sync_all().map_err(|e| Error::file("write", target, e))?;
        }
        fs::rename(&self.path, target).map_err(|e| Error::file("rename to", target, e))?;
        self.committed = true;
        if !sync {
            return Ok(());
        }
        let directory = directory(target);
        File::open(&directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|e| Error::file("write", &directory, e))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a file that cannot be removed; the next run tries again.
            let _ = fs::remove_file(&self.path);
        }
        OPEN.lock().unwrap_or_else(|e| e.into_inner()).retain(|path| *path != self.path);
    }
}

fn directory(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Removes what a killed run has left: its pid is part of the name.
fn remove_stale(directory: &Path, prefix: &str) {
    let Ok(list) = fs::read_dir(directory) else { return };
    for entry in list.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let pid: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if !pid.is_empty() && !Path::new("/proc").join(&pid).exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A thread of its own waits for the signals that end a tool, removes the files, and lets them do their work.
fn watch_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        if signals.thread_block().is_err() {
            return;
        }
        std::thread::spawn(move || {
            let Ok(signal) = signals.wait() else { return };
            let open = OPEN.lock().unwrap_or_else(|e| e.into_inner());
            for path in open.iter() {
                let _ = fs::remove_file(path);
            }
            let _ = signals.thread_unblock();
            let _ = raise(signal);
            std::process::exit(1);
        });
    });
}
