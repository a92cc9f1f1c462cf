//! Variables of a network namespace: files below /proc/sys/net.

use crate::link_kind::is_fallback;
use floe_sys::{Error, Result};
use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

const ALL: &str = "/proc/sys/net";
/// Longer than any of them.
const ROOM: usize = 16 << 10;
/// How often they are written: some change others.
const ROUNDS: usize = 4;
/// Readable and writable for root.
const BOTH: u32 = 0o600;

/// Files of all variables, open: their values can be read in a fraction of the time that opening them takes.
#[derive(Debug, Default)]
pub struct Variables(Vec<(Vec<u8>, File)>);

impl Variables {
    /// Opens those of the namespace of the calling thread that can be read and written.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open() -> Result<Self> {
        let mut all = Vec::new();
        walk(Path::new(ALL), &mut all)?;
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Self(all))
    }

    /// Whether there are those of these interfaces and of no others.
    pub fn are_of<'a>(&self, interfaces: impl Iterator<Item = &'a [u8]>) -> bool {
        let of = |(name, _): &(Vec<u8>, File)| {
            let rest = name.strip_prefix(b"ipv4/conf/")?.strip_suffix(b"/forwarding")?;
            let named = |name: &Vec<u8>| name != b"all" && name != b"default" && !is_fallback(name);
            Some(rest.to_vec()).filter(named)
        };
        let mut known: Vec<Vec<u8>> = self.0.iter().filter_map(of).collect();
        let mut there: Vec<Vec<u8>> =
            interfaces.filter(|name| !is_fallback(name)).map(<[u8]>::to_vec).collect();
        known.sort_unstable();
        there.sort_unstable();
        known == there
    }

    /// Names, relative to /proc/sys/net, and values, without what cannot be read as long as it is not set.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (mut all, mut buffer) = (Vec::with_capacity(self.0.len()), vec![0; ROOM]);
        for (name, file) in &self.0 {
            let len = match file.read_at(&mut buffer, 0) {
                // A secret that is not set; an interface that is gone.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EIO | libc::ENOENT)) => continue,
                Err(e) => return Err(Error::new(format!("read {}", shown(name)), e)),
                Ok(len) => len,
            };
            all.push((name.clone(), trimmed(&buffer[..len])));
        }
        Ok(all)
    }
}

fn trimmed(value: &[u8]) -> Vec<u8> {
    value.strip_suffix(b"\n").unwrap_or(value).to_vec()
}

fn path(name: &[u8]) -> PathBuf {
    Path::new(ALL).join(OsStr::from_bytes(name))
}

fn shown(name: &[u8]) -> String {
    path(name).display().to_string()
}

fn walk(directory: &Path, all: &mut Vec<(Vec<u8>, File)>) -> Result<()> {
    let fail = |e| Error::new(format!("read {}", directory.display()), e);
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        if entry.file_type().map_err(fail)?.is_dir() {
            walk(&path, all)?;
            continue;
        }
        let mode = entry.metadata().map_err(fail)?.permissions().mode();
        if mode & BOTH != BOTH {
            continue;
        }
        let name = path.strip_prefix(ALL).unwrap_or(&path).as_os_str().as_bytes().to_vec();
        match File::open(&path) {
            Ok(file) => all.push((name, file)),
            // An interface that is gone.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            Err(e) => return Err(Error::new(format!("open {}", path.display()), e)),
        }
    }
    Ok(())
}

/// What is written first: defaults are those of new interfaces, and what is for all is written into each.
fn rank(name: &[u8]) -> u8 {
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    match () {
        () if has(b"/default/") => 0,
        () if has(b"/all/") || name == b"ipv4/ip_forward" => 1,
        () => 2,
    }
}

/// Writes those whose values differ, again where one has changed another. Gives the names of those that have not come to be what
/// they are to be, and why.
pub fn write_variables(wanted: &[(&[u8], &[u8])]) -> Vec<(Vec<u8>, String)> {
    let mut wanted: Vec<(&[u8], &[u8])> = wanted.to_vec();
    wanted.sort_by_key(|(name, _)| rank(name));
    let mut left = Vec::new();
    for round in 0..ROUNDS {
        left.clear();
        for (name, value) in &wanted {
            let now = std::fs::read(path(name)).map(|now| trimmed(&now));
            if now.as_ref().is_ok_and(|now| now == value) {
                continue;
            }
            let written = std::fs::write(path(name), [value, &b"\n"[..]].concat());
            let after = std::fs::read(path(name)).map(|now| trimmed(&now));
            let why = match (written, after) {
                (Err(e), _) | (_, Err(e)) => e.to_string(),
                (Ok(()), Ok(after)) if after == *value => "it was written again".to_owned(),
                (Ok(()), Ok(after)) => format!("it is {}", String::from_utf8_lossy(&after)),
            };
            left.push((name.to_vec(), why));
        }
        if left.is_empty() || (round > 0 && left.iter().all(|(_, why)| !why.contains("again"))) {
            break;
        }
    }
    left.retain(|(name, _)| {
        let now = std::fs::read(path(name)).map(|now| trimmed(&now)).ok();
        let value = wanted.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        now.as_deref() != value
    });
    left
}
