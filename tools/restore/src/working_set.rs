//! What a tree has touched first: a file that one restore writes, and the next one fills before all else.
//!
//! Lines of text: the first one says what it is, each other one has a pid and a range of addresses, in the order in which they were
//! touched.

use anyhow::{Context, Result, bail};
use floe_records::{Pages, Pid};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// The first line.
const HEAD: &str = "floe working set 1";

/// A range of memory that was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touched {
    pid: Pid,
    start: u64,
    end: u64,
}

/// Where pages stand: bytes, and the number of the record that has them.
pub type Places = BTreeMap<(Pid, u64), (u32, usize)>;

/// Where the pages of some records stand.
pub fn places<'a>(all: impl Iterator<Item = &'a Pages>) -> Places {
    let ranges = |(number, pages): (usize, &'a Pages)| {
        let ranges = pages.ranges.as_slice().iter();
        ranges.map(move |(start, len)| ((pages.pid, *start), (*len, number)))
    };
    all.enumerate().flat_map(ranges).collect()
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<Touched>> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("unable to read {}", path.display()))?;
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        bail!("{} is no working set: its first line is not \"{HEAD}\"", path.display());
    }
    let touched = |(number, line): (usize, &str)| {
        let line = Touched::parse(line);
        line.with_context(|| format!("{}: line {number} is no pid and range", path.display()))
    };
    (2..).zip(lines).map(touched).collect()
}

impl Touched {
    fn parse(line: &str) -> Option<Self> {
        let (pid, range) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let hex = |word: &str| u64::from_str_radix(word, 16).ok();
        let (start, end) = (hex(start)?, hex(end)?);
        (start < end).then_some(Self { pid: Pid(pid.parse().ok()?), start, end })
    }

    /// The records that have pages of it.
    pub fn find(self, places: &Places) -> impl Iterator<Item = usize> {
        let below = places.range((self.pid, 0)..(self.pid, self.start)).next_back();
        let below = below.filter(|((_, start), (len, _))| start + u64::from(*len) > self.start);
        let inside = places.range((self.pid, self.start)..(self.pid, self.end));
        below.into_iter().chain(inside).map(|(_, (_, number))| *number)
    }
}

/// A file that is to be written.
pub struct Recorder {
    pub file: File,
    path: PathBuf,
}

impl Recorder {
    /// What it has stays until there is something new.
    pub fn new(path: &Path) -> Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("unable to write {}", path.display()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes what was touched, in that order.
    pub fn write<'a>(&self, all: impl Iterator<Item = &'a Pages>) -> Result<()> {
        let mut text = format!("{HEAD}\n");
        for pages in all {
            for (start, len) in pages.ranges.as_slice() {
                let end = start + u64::from(*len);
                text += &format!("{} {start:x}-{end:x}\n", pages.pid);
            }
        }
        let written = self.file.set_len(0).and_then(|()| (&self.file).write_all(text.as_bytes()));
        written.with_context(|| format!("unable to write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::Ranges;

    fn pages(pid: u32, list: &[(u64, u32)]) -> Pages {
        let mut ranges = Ranges::default();
        list.iter().for_each(|(start, len)| ranges.push(*start, *len).expect("sane ranges"));
        Pages { pid: Pid(pid), ranges }
    }

    #[test]
    fn what_was_written_is_read_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("set");
        let all = [pages(7, &[(0x1000, 0x2000), (0x8000, 0x1000)]), pages(8, &[(0x1000, 0x1000)])];
        std::fs::write(&path, "longer than that which comes into its place\n".repeat(9)).unwrap();
        Recorder::new(&path).unwrap().write(all.iter().rev()).unwrap();
        let read = read(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{HEAD}\n8 1000-2000\n7 1000-3000\n7 8000-9000\n"));
        let places = places(all.iter());
        let found: Vec<usize> = read.iter().flat_map(|touched| touched.find(&places)).collect();
        assert_eq!(found, [1, 0, 0]);
        let part = Touched { pid: Pid(7), start: 0x2000, end: 0x8000 };
        assert_eq!(part.find(&places).collect::<Vec<_>>(), [0]);
        let none = Touched { pid: Pid(7), start: 0x3000, end: 0x8000 };
        assert_eq!(none.find(&places).count(), 0);
    }

    #[test]
    fn damage_is_told() {
        for line in ["", "7", "x 1000-2000", "7 1000", "7 2000-1000", "7 1000-2000z"] {
            assert_eq!(Touched::parse(line), None, "{line}");
        }
    }
}
