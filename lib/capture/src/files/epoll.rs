//! epoll(7), by fs/eventpoll.c's show_fdinfo.

use super::table::Captured;
use crate::Result;
use floe_records::{EpollWatch, FdNum, FileId, FileKind, Refusal, Refusals};
use floe_sys::kcmp_epoll;

pub(super) fn epoll(info: &str) -> Option<FileKind> {
    let watches = info.lines().filter(|l| l.starts_with("tfd:")).map(watch);
    watches.collect::<Option<_>>().map(FileKind::Epoll)
}

/// `tfd:        5 events:       19 data:                5  pos:0 ino:… sdev:…`
fn watch(line: &str) -> Option<EpollWatch> {
    let mut words = line.split_whitespace().skip(1);
    let fd = words.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.nth(1)?, 16).ok();
    let (events, data) = (hex()? as u32, hex()?);
    Some(EpollWatch { fd: FdNum(fd), file: FileId(0), events, data })
}

/// A watch names a descriptor as it was when it was added; the description behind it is known only when all
/// tables are. The number may belong to another file by now, so the kernel is asked (kcmp(2)).
pub(super) fn name_watched(captured: &mut Captured) -> Result<()> {
    let mut refusals = Vec::new();
    for table in &captured.tables {
        for fd in &table.fds {
            let FileKind::Epoll(watches) = &mut captured.files[fd.file.0 as usize].what else {
                continue;
            };
            for at in 0..watches.len() {
                let number = watches[at].fd;
                let nth = watches[..at].iter().filter(|w| w.fd == number).count() as u32;
                let pid = table.pid.0 as i32;
                let same = |other: &&floe_records::Fd| {
                    kcmp_epoll(pid, other.fd.0 as i32, pid, fd.fd.0 as i32, number.0 as i32, nth)
                        .unwrap_or(false)
                };
                let first = table.fds.iter().find(|other| other.fd == number).filter(same);
                match first.or_else(|| table.fds.iter().find(same)) {
                    Some(other) => watches[at].file = other.file,
                    None => refusals.push(Refusal {
                        pid: Some(table.pid),
                        object: format!("fd {} (epoll)", fd.fd),
                        problem: format!("it watches a file whose descriptor {number} is closed"),
                        hint: String::new(),
                    }),
                }
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(Refusals(refusals).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_read() {
        let poll = "tfd:        5 events:       19 data:     7fff00000005  pos:0 ino:2d sdev:10\n";
        let watch =
            EpollWatch { fd: FdNum(5), file: FileId(0), events: 0x19, data: 0x7fff_0000_0005 };
        assert_eq!(epoll(poll), Some(FileKind::Epoll(vec![watch])));
        assert_eq!(epoll("tfd: x\n"), None);
    }
}
