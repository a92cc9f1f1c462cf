//! Which files that have a name are carried with their contents (`dumpfs --carry`).

use crate::{Result, files::Files, inode};
use floe_records::{
    AnyRecord, CarriedFile, CarriedName, FdNum, FileRef, Lease, Mm, ObjectId, PathPattern, Pid,
    Regular, Vma, VmaKind,
};
use floe_sys::{Error, FileSystem, file_system, open_unnoticed};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::PathBuf,
};

/// Files to carry, open for reading, and what is to be said of those that are not.
#[derive(Default)]
pub struct Carry {
    /// The files.
    pub files: Vec<(CarriedFile, File)>,
    /// Why a file that was meant is not among them, in words.
    pub left_out: Vec<String>,
}

/// A file of the tree, and a link in /proc that leads to it.
struct Candidate<'a> {
    pid: Pid,
    name: &'a FileRef,
    link: PathBuf,
}

impl Carry {
    /// Those files that processes which stand still have open, map or run, and that one of the patterns means.
    ///
    /// # Errors
    /// Those of opening and reading them.
    pub fn find(
        files: &Files,
        vmas: &[(Pid, Vma)],
        programs: &[Mm],
        patterns: &[PathPattern],
    ) -> Result<Self> {
        let mut carry = Self::default();
        if patterns.is_empty() {
            return Ok(carry);
        }
        let mut known: BTreeMap<ObjectId, usize> = BTreeMap::new();
        let (mut seen, leased) = (BTreeSet::new(), leased(files));
        let all = open(files).chain(mapped(vmas)).chain(run(programs));
        for found in all.filter(|found| !found.name.deleted) {
            let Candidate { pid, name, .. } = &found;
            let meant = |pattern: &PathPattern| pattern.matches(&name.path.0);
            // A name may lead to another file below another root.
            if !patterns.iter().any(meant) || !seen.insert((name.path.clone(), name.object())) {
                continue;
            }
            if leased.contains(&name.object()) {
                carry.leave_out(name, "a process has a lease on it, which reading would break");
                continue;
            }
            let file = open_unnoticed(&found.link).map_err(|e| e.pid(pid.0))?;
            if let Some(why) = unreadable(&file)? {
                carry.leave_out(name, why);
                continue;
            }
            let name = CarriedName { pid: *pid, file: (*name).clone() };
            let mut carried = describe(&file, name)?;
            match known.get(&carried.id).map(|at| &mut carry.files[*at].0.names) {
                Some(names) if names.len() < CarriedFile::MOST => names.append(&mut carried.names),
                Some(_) => carry.leave_out(&carried.names[0].file, "it has too many names"),
                None => {
                    known.insert(carried.id, carry.files.len());
                    carry.files.push((carried, file));
                }
            }
        }
        Ok(carry)
    }

    fn leave_out(&mut self, name: &FileRef, why: &str) {
        self.left_out.push(format!("{} is not carried: {why}", name.path));
    }
}

/// Whether a file is as it was when it was described: what was read of it since is of one moment then.
///
/// # Errors
/// Those of fstat(2).
pub fn is_unchanged(carried: &CarriedFile, file: &File) -> Result<bool> {
    let now = file.metadata().map_err(|e| Error::new("look at a carried file", e))?;
    let changed = (now.mtime(), now.mtime_nsec() as u32);
    Ok(now.size() == carried.size && changed == carried.times[1])
}

/// Files that descriptors lead to.
fn open(files: &Files) -> impl Iterator<Item = Candidate<'_>> {
    files.of::<Regular>().filter_map(move |(open, what)| match what {
        AnyRecord::Regular(Regular { pid, name, .. }) => {
            // One that is only on its way in a socket is found by its name.
            let by_name = || {
                let below = name.path.0.strip_prefix(b"/").unwrap_or(&name.path.0);
                floe_proc::path(pid.0, "root").join(OsStr::from_bytes(below))
            };
            let of_descriptor = |(pid, fd): (Pid, FdNum)| floe_proc::fd_path(pid.0, fd.0);
            let link = files.place(open.id).map_or_else(by_name, of_descriptor);
            Some(Candidate { pid: *pid, name, link })
        }
        _ => None,
    })
}

fn mapped(vmas: &[(Pid, Vma)]) -> impl Iterator<Item = Candidate<'_>> {
    vmas.iter().filter(|(_, vma)| vma.kind == VmaKind::File).filter_map(|(pid, vma)| {
        let link = floe_proc::map_file_path(pid.0, vma.start.0, vma.end.0);
        Some(Candidate { pid: *pid, name: vma.file.as_ref()?, link })
    })
}

fn run(programs: &[Mm]) -> impl Iterator<Item = Candidate<'_>> {
    programs.iter().map(|mm| Candidate {
        pid: mm.pid,
        name: &mm.exe,
        link: floe_proc::path(mm.pid.0, "exe"),
    })
}

/// Files that a process of the tree has a lease on.
fn leased(files: &Files) -> BTreeSet<ObjectId> {
    let leases = files.properties.iter().filter_map(|it| match it {
        AnyRecord::Lease(Lease { file, .. }) => files.all.get(file.0 as usize),
        _ => None,
    });
    let names = leases.filter_map(|(_, what)| match what {
        AnyRecord::Regular(regular) => Some(regular.name.object()),
        _ => None,
    });
    names.collect()
}

/// Why the content of a file cannot travel.
fn unreadable(file: &File) -> Result<Option<&'static str>> {
    let fail = |e: nix::Error| Error::new("read what file system it lies on", e);
    let huge = fstatfs(file).map_err(fail)?.filesystem_type() == HUGETLBFS_MAGIC;
    Ok(match file_system(file.as_fd())? {
        _ if huge => Some("it consists of huge pages"),
        FileSystem::Fuse => Some("a process answers for it (FUSE), which may stand still"),
        FileSystem::Kernel => Some("it is of the kernel"),
        FileSystem::Local | FileSystem::Union | FileSystem::Network => None,
    })
}

fn describe(file: &File, name: CarriedName) -> Result<CarriedFile> {
    let stat = file.metadata().map_err(|e| Error::new("look at a carried file", e))?;
    Ok(CarriedFile {
        id: ObjectId { dev: stat.dev(), ino: stat.ino() },
        names: vec![name],
        size: stat.size(),
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        times: inode::times(&stat),
        attributes: inode::attributes(file)?,
    })
}
