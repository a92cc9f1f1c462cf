//! Gives pages of a held tree to who asks for them. See doc/servemem.md.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Longest request, and most bytes that one may ask for.
const LONGEST: u64 = 64 << 10;
const MOST: u64 = 1 << 20;

/// Gives the pages that dumpmem has left: requests on stdin, pages on stdout, until all has been asked for.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// What `dumpmem --leave` has written.
    file: PathBuf,
}

fn main() -> ExitCode {
    let cli: Cli = floe_toolkit::arguments();
    floe_toolkit::main("servemem", || serve(&Left::read(&cli.file)?))
}

/// Pages that may be asked for: by process and address, the end of each range.
#[derive(Debug, Default)]
struct Left(BTreeMap<(u32, u64), u64>);

impl Left {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("unable to read {}", path.display()))?;
        let mut all = BTreeMap::new();
        for line in text.lines() {
            let bad = || format!("{} is no list of dumpmem --leave", path.display());
            let (pid, ranges) = parse(line).with_context(bad)?;
            all.extend(ranges.into_iter().map(|(start, end)| ((pid, start), end)));
        }
        Ok(Self(all))
    }

    fn has(&self, pid: u32, (start, end): (u64, u64)) -> bool {
        let below = self.0.range((pid, 0)..=(pid, start)).next_back();
        below.is_some_and(|(_, last)| end <= *last)
    }
}

/// A pid and ranges of addresses, `PID START-END,START-END`.
fn parse(line: &str) -> Option<(u32, Vec<(u64, u64)>)> {
    let (pid, ranges) = line.split_once(' ')?;
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let range = |range: &str| {
        let (start, end) = range.split_once('-')?;
        Some((hex(start)?, hex(end)?)).filter(|(start, end)| start < end)
    };
    Some((pid.parse().ok()?, ranges.split(',').map(range).collect::<Option<_>>()?))
}

/// Answers until the other side has all.
fn serve(left: &Left) -> Result<()> {
    let mut requests = BufReader::new(stdin());
    let mut out = stdout().lock();
    let mut pages = Vec::new();
    loop {
        let mut line = String::new();
        let read = requests.by_ref().take(LONGEST).read_line(&mut line);
        if read.context("unable to hear what is asked for")? == 0 {
            bail!("the other side is gone, and has not said that it has all pages");
        }
        let line = line.trim_end();
        if line == "done" {
            return Ok(());
        }
        let asked = line.strip_prefix("want ").and_then(parse);
        let (pid, ranges) = asked.with_context(|| format!("a request that is none: {line:?}"))?;
        let bytes: u64 = ranges.iter().map(|(start, end)| end - start).sum();
        ensure!(bytes <= MOST, "more is asked for at once than {MOST} bytes");
        let was_left = ranges.iter().all(|range| left.has(pid, *range));
        ensure!(was_left, "pages are asked for that were not left: {line:?}");
        let ranges: Vec<(u64, u32)> =
            ranges.iter().map(|(start, end)| (*start, (end - start) as u32)).collect();
        pages.resize(bytes as usize, 0);
        floe_sys::read_memory_ranges(pid as i32, &ranges, &mut pages)?;
        let sent = out.write_all(&bytes.to_le_bytes()).and_then(|()| out.write_all(&pages));
        sent.and_then(|()| out.flush()).context("unable to send pages")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_left_is_given() {
        let left = Left(BTreeMap::from([((7, 0x1000), 0x5000), ((8, 0x9000), 0xa000)]));
        assert!(left.has(7, (0x1000, 0x5000)) && left.has(7, (0x2000, 0x3000)));
        assert!(!left.has(7, (0x4000, 0x6000)) && !left.has(7, (0, 0x2000)));
        assert!(!left.has(8, (0x1000, 0x2000)) && !left.has(9, (0x1000, 0x2000)));
        assert_eq!(
            parse("7 1000-2000,a000-b000"),
            Some((7, vec![(0x1000, 0x2000), (0xa000, 0xb000)]))
        );
        for line in ["", "7", "7 ", "7 1000", "7 2000-1000", "7 1000-2000,", "x 1000-2000"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
