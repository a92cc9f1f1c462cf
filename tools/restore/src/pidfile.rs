//! The file with the pid of the root task: there before the tree runs, and as it was before when it never does.

use anyhow::{Context, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Taken back when it is dropped before [`Pidfile::keep`].
pub struct Pidfile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    kept: bool,
}

impl Pidfile {
    /// Writes it.
    pub fn new(path: &Path, pid: &str) -> anyhow::Result<Self> {
        let doing = || format!("unable to write {}", path.display());
        if path.metadata().is_ok_and(|about| !about.is_file()) {
            bail!("{}: it is there, and is no regular file", doing());
        }
        let before = fs::read(path).ok();
        fs::write(path, format!("{pid}\n")).with_context(doing)?;
        Ok(Self { path: path.to_owned(), before, kept: false })
    }

    /// The tree runs.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // The failure that led here is told already.
        let _ = match &self.before {
            Some(before) => fs::write(&self.path, before),
            None => fs::remove_file(&self.path),
        };
    }
}
