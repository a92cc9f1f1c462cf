//! TCP sockets.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::{Files, Purpose},
    inet,
    object::tcp_connection::connections,
    resource::OfFile,
};
use floe_proc::Descriptors;
use floe_records::{FileId, Finding, Findings, Pid, TcpSocket};
use std::collections::BTreeMap;

impl OfFile for TcpSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        inet::is(seen, libc::SOCK_STREAM, libc::IPPROTO_TCP)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(TcpSocket { file, socket: inet::tcp(seen)? })
    }

    /// Looks for processes outside of the tree that have a connection too: it would go on without the tree, or come back beside
    /// itself. Only before the stop, because it takes a walk through all processes.
    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let all = connections(files);
        if files.purpose != Some(Purpose::Preview) || all.is_empty() {
            return Ok(());
        }
        let links = all.iter().map(|it| (format!("socket:[{}]", it.socket.socket.ino), it));
        let links: BTreeMap<String, _> = links.collect();
        let own = Pid(std::process::id());
        let others = floe_proc::numbers_in("/proc")?.into_iter().map(Pid);
        for pid in others.filter(|pid| *pid != own && !files.pids.contains(pid)) {
            // It may end, or its descriptor be closed, while it is looked at; those of other users cannot be looked at.
            let Ok(table) = Descriptors::of(pid.0) else { continue };
            for fd in table.numbers().unwrap_or_default() {
                let Ok(link) = table.link(fd) else { continue };
                let Some(it) = std::str::from_utf8(&link).ok().and_then(|link| links.get(link))
                else {
                    continue;
                };
                let object = format!("fd {} ({})", it.fd, String::from_utf8_lossy(&link));
                let problem = format!("process {pid}, outside of the tree, has its connection too");
                let finding = Finding::of(it.pid, object, "file.tcp", problem);
                let hint =
                    "freeze that process as well, or have the connection closed with --close-tcp";
                out.refuse(finding.hint(hint));
            }
        }
        Ok(())
    }
}
