//! A job that was in the foreground of its terminal is so again: restore lends it its own terminal, as a shell does, and
//! takes it back when the job ends or is stopped. Stopped by a key, restore stops as well, so that the shell above it
//! can do its work, and both go on together.

use floe_rebuild::{Modes, OpenFiles};
use floe_records::{Process, Tree};
use nix::{
    fcntl::{OFlag, open},
    sys::{
        signal::{SigSet, Signal, kill, killpg, raise},
        stat::Mode,
    },
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};
use std::os::fd::OwnedFd;

/// The terminal while it is lent; dropped, it is taken back.
pub struct Foreground {
    terminal: OwnedFd,
    own: Pid,
    group: Pid,
    modes: Modes,
}

impl Foreground {
    /// Lends our terminal to the process group that had its own. `None` where we are in none.
    pub fn lend(
        tree: &Tree,
        open_files: &OpenFiles<'_>,
        group: floe_records::Pid,
    ) -> anyhow::Result<Option<Self>> {
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let Ok(terminal) = open("/dev/tty", flags, Mode::empty()) else { return Ok(None) };
        let own = getpgrp();
        if tcgetpgrp(&terminal) != Ok(own) {
            return Ok(None);
        }
        // The group of a shell outside has become ours.
        let lost = tree.lost_leaders().iter().any(|(lost, _)| *lost == group);
        let inside = lost || tree.get::<Process>(group).is_some();
        let group = if inside { Pid::from_raw(group.0 as i32) } else { own };
        SigSet::from(Signal::SIGTTOU).thread_block()?;
        let lent = Self { terminal, own, group, modes: open_files.modes()? };
        tcsetpgrp(&lent.terminal, group)?;
        Ok(Some(lent))
    }

    /// The tree runs: it looks how large this terminal is.
    pub fn greet(&self) {
        // It may have ended already.
        let _ = killpg(self.group, Signal::SIGWINCH);
    }

    /// The job was stopped: so are we, until somebody lets us go on.
    pub fn stop(&mut self, root: Pid) -> anyhow::Result<()> {
        self.take_back();
        raise(Signal::SIGSTOP)?;
        if tcgetpgrp(&self.terminal) == Ok(self.own) {
            self.modes.enter()?;
            tcsetpgrp(&self.terminal, self.group)?;
        }
        kill(root, Signal::SIGCONT)?;
        if self.group != self.own {
            // Alone in its group, or gone meanwhile.
            let _ = killpg(self.group, Signal::SIGCONT);
        }
        Ok(())
    }

    fn take_back(&mut self) {
        // A terminal that has hung up is nobody's any more.
        let _ = tcsetpgrp(&self.terminal, self.own);
        self.modes.leave();
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        self.take_back();
    }
}
