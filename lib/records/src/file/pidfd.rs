//! A handle of a process or thread (pidfd_open(2)).

use crate::{FileId, Link, Pid, Resource, Tid, ensure};
use serde::{Deserialize, Serialize};

/// A handle of a process. PIDFD_THREAD (O_EXCL) and PIDFD_NONBLOCK (O_NONBLOCK) stand among the flags of its description.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pidfd {
    /// The open file description.
    pub file: FileId,
    /// What it is a handle of.
    pub target: PidfdTarget,
    /// Number of its inode, which all handles of a process share, where the kernel (6.9) gives each process one and the process has
    /// been waited for.
    pub inode: Option<u64>,
}

/// What a pidfd is a handle of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PidfdTarget {
    /// A process of the tree, or its main thread; it may be a zombie.
    Process(Pid),
    /// A thread of a process of the tree that is not its main one.
    Thread(Pid, Tid),
    /// One that has ended and been waited for: its status as wait(2) gives it, where the kernel still has that
    /// (PIDFD_INFO_EXIT), without the flag of a core dump.
    Ended(Option<u32>),
}

impl Resource for Pidfd {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        match self.target {
            PidfdTarget::Process(pid) => visit(Link::Member(pid)),
            PidfdTarget::Thread(pid, tid) => visit(Link::Thread(pid, tid)),
            PidfdTarget::Ended(_) => {}
        }
    }

    fn check(&self) -> Result<(), String> {
        let PidfdTarget::Ended(Some(status)) = self.target else { return Ok(()) };
        ensure(ends(status), "no process ends with its status")
    }
}

/// Whether a process can end with a status: by exit(2), or by a signal that is not ignored and does not stop it by default.
fn ends(status: u32) -> bool {
    // SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG and SIGWINCH.
    const HARMLESS: [u32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];
    match status & 0x7f {
        0 => status & !0xff00 == 0,
        signal => status == signal && signal <= crate::SIGNALS && !HARMLESS.contains(&signal),
    }
}
