//! /proc/PID/status (proc_pid_status(5)).

use crate::{
    read::read_record,
    unable,
    words::{self, ascii, lines, split, unknown},
};
use floe_sys::{Error, Result};
use std::{io, str::FromStr};

/// The lines of a process or thread. All accessors but [`Status::line`] fail where a line is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pid: u32,
    text: Vec<u8>,
}

impl Status {
    /// Of a process or thread.
    pub fn of(pid: u32) -> Result<Self> {
        Self::parse(pid, read_record(pid, "status")?)
    }

    /// Of recorded text; `pid` is what errors name.
    pub fn parse(pid: u32, text: Vec<u8>) -> Result<Self> {
        let status = Self { pid, text };
        let whole = lines(&status.text).try_for_each(|line| split(line, b':', "a line").map(drop));
        whole.map_err(|e| unable(pid, "status", e))?;
        // The first line of all; without it, this is another file.
        status.bytes("Name").map(drop)?;
        Ok(status)
    }

    /// The value of a line that not every kernel writes.
    pub fn line(&self, key: &str) -> Option<&[u8]> {
        let line = lines(&self.text)
            .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"));
        line.map(<[u8]>::trim_ascii)
    }

    /// Names and values of all lines.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = lines(&self.text).filter_map(|line| split(line, b':', "a line").ok());
        fields.map(|(key, value)| (key, value.trim_ascii()))
    }

    fn bytes(&self, key: &str) -> Result<&[u8]> {
        self.line(key).ok_or_else(|| self.error(key, io::Error::other(format!("no line {key}"))))
    }

    fn error(&self, key: &str, cause: io::Error) -> Error {
        unable(self.pid, &format!("status ({key})"), cause)
    }

    /// The text of a line.
    pub fn get(&self, key: &str) -> Result<&str> {
        ascii(self.bytes(key)?, "text").map_err(|e| self.error(key, e))
    }

    /// The decimal number of a line.
    pub fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        words::decimal(self.bytes(key)?, "a number").map_err(|e| self.error(key, e))
    }

    /// The decimal numbers of a line, which may have none (`Groups`).
    pub fn numbers(&self, key: &str) -> Result<Vec<u32>> {
        let numbers = words::words(self.bytes(key)?).map(|word| words::decimal(word, "a number"));
        numbers.collect::<io::Result<_>>().map_err(|e| self.error(key, e))
    }

    /// The four ids of `Uid` or `Gid`: real, effective, saved, of the file system.
    pub fn ids(&self, key: &str) -> Result<[u32; 4]> {
        let ids = self.numbers(key)?;
        ids.try_into().map_err(|_| self.error(key, unknown("four ids")))
    }

    /// The hexadecimal number of a line: signal sets (bit n-1 for signal n) and capabilities (bit n).
    pub fn hex(&self, key: &str) -> Result<u64> {
        words::hex(self.bytes(key)?, "a set").map_err(|e| self.error(key, e))
    }

    /// The file mode creation mask. A zombie has none.
    pub fn umask(&self) -> Result<u32> {
        let mask = words::radix(self.bytes("Umask")?, 8, "a mask");
        mask.map(|mask| mask as u32).map_err(|e| self.error("Umask", e))
    }

    /// Who traces it, `None` for nobody.
    pub fn tracer(&self) -> Result<Option<u32>> {
        self.number("TracerPid").map(|pid: u32| (pid != 0).then_some(pid))
    }

    /// Ended, and not yet waited for.
    pub fn is_dead(&self) -> Result<bool> {
        self.get("State").map(|state| state.starts_with(['Z', 'X', 'x']))
    }
}

/// The effective capabilities of a thread, bit n for capability n (capabilities(7)).
pub fn effective_capabilities(tid: u32) -> Result<u64> {
    Status::of(tid)?.hex("CapEff")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"Name:\ta:b\\n\xff\nUmask:\t0022\nState:\tt (tracing stop)\nTgid:\t77\nTracerPid:\t5\n\
        Uid:\t1000\t0\t1000\t0\nGid:\t1\t2\t3\nGroups:\t4 24 27 \nNSpid:\t77\t3\nSigCgt:\t0000000180014a07\n\
        CapEff:\t000001fffeffffff\nNoNewPrivs:\t1\n";

    fn status() -> Status {
        Status::parse(77, TEXT.to_vec()).unwrap()
    }

    #[test]
    fn lines_are_read() {
        let status = status();
        assert_eq!(status.ids("Uid").unwrap(), [1000, 0, 1000, 0]);
        assert_eq!(status.numbers("Groups").unwrap(), [4, 24, 27]);
        assert_eq!(status.numbers("NSpid").unwrap(), [77, 3]);
        assert_eq!(status.hex("SigCgt").unwrap(), 0x1_8001_4a07);
        assert_eq!((status.umask().unwrap(), status.tracer().unwrap()), (0o22, Some(5)));
        assert_eq!(
            (status.number::<u32>("Tgid").unwrap(), status.get("NoNewPrivs").unwrap()),
            (77, "1")
        );
        assert!(!status.is_dead().unwrap());
        assert_eq!(status.line("Name"), Some(&b"a:b\\n\xff"[..]));
    }

    #[test]
    fn what_is_missing_or_broken_is_an_error() {
        let status = status();
        assert_eq!(status.line("Seccomp"), None);
        for missing in [
            status.hex("SigIgn").map(drop),
            status.numbers("CapEff").map(drop),
            status.ids("Gid").map(drop),
            status.ids("Uids").map(drop),
            status.number::<u32>("Uid").map(drop),
            status.get("Seccomp").map(drop),
            status.get("Name").map(drop),
        ] {
            let error = missing.unwrap_err().to_string();
            assert!(error.starts_with("pid 77: unable to read /proc/77/status ("), "{error}");
        }
        assert!(Status::parse(1, b"Uid:\t0\n".to_vec()).is_err());
        assert!(Status::parse(1, b"Name:\tx\nrubbish\n".to_vec()).is_err());
        assert!(Status::parse(1, Vec::new()).is_err());
    }

    #[test]
    fn both_sources_of_our_capabilities_agree() {
        let own = effective_capabilities(std::process::id()).unwrap();
        assert_eq!(own, floe_sys::effective_capabilities().unwrap());
    }
}
