//! What belongs to the world outside of the tree, and that restore cannot take from its own standard streams.

use crate::{files::Files, rule::denied};
use floe_records::{AnyRecord, External, Finding, Findings, Options, Outside};
use std::collections::BTreeMap;

/// Notes each such file once, or refuses it where the user does not want it; by the lowest number that it has, unless the user has said what takes its place.
pub(crate) fn look(files: &Files, options: &Options, out: &mut Findings) {
    denied::check(files, options, out);
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
        if fd.0 <= 2 || files.hung_up.contains(&open.id) {
            continue;
        }
        // In the place of a terminal comes that of restore, under any number.
        let own = external.is_terminal() && !external.is_line();
        let also = if own { " a terminal of its own," } else { "" };
        let object = format!("fd {fd} ({})", external.what);
        let is_socket = external.what.0.starts_with(b"socket:");
        let again = if is_socket { ", reconnect" } else { "" };
        let hint = format!(
            "restore wants{also} --inherit {fd}, or freeze --outside null{again} or broken"
        );
        out.outside.push(Finding::of(*pid, object, "file.outside", external.in_words()).hint(hint));
    }
}
