//! /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)).

use crate::{
    Lock, locks,
    read::read_record,
    read_at, unable,
    words::{self, lines, unknown},
};
use floe_sys::{Error, Result};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    str::FromStr,
};

/// A descriptor of a process: what all of them have, and access to the lines of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fdinfo {
    /// File offset, bytes. Negative for a position above 2^63 in files such as /proc/PID/mem.
    pub pos: i64,
    /// Flags of open(2), with O_CLOEXEC where the descriptor has FD_CLOEXEC.
    pub flags: u32,
    /// Mount, as in mountinfo.
    pub mnt_id: u32,
    /// Inode number.
    pub ino: u64,
    text: Vec<u8>,
    /// Most have no lock.
    has_locks: bool,
}

impl Fdinfo {
    /// Of a descriptor of a process. Needs the right to trace it.
    pub fn of(pid: u32, fd: u32) -> Result<Self> {
        let name = format!("fdinfo/{fd}");
        Self::parse(read_record(pid, &name)?).map_err(|e| unable(pid, &name, e))
    }

    /// Of a descriptor of our own.
    pub fn of_own(fd: BorrowedFd<'_>) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
        Self::parse(read_at(&path)?).map_err(|e| Error::new(format!("read {path}"), e))
    }

    /// Of recorded text.
    pub fn parse(text: Vec<u8>) -> io::Result<Self> {
        let value = |key| find(&text, key);
        let pos = words::decimal(value("pos")?, "pos")?;
        let flags = words::radix(value("flags")?, 8, "flags")?;
        let flags = u32::try_from(flags).map_err(|_| unknown("flags"))?;
        let mnt_id = words::decimal(value("mnt_id")?, "mnt_id")?;
        let ino = words::decimal(value("ino")?, "ino")?;
        let has_locks = lines(&text).any(|line| line.starts_with(b"lock:"));
        Ok(Self { pos, flags, mnt_id, ino, text, has_locks })
    }

    /// Of what is known without the text: `more` are the lines of its kind, none of which is a lock.
    pub fn known(pos: i64, flags: u32, mnt_id: u32, ino: u64, more: &str) -> Self {
        let text =
            format!("pos:\t{pos}\nflags:\t0{flags:o}\nmnt_id:\t{mnt_id}\nino:\t{ino}\n{more}");
        Self { pos, flags, mnt_id, ino, text: text.into_bytes(), has_locks: false }
    }

    /// The text, as [`Fdinfo::parse`] takes it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same, without a copy.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// The value of a line of this kind of file: `sigmask`, `eventfd-count`. `None` for one that it does not have.
    pub fn line(&self, key: &str) -> Option<&[u8]> {
        lines(&self.text).find_map(|line| value_of(line, key))
    }

    /// The values of all lines with this key: `lock`, `tfd`, `inotify`.
    pub fn lines<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        lines(&self.text).filter_map(move |line| value_of(line, key))
    }

    /// The text of a line.
    pub fn get(&self, key: &str) -> io::Result<&str> {
        words::ascii(find(&self.text, key)?, key)
    }

    /// The decimal number of a line.
    pub fn decimal<T: FromStr>(&self, key: &str) -> io::Result<T> {
        words::decimal(find(&self.text, key)?, key)
    }

    /// The hexadecimal number of a line, without prefix.
    pub fn hex(&self, key: &str) -> io::Result<u64> {
        words::hex(find(&self.text, key)?, key)
    }

    /// The octal number of a line.
    pub fn octal(&self, key: &str) -> io::Result<u64> {
        words::radix(find(&self.text, key)?, 8, key)
    }

    /// The locks that are held by way of this descriptor: flock(2) and open file description locks of the file behind
    /// it, POSIX locks and leases of the process.
    pub fn locks(&self) -> io::Result<Vec<Lock>> {
        if !self.has_locks {
            return Ok(Vec::new());
        }
        self.lines("lock").map(locks::line).collect()
    }
}

fn find<'a>(text: &'a [u8], key: &str) -> io::Result<&'a [u8]> {
    let value = lines(text).find_map(|line| value_of(line, key));
    value.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no line {key}")))
}

fn value_of<'a>(line: &'a [u8], key: &str) -> Option<&'a [u8]> {
    line.strip_prefix(key.as_bytes())?.strip_prefix(b":").map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LockKind;
    use std::{fs::File, io::Seek, os::fd::AsFd};

    fn parse(text: &str) -> io::Result<Fdinfo> {
        Fdinfo::parse(text.as_bytes().to_vec())
    }

    const TEXT: &str = "pos:\t4096\nflags:\t02100002\nmnt_id:\t24\nino:\t77\n\
        lock:\t1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0 EOF\nlock:\t2: POSIX  ADVISORY  READ 7 fe:00:1234 10 19\n\
        eventfd-count:               1f\nsettime flags: 01\n";

    #[test]
    fn every_line_is_read() {
        let info = parse(TEXT).unwrap();
        assert_eq!((info.pos, info.flags, info.mnt_id, info.ino), (4096, 0o2_100_002, 24, 77));
        assert_eq!(info.hex("eventfd-count").unwrap(), 0x1f);
        assert_eq!(info.octal("settime flags").unwrap(), 1);
        assert_eq!(info.get("mnt_id").unwrap(), "24");
        let locks = info.locks().unwrap();
        assert_eq!((locks.len(), &locks[1].kind), (2, &LockKind::Posix));
        assert_eq!(info.line("sigmask"), None);
        assert!(info.hex("sigmask").is_err() && info.decimal::<u32>("lock").is_err());
    }

    #[test]
    fn what_is_missing_is_an_error() {
        for key in ["pos", "flags", "mnt_id", "ino"] {
            let line = TEXT.lines().find(|line| line.starts_with(key)).unwrap();
            assert!(parse(&TEXT.replace(&format!("{line}\n"), "")).is_err(), "{key}");
            assert!(parse(&TEXT.replace(line, &format!("{key}:\tx"))).is_err(), "{key}");
        }
        assert!(parse(&format!("{TEXT}lock:\tx\n")).unwrap().locks().is_err());
    }

    #[test]
    fn a_file_of_ours_is_read() {
        let mut file = File::open("/proc/self/exe").unwrap();
        file.seek(io::SeekFrom::Start(5)).unwrap();
        let own = Fdinfo::of_own(file.as_fd()).unwrap();
        assert_eq!((own.pos, own.flags & libc::O_CLOEXEC as u32), (5, libc::O_CLOEXEC as u32));
        let other = Fdinfo::of(std::process::id(), file.as_raw_fd() as u32).unwrap();
        assert_eq!(own, other);
        let text = String::from_utf8_lossy(own.text());
        let more = text.split_once(&format!("ino:\t{}\n", own.ino)).unwrap().1;
        assert_eq!(Fdinfo::known(own.pos, own.flags, own.mnt_id, own.ino, more), own);
    }
}
