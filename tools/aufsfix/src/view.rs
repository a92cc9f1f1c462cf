//! What /proc and /sys say of one process: live, or recorded in files.

use crate::{
    sources::{Sources, table},
    space::{Space, at, root},
};
use anyhow::Result;
use floe_records::FileRef;
use floe_unions::{Decision, below, decide};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

/// A process that sees union mounts.
#[derive(Debug)]
pub struct View {
    dir: PathBuf,
    live: bool,
    /// Root, from the root of the mount namespace.
    pub root: Vec<u8>,
    /// Its mount namespace.
    pub space: Rc<Space>,
    /// Whether map_files is a list of links, and that list.
    recorded: bool,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl View {
    /// Reads it. `known` are the mount namespaces that have been seen. `None` where no union is mounted, or the
    /// process is not there to be read: then there is nothing to compare with.
    pub fn read(
        sources: &Sources,
        pid: u32,
        known: &mut BTreeMap<u64, Rc<Space>>,
    ) -> Result<Option<Self>> {
        let dir = sources.process(pid);
        if !dir.join("mountinfo").exists() {
            return Ok(None);
        }
        let (live, root) = (sources.is_live(), root(&dir));
        let name = if live { crate::space::namespace(pid) } else { None };
        let space = match name.as_ref().and_then(|name| known.get(name)) {
            Some(space) => space.clone(),
            None => {
                let space = Rc::new(Space::read(sources, pid, &root)?);
                known.extend(name.map(|name| (name, space.clone())));
                space
            }
        };
        if space.unions.stacks.is_empty() {
            return Ok(None);
        }
        let recorded = !dir.join("map_files").is_dir();
        let links = table(&dir.join("map_files"));
        Ok(Some(Self { dir, live, root, space, recorded, links }))
    }

    /// What map_files shows for a range.
    pub fn link(&self, start: u64, end: u64) -> Option<Vec<u8>> {
        let name = format!("{start:x}-{end:x}");
        if self.recorded {
            return self.links.get(name.as_bytes()).cloned();
        }
        // Only AUFS shows a branch there.
        let aufs = self.space.unions.stacks.iter().any(|stack| stack.mount.fs_type == b"aufs");
        let path = self.dir.join("map_files").join(&name);
        aufs.then(|| fs::read_link(path).ok())?.map(|link| link.into_os_string().into_vec())
    }

    /// A path from the root of the namespace, from one that is relative to the root of the process.
    pub fn absolute(&self, path: &[u8], outside: bool) -> Vec<u8> {
        match (outside, path) {
            (true, path) => path.to_vec(),
            (false, b"/") => self.root.clone(),
            (false, path) => [self.root.strip_suffix(b"/").unwrap_or(&self.root), path].concat(),
        }
    }

    /// The reverse; true for one outside of the root.
    pub fn relative(&self, path: &[u8]) -> (Vec<u8>, bool) {
        match below(path, &self.root) {
            Some([]) => (b"/".to_vec(), false),
            Some(inner) => (inner.to_vec(), false),
            None => (path.to_vec(), true),
        }
    }

    /// Where we find a path of the namespace.
    pub fn reach(&self, path: &[u8]) -> Option<PathBuf> {
        match below(path, &self.root) {
            Some(inner) if self.live => Some(at(&self.dir.join("root"), inner)),
            _ => self.space.reach(path),
        }
    }

    /// Whether a path of the namespace leads to this file; `None` where nobody can tell.
    pub fn leads_to(&self, path: &[u8], file: &FileRef) -> Option<bool> {
        let meta = if self.live { self.reach(path)?.symlink_metadata() } else { return None };
        Some(meta.is_ok_and(|meta| (meta.dev(), meta.ino()) == (file.dev, file.ino)))
    }

    /// What becomes of a reference by a path of the namespace.
    pub fn decide(
        &self,
        path: &[u8],
        link: impl FnOnce() -> Option<Vec<u8>>,
        there: impl FnOnce() -> bool,
    ) -> Decision {
        decide(&self.space.unions, &self.root, path, link, there)
    }

    /// What hides a file of a branch by now.
    pub fn hidden(&self, link: &[u8]) -> Option<Vec<u8>> {
        self.space.unions.hidden(link, &self.root, &|path| self.exists(path))
    }

    /// Executable, working directory and descriptors of a recording: those that are paths.
    pub fn descriptors(&self) -> Vec<(String, Vec<u8>)> {
        let named = |file: &str, prefix: &'static str| {
            let table = table(&self.dir.join(file)).into_iter();
            let path = table.filter(|(name, path)| path.starts_with(b"/") && name != b"root");
            path.map(move |(name, path)| {
                (format!("{prefix}{}", String::from_utf8_lossy(&name)), path)
            })
        };
        named("links", "").chain(named("fd", "fd ")).collect()
    }

    /// Whether there is something at a path of the reader, by the list of a recording that has one; what is here now
    /// says nothing of a recording.
    fn exists(&self, path: &[u8]) -> bool {
        if self.live {
            return Path::new(OsStr::from_bytes(path)).symlink_metadata().is_ok();
        }
        let list = fs::read(self.dir.join("stat")).unwrap_or_default();
        // A list shows spaces as question marks.
        let shown: Vec<u8> = path.iter().map(|b| if *b == b' ' { b'?' } else { *b }).collect();
        list.split(|b| *b == b'\n')
            .any(|line| line.splitn(4, |b| *b == b' ').nth(3).is_some_and(|name| name == shown))
    }
}
