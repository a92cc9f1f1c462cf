//! What could be kept, or handed to the outside, and that the user wants no checkpoint of.

use crate::files::Files;
use floe_records::{AnyRecord, Deny, External, FileId, Finding, Findings, Options, TcpSocket};

const RULE: &str = "file.denied";

/// Refuses each such file.
pub(crate) fn check(files: &Files, options: &Options, out: &mut Findings) {
    let denied = |what: Deny| options.deny.contains(&what);
    let mut refuse = |file: FileId, problem: &str, what: Deny| {
        let place = files.tables.iter().find_map(|table| {
            let fd = table.fds.iter().find(|fd| fd.file == file)?;
            Some((table.pid, fd.fd))
        });
        // What is on its way in a socket has no number.
        let (pid, object) = match place {
            Some((pid, fd)) => (Some(pid), format!("fd {fd}")),
            None => (None, "a file on its way".to_owned()),
        };
        let finding = Finding::about(object, RULE, problem);
        out.refuse(Finding { pid, ..finding }.hint(format!("it is refused by --deny {what}")));
    };
    if denied(Deny::Connections) {
        for (open, what) in files.of::<TcpSocket>() {
            if matches!(what, AnyRecord::TcpSocket(tcp) if tcp.socket.is_connection()) {
                refuse(open.id, "it is an established TCP connection", Deny::Connections);
            }
        }
    }
    for (open, what) in files.of::<External>() {
        let AnyRecord::External(external) = what else { continue };
        let of_socket = external.what.0.starts_with(b"socket:");
        if of_socket && denied(Deny::OutsideSockets) {
            refuse(open.id, external.in_words(), Deny::OutsideSockets);
        }
        let hung_up = files.hung_up.contains(&open.id);
        if external.is_terminal() && !hung_up && denied(Deny::OutsideTerminals) {
            refuse(open.id, external.in_words(), Deny::OutsideTerminals);
        }
    }
}
