//! What was removed and is no regular file, as restore makes it again.

use crate::{
    Result,
    files::Files,
    inode,
    path::{DELETED, Root, of_a_process},
    resource::OfObject,
};
use floe_records::{
    AnyRecord, Bytes, FileRef, Finding, Findings, NodeKind, ObjectId, Pid, RemovedNode,
};
use floe_sys::{Error, open_unnoticed};
use nix::{
    fcntl::{OFlag, open, readlinkat},
    sys::{
        stat::Mode,
        statfs::{PROC_SUPER_MAGIC, fstatfs},
    },
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    os::{
        fd::AsFd,
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::Path,
};

impl OfObject for RemovedNode {
    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let mut all: BTreeMap<ObjectId, Self> = BTreeMap::new();
        for (open, what) in &files.all {
            let Some(name) = name_of(what).filter(|name| name.deleted) else { continue };
            let Some((pid, fd)) = files.place(open.id) else {
                let problem = "it was removed, and nobody has it open";
                let object = format!("{} on its way in a socket", name.path);
                out.refuse(Finding::of(open.pid, object, "file.removed", problem));
                continue;
            };
            if let Entry::Vacant(place) = all.entry(name.object()) {
                place.insert(describe(open.pid, name, &floe_proc::fd_path(pid.0, fd.0))?);
            }
        }
        for pid in &files.pids {
            let maybe = |link| {
                let is_maybe = |path: Vec<u8>| path.ends_with(DELETED) || of_a_process(&path);
                floe_proc::link(pid.0, link).map_or(true, is_maybe)
            };
            if !maybe("cwd") && !maybe("root") {
                continue;
            }
            let root = Root::of(pid.0)?;
            // Below a root that was removed, its own name is none.
            for link in ["root", "cwd"] {
                let name = if link == "cwd" { root.link(link)? } else { root.own()? };
                if name.deleted
                    && name.ino != 0
                    && let Entry::Vacant(place) = all.entry(name.object())
                {
                    place.insert(describe(*pid, &name, &floe_proc::path(pid.0, link))?);
                }
            }
        }
        Ok(all.into_values().collect())
    }
}

/// The name of what is open and no regular file.
pub(crate) fn name_of(what: &AnyRecord) -> Option<&FileRef> {
    match what {
        AnyRecord::Directory(it) => Some(&it.name),
        AnyRecord::Fifo(it) => Some(&it.name),
        AnyRecord::Device(it) => Some(&it.name),
        AnyRecord::BlockDevice(it) => Some(&it.name),
        AnyRecord::KernelLog(it) => Some(&it.name),
        AnyRecord::SpecialPath(it) => Some(&it.name),
        _ => None,
    }
}

/// What a link in /proc leads to.
fn describe(pid: Pid, name: &FileRef, link: &Path) -> Result<RemovedNode> {
    let fail = |e: std::io::Error| Error::new(format!("look at {}", name.path), e).pid(pid.0);
    let path =
        open(link, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|e| fail(e.into()))?;
    let path = File::from(path);
    let stat = path.metadata().map_err(fail)?;
    let of_proc = fstatfs(&path).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
    let kind = match stat.mode() & libc::S_IFMT {
        libc::S_IFDIR if of_proc => NodeKind::OfEnded,
        libc::S_IFDIR => NodeKind::Directory,
        libc::S_IFIFO => NodeKind::Fifo,
        libc::S_IFSOCK => NodeKind::Socket,
        libc::S_IFCHR => NodeKind::CharDevice(stat.rdev()),
        libc::S_IFBLK => NodeKind::BlockDevice(stat.rdev()),
        libc::S_IFLNK => {
            let to = readlinkat(path.as_fd(), "").map_err(|e| fail(e.into()))?;
            NodeKind::Symlink(Bytes(to.into_vec()))
        }
        _ => {
            return Err(
                Error::because("describe what was removed", "it is of an unknown type").into()
            );
        }
    };
    let attributes = match kind {
        NodeKind::Directory => inode::attributes(&open_unnoticed(link)?)?,
        _ => Vec::new(),
    };
    Ok(RemovedNode {
        pid,
        name: name.clone(),
        kind,
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        times: inode::times(&stat),
        attributes,
    })
}
