//! Signal dispositions, the queue of a process, and what it is told of its children.

use crate::{Addr, Bytes, Pid, Resource, SIGNALS, ensure, sane};
use serde::{Deserialize, Serialize};

/// Signals of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSignals {
    /// Thread group.
    pub pid: Pid,
    /// Dispositions that differ from the default, by ascending number.
    pub actions: Vec<SigAction>,
    /// Signals queued for the process: `siginfo_t`, 128 bytes each, oldest first.
    pub queued: Vec<Bytes>,
    /// Children of which it has not taken all news by wait(2), by ascending pid.
    pub children: Vec<Child>,
}

/// A child with news.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Its thread group.
    pub pid: Pid,
    /// What there is to be taken.
    pub news: News,
}

/// What wait(2) would tell of a child.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum News {
    /// It was stopped (WUNTRACED).
    Stopped,
    /// It goes on (WCONTINUED).
    Continued,
    /// It has ended.
    Ended {
        /// Real user.
        uid: u32,
        /// Name, at most 15 bytes.
        comm: Bytes,
    },
}

/// A disposition as rt_sigaction(2) gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigAction {
    /// 1 to 64.
    pub signal: u32,
    /// Handler address, SIG_DFL (0) or SIG_IGN (1).
    pub handler: Addr,
    /// SA_ flags.
    pub flags: u64,
    /// Address of the restorer.
    pub restorer: Addr,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

impl Resource for ProcessSignals {
    type Key = Pid;
    fn key(&self) -> Self::Key {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let may = |signal: u32| (1..=SIGNALS).contains(&signal) && ![9, 19].contains(&signal);
        ensure(self.actions.iter().all(|a| may(a.signal)), "it handles a signal that nobody can")?;
        let numbers = self.actions.iter().map(|action| action.signal);
        ensure(sane::ascending(numbers), "its dispositions are not in ascending order")?;
        ensure(
            sane::ascending(self.children.iter().map(|c| c.pid.0)),
            "its children are not in ascending order",
        )?;
        let named = |child: &Child| match &child.news {
            News::Ended { comm, .. } => comm.0.len() <= 15 && !comm.0.contains(&0),
            News::Stopped | News::Continued => true,
        };
        ensure(self.children.iter().all(named), "the name of a child is too long")?;
        sane::queue(&self.queued)
    }
}
