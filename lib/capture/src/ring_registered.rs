//! What is registered with an io_uring instance, by io_uring_show_fdinfo of io_uring/fdinfo.c.
//!
//! Of a registered file the kernel tells its path and nothing else, and many descriptions may have one path. A socket has no other
//! description than its own, and the path of one is its number. A buffer is shown by its address; which process that is of is not.

use crate::{Result, descriptor_of::Problem, files::Files};
use floe_proc::{Fdinfo, Mapping};
use floe_records::{
    Addr, AnyRecord, External, FdNum, FileId, Finding, Findings, IoUring, Pid, Record, SpecialPath,
};
use floe_sys::{Shared, io_uring_register_files, io_uring_setup, kcmp_shared};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixDatagram,
    },
};

const RULE: &str = "file.uring";
/// What stands for an empty place.
const NONE: &str = "<none>";

/// What there is of one.
pub(crate) struct Registered {
    /// Places for files.
    pub places: u32,
    /// Those in which there is a socket, by its inode number.
    pub sockets: Vec<(u32, u64)>,
    /// Buffers, (0, 0) for an empty place.
    pub buffers: Vec<(Addr, u32)>,
}

/// What is registered; `None` where the kernel does not show it just now.
pub(crate) fn registered(info: &Fdinfo) -> Result<Option<Registered>, Problem> {
    let refuse = |problem: String| Err(Problem::new(RULE, problem));
    let (Some((places, files)), Some((count, buffers))) =
        (list(info, "UserFiles"), list(info, "UserBufs"))
    else {
        return Ok(None);
    };
    if places > 0 && !shows_sockets()? {
        return refuse(format!(
            "{places} places for files are registered with it, and this kernel does not tell which file is in one"
        ));
    }
    let files = files.into_iter().filter(|(_, shown)| shown != NONE);
    let files: Vec<_> = files.map(|(place, shown)| (place, socket(&shown))).collect();
    let named = files.iter().filter(|(_, socket)| socket.is_none()).count();
    if named > 0 {
        return refuse(format!(
            "{named} files are registered with it that are no sockets, and the kernel tells no more than their names"
        ));
    }
    let sockets = files.into_iter().filter_map(|(place, socket)| Some((place, socket?)));
    let unknown = || Problem::new(RULE, "its buffers have an unknown form");
    let places_of_buffers = buffers.iter().map(|(place, _)| *place);
    if !places_of_buffers.eq(0..count) {
        return Err(unknown());
    }
    let buffers: Option<_> = buffers.iter().map(|(_, shown)| buffer(shown)).collect();
    let (sockets, buffers) = (sockets.collect(), buffers.ok_or_else(unknown)?);
    Ok(Some(Registered { places, sockets, buffers }))
}

/// The count of a line, and those of the lines below that have a number.
fn list(info: &Fdinfo, key: &str) -> Option<(u32, Vec<(u32, String)>)> {
    let count: u32 = info.decimal(key).ok()?;
    let text = String::from_utf8_lossy(info.text());
    let lines = text.lines().skip_while(|line| !line.starts_with(key)).skip(1);
    let numbered = lines.map_while(|line| {
        let (number, shown) = line.trim_start().split_once(": ")?;
        Some((number.parse().ok()?, shown.to_owned()))
    });
    let all: Vec<(u32, String)> = numbered.collect();
    let ascends = all.iter().map(|(number, _)| number).is_sorted_by(|a, b| a < b);
    let inside = all.last().is_none_or(|(number, _)| *number < count);
    (ascends && inside).then_some((count, all))
}

/// `socket:[10422160]`; paths of files that have a name begin with a slash.
fn socket(shown: &str) -> Option<u64> {
    shown.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// `0x7fd7159ba000/4096`
fn buffer(shown: &str) -> Option<(Addr, u32)> {
    // As Linux 6.1 shows that there is none.
    const DUMMY: &str = "0xffffffffffffffff/1";
    if shown == NONE || shown == DUMMY {
        return Some((Addr(0), 0));
    }
    let (at, len) = shown.strip_prefix("0x")?.split_once('/')?;
    let (at, len) = (u64::from_str_radix(at, 16).ok()?, len.parse().ok()?);
    (at > 0 && len > 0).then_some((Addr(at), len))
}

/// Whether this kernel shows of a registered socket which one it is. Older ones show the last part of a path, which any file may have.
fn shows_sockets() -> Result<bool, Problem> {
    let fail = |e| Problem::Sys(floe_sys::Error::new("make a socket", e));
    let own = UnixDatagram::unbound().map_err(fail)?;
    let (ring, _) = io_uring_setup(1, 2, 0)?;
    io_uring_register_files(ring.as_fd(), &[own.as_raw_fd()])?;
    let ino = nix::sys::stat::fstat(&own).map_err(|e| fail(e.into()))?.st_ino;
    let shown = list(&Fdinfo::of_own(ring.as_fd())?, "UserFiles");
    Ok(shown.is_some_and(|(_, files)| files == [(0, format!("socket:[{ino}]"))]))
}

/// Refuses buffers that are not where memory is.
pub(crate) fn check_buffers(pid: u32, buffers: &[(Addr, u32)]) -> Result<(), Problem> {
    if buffers.iter().all(|(_, len)| *len == 0) {
        return Ok(());
    }
    let maps = floe_proc::mappings(pid)?;
    for (at, len) in buffers.iter().filter(|(_, len)| *len > 0) {
        if !is_memory(&maps, at.0, at.0.saturating_add(u64::from(*len))) {
            let problem = format!(
                "the buffer at {:x} that is registered with it is no memory any more that can be written to",
                at.0
            );
            return Err(Problem::new(RULE, problem));
        }
    }
    Ok(())
}

/// Whether all of it is memory that can be written to.
fn is_memory(maps: &[Mapping], start: u64, end: u64) -> bool {
    let mut at = start;
    let first = maps.partition_point(|map| map.end <= start);
    for map in maps[first..].iter().take_while(|map| map.start < end) {
        if map.start > at || map.prot & libc::PROT_WRITE == 0 {
            return false;
        }
        at = map.end;
    }
    at >= end
}

/// Finds the sockets among the descriptions of the tree, and whose memory buffers are in. Gives the instances that are refused.
pub(crate) fn relate(files: &mut Files, out: &mut Findings) -> Result<BTreeSet<FileId>> {
    let mut refused = BTreeSet::new();
    let rings = files.of::<IoUring>().filter_map(|(_, what)| match what {
        AnyRecord::IoUring(ring) if ring.has_registered() => Some((ring.file, ring.has_buffers())),
        _ => None,
    });
    let rings: Vec<(FileId, bool)> = rings.collect();
    if rings.is_empty() {
        return Ok(refused);
    }
    let known = sockets(files);
    for (id, has_buffers) in rings {
        let mut refuse = |pid: Pid, object: &str, problem: &str| {
            refused.insert(id);
            out.refuse(Finding::of(pid, object, RULE, problem));
        };
        let holders = holders(files, id);
        let Some(&(pid, fd)) = holders.first() else {
            let problem = "files or buffers are registered with it, and no process has it open";
            refuse(files.all[id.0 as usize].0.pid, "io_uring", problem);
            continue;
        };
        let object = format!("fd {fd} (io_uring)");
        if has_buffers && (holders.len() > 1 || is_shared(files, pid)) {
            let problem = "buffers are registered with it, and several processes have it open";
            refuse(pid, &object, problem);
        }
        // What has changed since is looked at again.
        let now = Fdinfo::of(pid.0, fd.0).ok();
        let now = now.and_then(|info| registered(&info).ok()).flatten();
        let mut found = Vec::new();
        for (place, ino) in now.map(|now| now.sockets).unwrap_or_default() {
            match known.get(&ino) {
                Some(Some(file)) => found.push((place, *file)),
                // What is said of the socket itself is enough.
                Some(None) => {}
                None => {
                    let problem = format!(
                        "socket:[{ino}] is registered with it, and is no open socket of the tree"
                    );
                    refuse(pid, &object, &problem);
                }
            }
        }
        if let (_, AnyRecord::IoUring(ring)) = &mut files.all[id.0 as usize] {
            ring.files = found;
        }
    }
    Ok(refused)
}

/// Descriptors of the first table and of all others that lead to it.
fn holders(files: &Files, id: FileId) -> Vec<(Pid, FdNum)> {
    let of_table = files.tables.iter().filter_map(|table| {
        let found = table.fds.iter().find(|fd| fd.file == id)?;
        Some((table.pid, found.fd))
    });
    of_table.collect()
}

/// Whether a process has the same descriptors and other memory.
fn is_shared(files: &Files, pid: Pid) -> bool {
    let same = |other: Pid, what| {
        kcmp_shared(pid.0 as i32, other.0 as i32, what).is_ok_and(|it| it == Ordering::Equal)
    };
    let has_own = |other: &Pid| files.tables.iter().any(|table| table.pid == *other);
    let others = files.pids.iter().filter(|other| **other != pid && !has_own(other));
    others.into_iter().any(|other| same(*other, Shared::Files) && !same(*other, Shared::Vm))
}

/// The sockets of the tree by their inode numbers; `None` for those that are refused.
fn sockets(files: &Files) -> BTreeMap<u64, Option<FileId>> {
    let number = |pid: Pid, fd: FdNum| {
        let link = floe_proc::link(pid.0, &format!("fd/{fd}")).ok()?;
        socket(std::str::from_utf8(&link).ok()?)
    };
    let is_own = |id: &FileId| {
        let kind = files.all[id.0 as usize].0.kind;
        kind != External::KIND && kind != SpecialPath::KIND
    };
    let refused = files.refused.iter().filter_map(|(pid, fd)| Some((number(*pid, *fd)?, None)));
    let own = files.all.iter().map(|(open, _)| open.id).filter(is_own);
    let own = own.filter_map(|id| {
        let (pid, fd) = files.place(id)?;
        Some((number(pid, fd)?, Some(id)))
    });
    refused.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(lines: &str) -> Fdinfo {
        let text = format!("pos:\t0\nflags:\t02\nmnt_id:\t1\nino:\t2\n{lines}PollList:\n");
        Fdinfo::parse(text.into_bytes()).unwrap()
    }

    #[test]
    fn places_and_what_is_in_them_are_read() {
        let shown = info(
            "UserFiles:\t7\n    1: socket:[10422160]\n    6: /tmp/x: y\nUserBufs:\t3\n    0: 0x7f46711ba000/4096\n    1: <none>\n    2: 0xffffffffffffffff/1\n",
        );
        let files = vec![(1, "socket:[10422160]".to_owned()), (6, "/tmp/x: y".to_owned())];
        assert_eq!(list(&shown, "UserFiles"), Some((7, files)));
        let (count, buffers) = list(&shown, "UserBufs").unwrap();
        let buffers: Vec<_> = buffers.iter().map(|(_, shown)| buffer(shown)).collect();
        let none = Some((Addr(0), 0));
        assert_eq!((count, buffers), (3, vec![Some((Addr(0x7f46_711b_a000), 4096)), none, none]));
        assert_eq!(list(&info("UserFiles:\t1\n    1: x\n"), "UserFiles"), None);
        assert_eq!(list(&info(""), "UserFiles"), None);
    }

    #[test]
    fn sockets_alone_have_such_names() {
        assert_eq!(socket("socket:[12]"), Some(12));
        assert_eq!(socket("/socket:[12]"), None);
        assert_eq!(socket("pipe:[12]"), None);
    }
}
