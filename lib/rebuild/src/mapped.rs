//! Files behind mappings: how they are told apart, and whether one is still the one that it was.

use floe_records::*;
use floe_sys::{Error, Result};
use std::{
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
};

/// Where a name is looked up (`None`: from the root of the mount namespace), the name, the file that it named, and whether
/// it is open for writing too.
pub(crate) type MapKey<'a> = (Option<(NsId, &'a Bytes)>, &'a Bytes, (u64, u64), bool);

pub(crate) fn map_key<'a>(tree: &'a Tree, pid: Pid, name: &'a FileRef, write: bool) -> MapKey<'a> {
    let root = tree.get::<Fs>(pid).filter(|_| !name.outside).map(|fs| &fs.root.path);
    let mount = tree.get::<Namespaces>(pid).map_or(NsId(0), |all| all.mnt);
    (root.map(|root| (mount, root)), &name.path, (name.dev, name.ino), write)
}

/// What is known of a mapped file: of this process, or of another one that sees it under the same name.
pub(crate) fn known<'a>(tree: &'a Tree, pid: Pid, name: &FileRef) -> Option<&'a MappedFile> {
    let key = |pid| (name.path.clone(), name.outside, name.dev, name.ino, pid);
    let table = MappedFile::table(tree);
    table.get(&key(pid)).or_else(|| table.range(key(Pid(0))..=key(Pid(u32::MAX))).next())
}

/// A mapped file must be the one that was mapped: code goes on in the midst of it. Where only the time of its last change
/// could tell, that is noted.
pub(crate) fn same_file(known: &MappedFile, fd: &OwnedFd) -> Result<Option<String>> {
    let path = &known.file.path;
    let fail = |e| Error::new(format!("read {path}"), e);
    let file = File::from(fd.try_clone().map_err(fail)?);
    let about = file.metadata().map_err(fail)?;
    if about.size() != known.size {
        let what = format!("its size was {} and is {} now", known.size, about.size());
        return Err(Error::because(format!("map {path}"), what));
    }
    let Some(was) = &known.build_id else {
        let changed = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
        let note =
            format!("{path}: what the tree maps of it is as it is now: it was changed since");
        return Ok((changed != i128::from(known.mtime_ns)).then_some(note));
    };
    let mut head = Vec::new();
    file.take(floe_elf::HEAD).read_to_end(&mut head).map_err(fail)?;
    let hex = |id: &[u8]| id.iter().map(|b| format!("{b:02x}")).collect::<String>();
    match floe_elf::build_id(&head) {
        Some(now) if now == was.0 => Ok(None),
        now => {
            let now = now.map_or_else(|| "none".to_owned(), |id| hex(&id));
            let what = format!("its build id was {} and is {now} now", hex(&was.0));
            Err(Error::because(format!("map {path}"), what))
        }
    }
}

/// VM_MAYWRITE: opened for writing, as mmap(2) wants it for shared mappings that may become writable.
pub(crate) fn writable(vma: &Vma) -> bool {
    vma.flags.0.as_chunks::<2>().0.contains(b"mw")
}
