//! What /proc and /sys say of one process: live, or recorded in files.

use anyhow::{Context, Result};
use floe_records::Union;
use floe_unions::{Branch, Mount, Stack, Unions, mounts};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    os::fd::AsFd,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `/sys/fs/aufs`, or a copy.
    pub sysfs: PathBuf,
    /// `/proc`, or a copy, or a directory that holds the files of a single process.
    pub proc: PathBuf,
    /// Branches for AUFS mounts whose branches are not to be seen otherwise.
    pub branches: Option<Vec<Branch>>,
}

impl Sources {
    /// The directory of a process.
    pub fn process(&self, pid: u32) -> PathBuf {
        if self.is_single() { self.proc.clone() } else { self.proc.join(pid.to_string()) }
    }

    /// Whether it holds the files of one process.
    pub fn is_single(&self) -> bool {
        self.proc.join("maps").exists()
    }

    /// Whether what is shown is there to be compared with.
    pub fn is_live(&self) -> bool {
        self.proc == Path::new("/proc")
    }
}

/// A process that sees union mounts.
#[derive(Debug)]
pub struct View {
    dir: PathBuf,
    /// Root, as the reader sees it.
    pub root: Vec<u8>,
    /// All mounts that it sees.
    pub mounts: Vec<Mount>,
    /// The union mounts among them.
    pub unions: Unions,
    /// Whether map_files is a list of links, and that list.
    recorded: bool,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl View {
    /// Reads it; `None` where no union is mounted, or the process is not there to be read.
    pub fn read(sources: &Sources, pid: u32) -> Result<Option<Self>> {
        let dir = sources.process(pid);
        // A stream may be filtered where its processes are not: then there is nothing to compare with.
        let Ok(text) = fs::read(dir.join("mountinfo")) else { return Ok(None) };
        let mounts = mounts(&text);
        let top = dir.join("root");
        let from = floe_unions::Sources {
            sysfs: &sources.sysfs,
            ask: &|mount| if sources.is_live() { ask(&top, mount) } else { None },
            given: sources.branches.as_deref(),
        };
        let unions = Unions::read(&mounts, &from)
            .with_context(|| format!("pid {pid}: unable to read its union mounts"))?;
        if unions.stacks.is_empty() {
            return Ok(None);
        }
        let recorded = !dir.join("map_files").is_dir();
        let links = table(&dir.join("map_files"));
        let root = match fs::read_link(dir.join("root")) {
            Ok(root) => root.into_os_string().into_vec(),
            Err(_) => {
                table(&dir.join("links")).remove(&b"root"[..]).unwrap_or_else(|| b"/".to_vec())
            }
        };
        Ok(Some(Self { dir, root, mounts, unions, recorded, links }))
    }

    /// What map_files shows for a range.
    pub fn link(&self, start: u64, end: u64) -> Option<Vec<u8>> {
        let name = format!("{start:x}-{end:x}");
        if self.recorded {
            return self.links.get(name.as_bytes()).cloned();
        }
        // Only AUFS shows a branch there.
        let aufs = self.unions.stacks.iter().any(|stack| stack.mount.fs_type == b"aufs");
        let path = self.dir.join("map_files").join(&name);
        aufs.then(|| fs::read_link(path).ok())?.map(|link| link.into_os_string().into_vec())
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

    /// Whether there is something at a path, as the reader sees it; by the list of a recording that has one.
    pub fn exists(&self, path: &[u8]) -> bool {
        let Ok(list) = fs::read(self.dir.join("stat")).and_then(|list| match list.first() {
            // /proc/PID/stat begins with a pid, a list with a device.
            Some(_) if list.split(|b| *b == b' ').next().is_some_and(|w| w.contains(&b':')) => {
                Ok(list)
            }
            _ => Err(std::io::Error::other("no list")),
        }) else {
            return Path::new(OsStr::from_bytes(path)).symlink_metadata().is_ok();
        };
        let shown: Vec<u8> = path.iter().map(|b| if *b == b' ' { b'?' } else { *b }).collect();
        list.split(|b| *b == b'\n')
            .any(|line| line.splitn(4, |b| *b == b' ').nth(3).is_some_and(|name| name == shown))
    }

    /// The union mount that a path of the process lies on.
    pub fn over(&self, path: &[u8]) -> Option<&Stack> {
        self.unions.over(&self.mounts, path)
    }

    /// The record of a union mount.
    pub fn record(&self, stack: &Stack) -> Union {
        let root = self.root.strip_suffix(b"/").unwrap_or(&self.root);
        let point = match (root, stack.mount.point.as_slice()) {
            (b"", point) => point.to_vec(),
            (root, b"/") => root.to_vec(),
            (root, point) => [root, point].concat(),
        };
        let branch = |b: &Branch| (b.path.clone().into(), b.permission.clone().into());
        Union {
            point: point.into(),
            fs_type: stack.mount.fs_type.clone().into(),
            root: stack.mount.root.clone().into(),
            branches: stack.branches.iter().map(branch).collect(),
            options: stack.mount.options.clone().into(),
        }
    }
}

/// Asks the file system itself.
fn ask(top: &Path, mount: &Mount) -> Option<Vec<u8>> {
    let point = mount.point.strip_prefix(b"/").unwrap_or(&mount.point);
    let dir = File::open(top.join(OsStr::from_bytes(point))).ok()?;
    floe_sys::aufs_branch_info(dir.as_fd()).ok()
}

/// Lines `KEY VALUE` of a recording; empty where there is no such file.
fn table(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let text = fs::read(path).unwrap_or_default();
    let pair = |line: &[u8]| {
        let at = line.iter().position(|b| *b == b' ')?;
        Some((line[..at].to_vec(), line[at + 1..].to_vec()))
    };
    text.split(|b| *b == b'\n').filter_map(pair).collect()
}
