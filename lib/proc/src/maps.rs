//! /proc/PID/maps (proc_pid_maps(5)).

use crate::{
    read, unable,
    words::{decimal, device, hex, lines, split, unknown},
};
use floe_sys::Result;
use std::io;

/// A memory mapping as its heading in maps and smaps describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Address of the first byte.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// PROT_READ, PROT_WRITE and PROT_EXEC of mmap(2).
    pub prot: i32,
    /// MAP_SHARED.
    pub shared: bool,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Device of the file as makedev(3) packs it, 0 for anonymous memory. Of a file on overlayfs, that of a layer.
    pub dev: u64,
    /// Inode number, 0 for anonymous memory.
    pub ino: u64,
    /// Path of the file as we see it, `[vdso]` and the like, or nothing. The kernel escapes a newline as `\012` and no
    /// backslash; that is undone, so a name that really holds `\012` cannot be told from one with a newline.
    pub name: Vec<u8>,
}

impl Mapping {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    /// May be executed.
    pub fn is_executable(&self) -> bool {
        self.prot & libc::PROT_EXEC != 0
    }
}

/// The mappings of a process by ascending address; of a zombie or kernel thread none.
pub fn mappings(pid: u32) -> Result<Vec<Mapping>> {
    parse(&read(pid, "maps")?).map_err(|e| unable(pid, "maps", e))
}

/// [`mappings`] of recorded text.
pub fn parse(text: &[u8]) -> io::Result<Vec<Mapping>> {
    lines(text).map(heading).collect()
}

/// `7f8bc873d000-7f8bc873e000 r--s 00000000 fe:00 10010708                   /tmp/a`
pub(crate) fn heading(line: &[u8]) -> io::Result<Mapping> {
    const WHAT: &str = "a mapping";
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || fields.next().ok_or_else(|| unknown(WHAT));
    let (start, end) = split(field()?, b'-', WHAT)?;
    let (start, end) = (hex(start, WHAT)?, hex(end, WHAT)?);
    let (prot, shared) = permissions(field()?)?;
    let (offset, dev) = (hex(field()?, WHAT)?, device(field()?, WHAT)?);
    let ino = decimal(field()?, WHAT)?;
    // Without a name, the line ends in one blank.
    let name = fields.next().unwrap_or_default();
    // Blanks only pad in front: a name may begin with none and end in some.
    let name = newlines(&name[name.iter().take_while(|byte| **byte == b' ').count()..]);
    if start >= end {
        return Err(unknown(WHAT));
    }
    Ok(Mapping { start, end, prot, shared, offset, dev, ino, name })
}

fn permissions(word: &[u8]) -> io::Result<(i32, bool)> {
    let &[r, w, x, s] = word else { return Err(unknown("permissions")) };
    let bit = |letter, set, bit| match letter {
        b'-' => Ok(0),
        _ if letter == set => Ok(bit),
        _ => Err(unknown("permissions")),
    };
    let prot = bit(r, b'r', libc::PROT_READ)?
        | bit(w, b'w', libc::PROT_WRITE)?
        | bit(x, b'x', libc::PROT_EXEC)?;
    match s {
        b'p' => Ok((prot, false)),
        b's' => Ok((prot, true)),
        _ => Err(unknown("permissions")),
    }
}

fn newlines(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let newline = rest.strip_prefix(b"\\012");
        out.push(if newline.is_some() { b'\n' } else { first });
        rest = newline.unwrap_or(tail);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_read() {
        let line = b"7f8bc873d000-7f8bc873e000 rwxs 0000a000 fe:01 10010708                   /tmp/a\\012 \xff b ";
        let map = heading(line).unwrap();
        assert_eq!((map.start, map.end, map.size()), (0x7f8b_c873_d000, 0x7f8b_c873_e000, 4096));
        assert_eq!((map.prot, map.shared, map.offset), (7, true, 0xa000));
        assert_eq!((map.dev, map.ino), (libc::makedev(0xfe, 1), 10_010_708));
        assert_eq!(map.name, b"/tmp/a\n \xff b ");
        let anonymous = heading(b"1000-2000 ---p 00000000 00:00 0 ").unwrap();
        assert_eq!((anonymous.prot, anonymous.name.len()), (0, 0));
        assert_eq!(heading(b"1000-2000 ---p 00000000 00:00 0").unwrap(), anonymous);
        let vsyscall =
            b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]";
        assert_eq!(heading(vsyscall).unwrap().name, b"[vsyscall]");
    }

    #[test]
    fn rubbish_is_an_error() {
        for line in [
            "2000-1000 ---p 0 00:00 0 ",
            "1000 ---p 0 00:00 0 ",
            "1000-2000 --p 0 00:00 0 ",
            "1000-2000 ---x 0 00:00 0 ",
            "1000-2000 -r-p 0 00:00 0 ",
            "1000-2000 ---p 0 0000 0 ",
            "1000-2000 ---p 0 00:00 x ",
            "1000-2000 ---p 0 00:00",
            "-1000-2000 ---p 0 00:00 0 ",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn this_process_is_read() {
        let all = mappings(std::process::id()).unwrap();
        assert!(all.is_sorted_by(|a, b| a.end <= b.start));
        let here = &raw const all as u64;
        assert!(all.iter().any(|map| (map.start..map.end).contains(&here) && map.prot == 3));
        assert!(all.iter().any(|map| map.name == b"[vdso]" && map.is_executable()));
    }
}
