//! inotify(7), by show_fdinfo of fs/notify/fdinfo.c. The kernel shows an inode and its handle; `by_inode.rs` finds the path.
//!
//! Events that wait to be read cannot be seen without taking them away. They are lost, and restore has the instance say
//! so in the way that inotify has for it.

use crate::{
    Result,
    by_inode::{self, Shown as File},
    descriptor_of::{Descriptor, Problem},
    files::Files,
    object::removed_node,
    resource::OfFile,
};
use floe_records::{
    AnyRecord, FileId, FileRef, Finding, Findings, Inotify, InotifyWatch, MAX_RECORD, ObjectId, Pid,
};
use floe_sys::{Error, pipe_queued};
use std::collections::BTreeSet;

/// A watch as fdinfo shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    wd: u32,
    mask: u32,
    file: File,
}

/// Bytes of the record of a watch beside its path, at most.
const WATCH: usize = 110;
const RULE: &str = "file.inotify";
/// Events of a file that is read: what has no name is carried with its contents.
const READING: u32 = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;

impl OfFile for Inotify {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("inotify")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = || Problem::new(RULE, "it has an unknown form");
        let shown = seen.info.lines("inotify wd").map(watch).collect::<Option<Vec<_>>>();
        let mut shown = shown.ok_or_else(unknown)?;
        shown.sort_by_key(|watch| watch.wd);
        // Before directories are read, which may be an event.
        let waiting = pipe_queued(seen.duplicate()?)
            .map_err(|e| Problem::Sys(Error::new("ask for its events", e)))?;
        let files: Vec<File> = shown.iter().map(|watch| watch.file.clone()).collect();
        let found = by_inode::find(seen, &files).map_err(|error| by_inode::problem(RULE, error))?;
        let watches = shown.iter().map(|watch| {
            let (found, what) = (found.get(&watch.file.key()), format!("watch {}", watch.wd));
            let name = by_inode::name(seen, &watch.file, found, (RULE, &what))?;
            Ok(InotifyWatch { wd: watch.wd, mask: watch.mask, name })
        });
        let watches = watches.collect::<Result<_, Problem>>()?;
        Ok(Inotify { file, pid: Pid(seen.pid), watches, overflow: waiting > 0 })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let nameless: BTreeSet<ObjectId> =
            files.all.iter().filter_map(|(_, what)| nameless(what)).collect();
        for (open, what) in files.of::<Inotify>() {
            let AnyRecord::Inotify(inotify) = what else { continue };
            for watch in inotify.watches.iter().filter(|watch| watch.name.deleted) {
                let why = match nameless.contains(&watch.name.object()) {
                    true if watch.mask & READING == 0 => continue,
                    true => " (it would be told that we read it)",
                    false => "",
                };
                let problem = by_inode::removed(&watch.name, &format!("watch {}", watch.wd));
                out.refuse(Finding::of(inotify.pid, "inotify", RULE, format!("{problem}{why}")));
            }
            let watches = inotify.watches.iter();
            let bytes: usize = watches.map(|watch| WATCH + watch.name.path.0.len()).sum();
            if bytes > MAX_RECORD {
                let count = inotify.watches.len();
                let problem =
                    format!("its {count} watches are more than a record of an image holds");
                out.refuse(Finding::of(inotify.pid, "inotify", RULE, problem));
            }
            if inotify.overflow {
                let problem = "events that wait to be read: an overflow is reported instead";
                out.lose(Finding::of(open.pid, "inotify", RULE, problem));
            }
        }
        Ok(())
    }
}

/// A file without a name that restore makes for a description.
fn nameless(what: &AnyRecord) -> Option<ObjectId> {
    match what {
        AnyRecord::NamelessFile(it) => Some(it.object),
        _ => removed_node::name_of(what).filter(|name| name.deleted).map(FileRef::object),
    }
}

/// `1f ino:41a2 sdev:fe00000 mask:100 …`, behind `inotify wd:`; numbers are hexadecimal.
fn watch(line: &[u8]) -> Option<Shown> {
    let line = std::str::from_utf8(line).ok()?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    let mut words = line.split_ascii_whitespace();
    let wd = hex(words.next()?)?;
    let mask = hex(words.find_map(|word| word.strip_prefix("mask:"))?)?;
    Some(Shown { wd, mask, file: File::parse(line)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_read() {
        let line = b"1f ino:41a2 sdev:fe00001 mask:80000100 ignored_mask:0 fhandle-bytes:4 fhandle-type:1 f_handle:a2410000 ";
        let found = watch(line).unwrap();
        assert_eq!((found.wd, found.mask), (31, 0x8000_0100));
        assert_eq!(found.file.key(), (libc::makedev(0xfe, 1), 0x41a2));
        assert_eq!(watch(b"1 ino:2 sdev:19 mask:0 ignored_mask:0 ").unwrap().file.handle, None);
        for bad in
            [&b""[..], b"1 ino:2", b"x ino:2 sdev:1 mask:1", b"1 ino:2 sdev:1 mask:1 f_handle:zz"]
        {
            assert_eq!(watch(bad), None);
        }
    }
}
