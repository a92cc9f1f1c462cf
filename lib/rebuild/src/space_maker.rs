//! A process that makes a namespace: in the user namespace that is to own it, and in the cgroups that are to be its roots.

use floe_sys::{Error, Result};
use nix::{
    fcntl::OFlag,
    sched::{CloneFlags, setns, unshare},
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{Pid, pipe2},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// What it answers when the namespace is there.
const MADE: i32 = 0;

/// A process that waits to make a namespace. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct SpaceMaker {
    pid: i32,
    /// Name of the namespace below /proc/PID/ns.
    kind: &'static str,
    go: File,
    answer: File,
}

impl SpaceMaker {
    /// Starts it, in the user namespace `owner` where that is not our own. The calling thread must be the only one.
    pub fn start(kind: (&'static str, CloneFlags), owner: Option<BorrowedFd<'_>>) -> Result<Self> {
        Self::start_as(kind, owner, || Ok(()))
    }

    /// The same; there it first becomes who is to make the namespace.
    pub fn start_as(
        (kind, flag): (&'static str, CloneFlags),
        owner: Option<BorrowedFd<'_>>,
        become_maker: impl FnOnce() -> nix::Result<()>,
    ) -> Result<Self> {
        let fail = |e| Error::new(format!("make a {kind} namespace"), e);
        let (wait, go) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let (answer, tell) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
        let parent = floe_sys::pidfd_open(std::process::id() as i32)?;
        let Some(pid) = floe_sys::fork(&[], 0)? else {
            drop((go, answer));
            let entered = owner.map_or(Ok(()), |owner| setns(owner, CloneFlags::CLONE_NEWUSER));
            let entered = entered.and_then(|()| become_maker());
            let (mut wait, mut tell) = (File::from(wait), File::from(tell));
            // Behind what would make it forget that: another user namespace, or another user.
            let lives = floe_sys::end_with_parent(parent.as_fd()).unwrap_or(false);
            if lives && wait.read(&mut [0]).is_ok_and(|some| some > 0) {
                let made = entered.and_then(|()| unshare(flag));
                let made = made.map_or_else(|e| e as i32, |()| MADE);
                let _ = tell.write_all(&made.to_ne_bytes());
                // Until the namespace is open.
                let _ = wait.read(&mut [0]);
            }
            std::process::exit(0);
        };
        Ok(Self { pid, kind, go: go.into(), answer: answer.into() })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Makes the namespace, and opens it.
    pub fn make(mut self) -> Result<OwnedFd> {
        self.make_it()?;
        self.open()
    }

    /// Makes the namespace.
    pub fn make_it(&mut self) -> Result<()> {
        let fail = |e| Error::new(format!("make a {} namespace", self.kind), e);
        let mut answer = [0; 4];
        self.go.write_all(&[1]).map_err(fail)?;
        self.answer.read_exact(&mut answer).map_err(fail)?;
        match i32::from_ne_bytes(answer) {
            MADE => Ok(()),
            errno => Err(fail(std::io::Error::from_raw_os_error(errno))),
        }
    }

    /// Opens what has been made.
    pub fn open(&self) -> Result<OwnedFd> {
        let path = format!("/proc/{}/ns/{}", self.pid, self.kind);
        File::open(&path).map(OwnedFd::from).map_err(|e| Error::new(format!("open {path}"), e))
    }
}

impl Drop for SpaceMaker {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.pid);
        // It is our child, and nobody else waits for it.
        let _ = kill(pid, Signal::SIGKILL).and_then(|()| waitpid(pid, None).map(drop));
    }
}
