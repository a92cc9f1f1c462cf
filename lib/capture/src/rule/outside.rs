//! What belongs to the world outside of the tree, and that restore cannot take from its own standard streams.

use crate::files::Files;
use floe_records::{AnyRecord, External, Finding, Findings, Options, Outside};
use std::collections::BTreeMap;

/// Standard input, output and error: restore has these itself.
const STANDARD: std::ops::RangeInclusive<u32> = 0..=2;

/// Notes each such file once, by the lowest number that it has, unless the user has said what takes its place.
pub(crate) fn look(files: &Files, options: &Options, out: &mut Findings) {
    if options.outside != Outside::Refuse {
        return;
    }
    let mut numbers = BTreeMap::new();
    for table in &files.tables {
        for fd in &table.fds {
            let lowest = numbers.entry(fd.file).or_insert((fd.fd, table.pid));
            *lowest = (*lowest).min((fd.fd, table.pid));
        }
    }
    for (open, what) in files.of::<External>() {
        let (AnyRecord::External(external), Some((fd, pid))) = (what, numbers.get(&open.id)) else {
            continue;
        };
        if STANDARD.contains(&fd.0) || files.hung_up.contains(&open.id) {
            continue;
        }
        let (problem, also) = match kind(&external.what.0) {
            Some(what) => (format!("a {what} whose other end is outside of the tree"), ""),
            // In its place comes that of restore, under any number.
            None => ("a terminal outside of the tree".to_owned(), " a terminal of its own,"),
        };
        let object = format!("fd {fd} ({})", external.what);
        let hint =
            format!("restore wants{also} --inherit {fd}, or freeze --outside null or broken");
        out.outside.push(Finding::of(*pid, object, "file.outside", problem).hint(hint));
    }
}

fn kind(link: &[u8]) -> Option<&'static str> {
    [("pipe", b"pipe:[".as_slice()), ("socket", b"socket:[")]
        .into_iter()
        .find_map(|(name, start)| link.starts_with(start).then_some(name))
}
