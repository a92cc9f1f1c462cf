//! What /proc says about a task, as typed values.

use floe_sys::{Error, Result};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
};

/// The path `/proc/PID/NAME`; threads have one too.
pub fn path(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// An error about `/proc/PID/NAME`.
pub(crate) fn unable(pid: u32, name: &str, cause: impl Into<io::Error>) -> Error {
    Error::new(format!("read /proc/{pid}/{name}"), cause).pid(pid)
}

/// The whole of `/proc/PID/NAME`.
pub fn read(pid: u32, name: &str) -> Result<Vec<u8>> {
    // Files of /proc do not tell their size: without this room they would be read in pieces of 32 bytes and more.
    let mut text = Vec::with_capacity(4096);
    let read = File::open(path(pid, name)).and_then(|mut file| file.read_to_end(&mut text));
    read.map_err(|e| unable(pid, name, e)).map(|_| text)
}

/// `/proc/PID/NAME` as text.
pub(crate) fn text(pid: u32, name: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&read(pid, name)?).into_owned())
}

/// `/proc/PID/NAME` as a number.
pub(crate) fn number<T: FromStr>(
    pid: u32,
    name: &str,
    radix16: Option<fn(&str) -> Option<T>>,
) -> Result<T> {
    let text = text(pid, name)?;
    let text = text.trim();
    let value = match radix16 {
        Some(parse) => parse(text),
        None => text.parse().ok(),
    };
    value.ok_or_else(|| unable(pid, name, io::Error::other("not a number")))
}

/// `/proc/PID/stat`.
#[derive(Clone, Debug)]
pub struct Stat {
    /// One letter.
    pub state: char,
    fields: Vec<i128>,
}

impl Stat {
    /// Of a process or thread.
    pub fn of(pid: u32) -> Result<Self> {
        let text = text(pid, "stat")?;
        let broken = || unable(pid, "stat", io::Error::other("unknown form"));
        // The name may hold spaces and parentheses; the last one closes it.
        let (_, rest) = text.rsplit_once(") ").ok_or_else(broken)?;
        let mut words = rest.split_ascii_whitespace();
        let state = words.next().and_then(|w| w.chars().next()).ok_or_else(broken)?;
        let fields: Vec<i128> = words.filter_map(|w| w.parse().ok()).collect();
        if fields.len() < 49 { Err(broken()) } else { Ok(Self { state, fields }) }
    }

    /// Field `n` as proc(5) counts, from 4 on.
    pub fn field(&self, n: usize) -> i128 {
        self.fields.get(n.wrapping_sub(4)).copied().unwrap_or(0)
    }

    /// Ended, and not yet waited for.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Parent.
    pub fn ppid(&self) -> u32 {
        self.field(4) as u32
    }

    /// Clock ticks since boot.
    pub fn start_time(&self) -> u64 {
        self.field(22) as u64
    }

    /// PF_KTHREAD.
    pub fn is_kernel_thread(&self) -> bool {
        self.field(9) & 0x0020_0000 != 0
    }
}

/// `/proc/PID/status`.
#[derive(Clone, Debug)]
pub struct Status(HashMap<String, String>);

impl Status {
    /// Of a process or thread.
    pub fn of(pid: u32) -> Result<Self> {
        let text = text(pid, "status")?;
        let line = |l: &str| l.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned()));
        Ok(Self(text.lines().filter_map(line).collect()))
    }

    /// A line's text, empty where there is none.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The numbers of a line.
    pub fn numbers(&self, key: &str) -> Vec<u32> {
        self.get(key).split_ascii_whitespace().filter_map(|w| w.parse().ok()).collect()
    }

    /// A hexadecimal line, 0 where there is none.
    pub fn hex(&self, key: &str) -> u64 {
        u64::from_str_radix(self.get(key), 16).unwrap_or(0)
    }
}

/// Thread ids of a process, ascending; empty when it is gone.
pub fn tids(pid: u32) -> Vec<u32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

/// Numeric names in a directory, ascending.
pub(crate) fn numbers_in(dir: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let name = |e: io::Result<fs::DirEntry>| e.ok()?.file_name().to_str()?.parse().ok();
    let mut all: Vec<u32> = entries.filter_map(name).collect();
    all.sort_unstable();
    all
}

/// Children of one thread of a process.
pub fn children(pid: u32, tid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|w| w.parse().ok()).collect()
}
