//! The file with the pid of the root task: there before the tree runs, and gone again when it never does.

use anyhow::Context;
use floe_plan::Tree;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Removed when it is dropped before [`Pidfile::keep`].
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Writes it.
    pub fn new(path: &Path, tree: &Tree) -> anyhow::Result<Self> {
        let pid = tree.root().map_or(0, |process| process.pid.0);
        fs::write(path, format!("{pid}\n"))
            .with_context(|| format!("unable to write {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// The tree runs.
    pub fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // The failure that led here is told already.
            let _ = fs::remove_file(&self.0);
        }
    }
}
