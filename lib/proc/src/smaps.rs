//! /proc/PID/smaps (proc_pid_smaps(5)).

use crate::{
    Mapping,
    maps::heading,
    read, unable,
    words::{decimal, lines, unknown},
};
use floe_sys::Result;
use std::io;

/// A memory mapping with what capture needs of its statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmapsEntry {
    /// Where it is and what it maps.
    pub mapping: Mapping,
    /// The two-letter flags of the VmFlags line, one behind the other.
    pub flags: Vec<u8>,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Protection key (pkeys(7)); 0, the key of all ordinary memory, also where the machine has none.
    pub protection_key: u32,
}

impl SmapsEntry {
    /// Whether a flag is set: `lo`, `gd`, ….
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.as_chunks::<2>().0.contains(flag)
    }
}

/// The mappings of a process by ascending address; of a zombie or kernel thread none.
pub fn smaps(pid: u32) -> Result<Vec<SmapsEntry>> {
    parse(&read(pid, "smaps")?).map_err(|e| unable(pid, "smaps", e))
}

/// [`smaps()`] of recorded text. VmFlags is the last line of an entry.
pub fn parse(text: &[u8]) -> io::Result<Vec<SmapsEntry>> {
    let mut all = Vec::new();
    let mut open: Option<Open> = None;
    for line in lines(text) {
        // Headings begin with an address, the other lines with a capital letter.
        if !line[0].is_ascii_uppercase() {
            let new = Open { mapping: heading(line)?, rss: None, protection_key: 0 };
            if open.replace(new).is_some() {
                return Err(unknown("a mapping without flags"));
            }
        } else if let Some(rss) = line.strip_prefix(b"Rss:") {
            open.as_mut().ok_or_else(outside)?.rss = Some(kibibytes(rss)?);
        } else if let Some(key) = line.strip_prefix(b"ProtectionKey:") {
            open.as_mut().ok_or_else(outside)?.protection_key = decimal(key, "a protection key")?;
        } else if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            all.push(open.take().ok_or_else(outside)?.close(flags)?);
        }
    }
    if open.is_some() { Err(unknown("a mapping without flags")) } else { Ok(all) }
}

struct Open {
    mapping: Mapping,
    rss: Option<u64>,
    protection_key: u32,
}

impl Open {
    fn close(self, flags: &[u8]) -> io::Result<SmapsEntry> {
        let rss = self.rss.ok_or_else(|| unknown("a mapping without Rss"))?;
        let mut letters = Vec::with_capacity(flags.len());
        for flag in flags.split(|byte| *byte == b' ').filter(|flag| !flag.is_empty()) {
            let &[a, b] = flag else { return Err(unknown("a flag")) };
            letters.extend([a, b]);
        }
        let (mapping, protection_key) = (self.mapping, self.protection_key);
        Ok(SmapsEntry { mapping, flags: letters, rss, protection_key })
    }
}

fn outside() -> io::Error {
    unknown("a line outside of a mapping")
}

/// `    132 kB`, in bytes.
fn kibibytes(text: &[u8]) -> io::Result<u64> {
    let number = text.strip_suffix(b" kB").ok_or_else(|| unknown("a size"))?;
    let size: u64 = decimal(number, "a size")?;
    size.checked_mul(1024).ok_or_else(|| unknown("a size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "559d3a0c3000-559d3a0c5000 r--p 00000000 fe:00 247282                     /usr/bin/head\n";

    #[test]
    fn entries_are_read() {
        let text = format!(
            "{HEAD}Size:                  8 kB\nRss:                   4 kB\nTHPeligible:           0\n\
             ProtectionKey:         3\nVmFlags: rd mr mw me \n\
             ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n\
             Rss:                   0 kB\nVmFlags: ex\n"
        );
        let all = parse(text.as_bytes()).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].rss, all[0].protection_key), (4096, 3));
        assert_eq!(all[0].flags, b"rdmrmwme");
        assert!(all[0].has(b"mw") && !all[0].has(b"dm"), "letters of two flags are no flag");
        assert_eq!((&all[1].mapping.name[..], all[1].protection_key), (&b"[vsyscall]"[..], 0));
    }

    #[test]
    fn what_is_missing_is_an_error() {
        let rss = "Rss:                   4 kB\n";
        for text in [
            format!("{HEAD}{rss}"),
            format!("{HEAD}VmFlags: rd\n"),
            format!("{HEAD}{rss}{HEAD}{rss}VmFlags: rd\n"),
            format!("{HEAD}Rss:       4 MB\nVmFlags: rd\n"),
            format!("{HEAD}{rss}VmFlags: rdx\n"),
            format!("{rss}{HEAD}VmFlags: rd\n"),
            "VmFlags: rd\n".to_owned(),
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn this_process_is_read() {
        let all = smaps(std::process::id()).unwrap();
        let here = &raw const all as u64;
        let stack = all.iter().find(|e| (e.mapping.start..e.mapping.end).contains(&here)).unwrap();
        assert!(stack.has(b"rd") && stack.has(b"wr") && stack.rss > 0);
    }
}
