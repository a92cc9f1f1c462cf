//! /proc/PID/smaps (proc_pid_smaps(5)).

use crate::{
    Mapping,
    maps::heading,
    path, unable,
    words::{decimal, lines, unknown},
};
use floe_sys::Result;
use std::{
    fs::File,
    io,
    mem::take,
    sync::mpsc::sync_channel,
    thread::{Builder, scope},
};

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
    /// Bytes of a page of it (KernelPageSize).
    pub page_size: u64,
    /// Bytes of pages of hugetlbfs that are there, which `rss` does not count.
    pub hugetlb: u64,
    /// Bytes of transparent huge pages of anonymous memory.
    pub anon_huge: u64,
}

impl SmapsEntry {
    /// Whether a flag is set: `lo`, `gd`, ….
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.as_chunks::<2>().0.contains(flag)
    }
}

/// The mappings of a process by ascending address; of a zombie or kernel thread none.
pub fn smaps(pid: u32) -> Result<Vec<SmapsEntry>> {
    let file = File::open(path(pid, "smaps"));
    file.and_then(|file| stream(&file)).map_err(|e| unable(pid, "smaps", e))
}

/// Bytes that are parsed at once.
const PIECE: usize = 64 << 10;
/// Bytes that are read at once. The kernel has a page for them. Asked for a whole page, it also gathers the entry that does not
/// fit any more, and again for the next read: of a mapping of 1 GiB that takes 30 ms each time. With what it has beyond this many
/// bytes it begins no other entry.
const READ: usize = 3 << 10;

/// The kernel takes some time for each mapping: where there are many, another thread reads while this one parses.
fn stream(file: &File) -> io::Result<Vec<SmapsEntry>> {
    let mut parser = Parser::default();
    let (text, ended) = piece(file)?;
    parser.feed(text)?;
    if ended {
        return parser.end();
    }
    scope(|scope| {
        let (send, received) = sync_channel(4);
        let read = move || {
            loop {
                let piece = piece(file);
                let more = matches!(piece, Ok((_, false)));
                // Nobody receives any more where the parser has failed.
                if send.send(piece).is_err() || !more {
                    return;
                }
            }
        };
        if Builder::new().spawn_scoped(scope, read).is_err() {
            loop {
                let (text, ended) = piece(file)?;
                parser.feed(text)?;
                if ended {
                    return parser.end();
                }
            }
        }
        for piece in received {
            parser.feed(piece?.0)?;
        }
        parser.end()
    })
}

/// Text of some reads, and whether it is the last.
fn piece(file: &File) -> io::Result<(Vec<u8>, bool)> {
    let (mut text, mut len) = (vec![0; PIECE], 0);
    while len <= PIECE - READ {
        match nix::unistd::read(file, &mut text[len..len + READ]) {
            Ok(0) => {
                text.truncate(len);
                return Ok((text, true));
            }
            Ok(count) => len += count,
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    text.truncate(len);
    Ok((text, false))
}

/// [`smaps()`] of recorded text.
pub fn parse(text: &[u8]) -> io::Result<Vec<SmapsEntry>> {
    let mut parser = Parser::default();
    parser.feed(text.to_vec())?;
    parser.end()
}

/// Takes text piece by piece. VmFlags is the last line of an entry.
#[derive(Default)]
struct Parser {
    all: Vec<SmapsEntry>,
    open: Option<Open>,
    /// A line that has begun.
    rest: Vec<u8>,
}

impl Parser {
    fn feed(&mut self, text: Vec<u8>) -> io::Result<()> {
        let text = if self.rest.is_empty() { text } else { [take(&mut self.rest), text].concat() };
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = text[end..].to_vec();
        lines(&text[..end]).try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        // Headings begin with an address, the other lines with a capital letter.
        if !line[0].is_ascii_uppercase() {
            let new = Open::new(heading(line)?);
            if self.open.replace(new).is_some() {
                return Err(unknown("a mapping without flags"));
            }
        } else if let Some(rss) = line.strip_prefix(b"Rss:") {
            self.open.as_mut().ok_or_else(outside)?.rss = Some(kibibytes(rss)?);
        } else if let Some(size) = line.strip_prefix(b"KernelPageSize:") {
            self.open.as_mut().ok_or_else(outside)?.page_size = kibibytes(size)?;
        } else if let Some(bytes) = line.strip_prefix(b"AnonHugePages:") {
            self.open.as_mut().ok_or_else(outside)?.anon_huge = kibibytes(bytes)?;
        } else if let Some(bytes) = hugetlb(line) {
            self.open.as_mut().ok_or_else(outside)?.hugetlb += kibibytes(bytes)?;
        } else if let Some(key) = line.strip_prefix(b"ProtectionKey:") {
            let open = self.open.as_mut().ok_or_else(outside)?;
            open.protection_key = decimal(key, "a protection key")?;
        } else if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            self.all.push(self.open.take().ok_or_else(outside)?.close(flags)?);
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<Vec<SmapsEntry>> {
        let rest = take(&mut self.rest);
        lines(&rest).try_for_each(|line| self.line(line))?;
        if self.open.is_some() { Err(unknown("a mapping without flags")) } else { Ok(self.all) }
    }
}

struct Open {
    mapping: Mapping,
    rss: Option<u64>,
    protection_key: u32,
    page_size: u64,
    hugetlb: u64,
    anon_huge: u64,
}

impl Open {
    fn new(mapping: Mapping) -> Self {
        Self { mapping, rss: None, protection_key: 0, page_size: 4096, hugetlb: 0, anon_huge: 0 }
    }

    fn close(self, flags: &[u8]) -> io::Result<SmapsEntry> {
        let rss = self.rss.ok_or_else(|| unknown("a mapping without Rss"))?;
        let mut letters = Vec::with_capacity(flags.len());
        for flag in flags.split(|byte| *byte == b' ').filter(|flag| !flag.is_empty()) {
            let &[a, b] = flag else { return Err(unknown("a flag")) };
            letters.extend([a, b]);
        }
        let Self { mapping, protection_key, page_size, hugetlb, anon_huge, .. } = self;
        let flags = letters;
        Ok(SmapsEntry { mapping, flags, rss, protection_key, page_size, hugetlb, anon_huge })
    }
}

/// `Shared_Hugetlb:` and `Private_Hugetlb:`.
fn hugetlb(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"Shared_Hugetlb:").or_else(|| line.strip_prefix(b"Private_Hugetlb:"))
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
    use std::sync::Barrier;

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
        assert_eq!((all[0].page_size, all[0].hugetlb), (4096, 0));
        assert_eq!((&all[1].mapping.name[..], all[1].protection_key), (&b"[vsyscall]"[..], 0));
    }

    #[test]
    fn pages_of_hugetlbfs_are_counted() {
        let text = format!(
            "{HEAD}KernelPageSize:     2048 kB\nRss:                   0 kB\nAnonHugePages:      8 kB\nShared_Hugetlb:     2048 kB\n\
             Private_Hugetlb:    4096 kB\nVmFlags: rd ht\n"
        );
        let all = parse(text.as_bytes()).unwrap();
        let sizes = (all[0].page_size, all[0].hugetlb, all[0].anon_huge);
        assert_eq!(sizes, (2 << 20, 6 << 20, 8 << 10));
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let text = format!("{HEAD}Rss:                   4 kB\nVmFlags: rd mr\n").repeat(3);
        let whole = parse(text.as_bytes()).unwrap();
        for len in 1..=text.len() {
            let mut parser = Parser::default();
            text.as_bytes().chunks(len).for_each(|some| parser.feed(some.to_vec()).unwrap());
            assert_eq!(parser.end().unwrap(), whole, "{len}");
        }
    }

    #[test]
    fn many_mappings_are_read_by_two() {
        const THREADS: usize = 200;
        let (all_stand, end) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        scope(|scope| {
            for _ in 0..THREADS {
                let wait = || {
                    all_stand.wait();
                    end.wait();
                };
                Builder::new().stack_size(64 << 10).spawn_scoped(scope, wait).unwrap();
            }
            all_stand.wait();
            let own = smaps(std::process::id()).unwrap();
            // A stack each, and a page in front of it.
            assert!(own.len() > 2 * THREADS, "{}", own.len());
            assert!(own.is_sorted_by_key(|entry| entry.mapping.start));
            end.wait();
        });
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
