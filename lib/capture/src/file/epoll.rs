//! epoll(7), by fs/eventpoll.c's show_fdinfo.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
};
use floe_proc::Fdinfo;
use floe_records::{
    AnyRecord, Epoll, EpollWatch, Fd, FdNum, FdTable, FileId, Finding, Findings, MAX_RECORD, Pid,
};
use floe_sys::kcmp_epoll;
use std::collections::BTreeMap;

/// Bytes of the record of a watch, at most.
const WATCH: usize = 50;

impl OfFile for Epoll {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[eventpoll]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let watches = watches(seen.info);
        let unknown = || Problem::new("file.epoll", "it has an unknown form");
        Ok(Epoll { file, watches: watches.ok_or_else(unknown)? })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let mut named = BTreeMap::new();
        for table in &files.tables {
            for fd in &table.fds {
                let (_, what) = &files.all[fd.file.0 as usize];
                let AnyRecord::Epoll(epoll) = what else { continue };
                named
                    .entry(epoll.file)
                    .or_insert_with(|| (table.pid, name_watched(files, table, *fd, epoll, out)));
            }
        }
        for (id, (pid, watches)) in named {
            if WATCH * watches.len() > MAX_RECORD {
                let count = watches.len();
                let problem =
                    format!("its {count} watches are more than a record of an image holds");
                out.refuse(Finding::of(pid, "epoll", "file.epoll", problem));
            }
            if let (_, AnyRecord::Epoll(epoll)) = &mut files.all[id.0 as usize] {
                epoll.watches = watches;
            }
        }
        Ok(())
    }
}

fn watches(info: &Fdinfo) -> Option<Vec<EpollWatch>> {
    info.lines("tfd").map(watch).collect()
}

/// `       5 events:       19 data:                5  pos:0 ino:… sdev:…`, behind `tfd:`
fn watch(line: &[u8]) -> Option<EpollWatch> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let fd = words.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.nth(1)?, 16).ok();
    let (events, data) = (hex()? as u32, hex()?);
    Some(EpollWatch { fd: FdNum(fd), file: FileId(0), events, data })
}

/// A watch names a descriptor as it was when it was added; the description behind it is known only when all
/// tables are. The number may belong to another file by now, or be closed while another process of the tree still has the
/// file, so the kernel is asked (kcmp(2)).
fn name_watched(
    files: &Files,
    table: &FdTable,
    fd: Fd,
    epoll: &Epoll,
    out: &mut Findings,
) -> Vec<EpollWatch> {
    let own = (table.pid.0 as i32, fd.fd.0 as i32);
    let mut seen: BTreeMap<FdNum, u32> = BTreeMap::new();
    let mut all = Vec::with_capacity(epoll.watches.len());
    for watch in &epoll.watches {
        let times = seen.entry(watch.fd).or_default();
        let nth = std::mem::replace(times, *times + 1);
        let same = |(pid, other): (Pid, FdNum)| {
            let theirs = (pid.0 as i32, other.0 as i32);
            kcmp_epoll(theirs.0, theirs.1, own.0, own.1, watch.fd.0 as i32, nth).unwrap_or(false)
        };
        match find(files, table, watch.fd, &same) {
            Some(file) => all.push(EpollWatch { file, ..*watch }),
            // What is said of the file itself is enough.
            None if files.refused.iter().any(|refused| same(*refused)) => {}
            None => {
                let object = format!("fd {} (epoll)", fd.fd);
                let problem = format!("it watches a file whose descriptor {} is closed", watch.fd);
                out.refuse(Finding::of(table.pid, object, "file.epoll", problem));
            }
        }
    }
    all
}

/// First under its number in the table of the instance, then under any number of any table.
fn find(
    files: &Files,
    table: &FdTable,
    number: FdNum,
    same: &dyn Fn((Pid, FdNum)) -> bool,
) -> Option<FileId> {
    let likely = table.fds.binary_search_by_key(&number, |fd| fd.fd);
    if let Some(fd) = likely.ok().map(|at| &table.fds[at])
        && same((table.pid, fd.fd))
    {
        return Some(fd.file);
    }
    let others = files.tables.iter().filter(|other| other.pid != table.pid);
    let mut all =
        std::iter::once(table).chain(others).flat_map(|t| t.fds.iter().map(|fd| (t.pid, fd)));
    all.find(|(pid, fd)| same((*pid, fd.fd))).map(|(_, fd)| fd.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_read() {
        let info = |lines: &str| {
            let text = format!("pos:\t0\nflags:\t02\nmnt_id:\t1\nino:\t2\n{lines}");
            Fdinfo::parse(text.into_bytes()).unwrap()
        };
        let poll = "tfd:        5 events:       19 data:     7fff00000005  pos:0 ino:2d sdev:10\n";
        let watch =
            EpollWatch { fd: FdNum(5), file: FileId(0), events: 0x19, data: 0x7fff_0000_0005 };
        assert_eq!(watches(&info(poll)), Some(vec![watch]));
        assert_eq!(watches(&info("tfd: x\n")), None);
    }
}
