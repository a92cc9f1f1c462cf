//! `--new-pidns`: restore goes on as another process, inside of a new pid namespace, where every pid is free. The first process
//! of a namespace is its init: all others end with it.
//!
//! Where the tree has no pid 1, restore itself is the init; it lives as long as the root task, reaps orphans, and ends with the
//! root task's status. A root that was an init is one again: then a stub is made first, and restore works beside it, under an
//! id that the tree has not, and leaves.

use crate::{
    Args, leave,
    pidfile::Pidfile,
    receipt::Receipt,
    wait::{Waiter, as_ours},
};
use anyhow::{Context, Result, bail, ensure};
use floe_proc::Status;
use floe_rebuild::{OwnUser, Rebuilt};
use floe_records::Tree;
use nix::{
    fcntl::OFlag,
    sched::{CloneFlags, setns, unshare},
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{Pid, pipe2, setsid},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
};

/// The init of a pid namespace, inside.
pub const INIT: u32 = 1;

/// Where a process finds itself.
pub enum Side {
    /// The one that was there before, and waits.
    Outside(Outside),
    /// The one that restores.
    Inside(Inside),
}

/// What is outside of the namespace.
pub enum Outside {
    /// Restore is the init.
    Init { init: Pid, report: OwnedFd },
    /// The init is the root of the tree; `restore` brings it there.
    Root { root: Pid, restore: Pid, waiter: Waiter },
}

/// What is inside of it.
pub enum Inside {
    /// We are the init, and report that the tree lives.
    Init(OwnedFd),
    /// We work beside the init.
    Beside,
}

/// Makes the namespace. The calling thread must be the only one.
/// `sibling`: a root that is its init becomes a child of our parent; `keeps_mounts`: it stays in our mount namespace, with the
/// /proc that there is.
pub fn enter(
    tree: &Tree,
    user: Option<&OwnUser>,
    sibling: bool,
    keeps_mounts: bool,
) -> Result<Side> {
    let user = user.filter(|_| floe_rebuild::is_born_there(tree));
    match tree.root() {
        Some(root) if root.pid.0 == INIT => beside(tree, user, sibling, keeps_mounts),
        _ => as_init(tree),
    }
}

fn as_init(tree: &Tree) -> Result<Side> {
    let (report, inside) = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
    let forked = floe_sys::fork(&[], flags(CloneFlags::CLONE_NEWPID));
    match forked.context("unable to make a pid namespace")? {
        Some(init) => Ok(Side::Outside(Outside::Init { init: Pid::from_raw(init), report })),
        None => {
            drop(report);
            floe_sys::private_mounts()?;
            floe_sys::mount_proc()?;
            stay_behind(tree);
            Ok(Side::Inside(Inside::Init(inside)))
        }
    }
}

/// The stub has the mounts of the process outside, and the table of descriptors in common with us inside: so what we open is open
/// in the stub.
fn beside(tree: &Tree, user: Option<&OwnUser>, sibling: bool, keeps_mounts: bool) -> Result<Side> {
    if !keeps_mounts {
        floe_sys::private_mounts()?;
    }
    let (wait, go) = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
    let fresh = CloneFlags::CLONE_FILES | CloneFlags::CLONE_NEWPID;
    let outside = floe_sys::pidfd_open(std::process::id() as i32)?;
    let stub = match user {
        Some(user) => user.born(sibling),
        None if sibling => floe_sys::spawn_sibling(&[], flags(fresh), outside.try_clone()?),
        None => floe_sys::spawn_stub(&[], flags(fresh), Signal::SIGCHLD as i32),
    };
    let stub = stub.context("unable to make a pid namespace")?;
    let root = Pid::from_raw(stub);
    let begun = floe_sys::pidfd_open(stub).map_err(Into::into).and_then(|handle| {
        setns(handle, CloneFlags::CLONE_NEWPID).context("unable to enter the pid namespace")?;
        Ok(floe_sys::fork(&[free_id(tree)?], flags(CloneFlags::CLONE_FILES))?)
    });
    let begun = match begun {
        Ok(None) => {
            File::from(wait).read_exact(&mut [0]).context("unable to hear from outside")?;
            if sibling {
                // What is outside can end the tree only through us.
                let lives = floe_sys::end_with_parent(outside.as_fd())?;
                ensure!(lives, "the process outside has ended");
            }
            if keeps_mounts {
                floe_sys::private_mounts()?;
            }
            floe_sys::mount_proc()?;
            stay_behind(tree);
            return Ok(Side::Inside(Inside::Beside));
        }
        Ok(Some(restore)) => apart(go).map(|waiter| (Pid::from_raw(restore), waiter)),
        Err(error) => Err(error),
    };
    match begun {
        Ok((restore, waiter)) => Ok(Side::Outside(Outside::Root { root, restore, waiter })),
        Err(error) => {
            end(root);
            Err(error)
        }
    }
}

/// Outside: leaves the common table of descriptors, and lets the restore inside begin.
fn apart(go: OwnedFd) -> Result<Waiter> {
    unshare(CloneFlags::CLONE_FILES).context("unable to leave a table of descriptors")?;
    // Behind this, /proc is that of the namespace.
    let waiter = Waiter::new(None)?;
    File::from(go).write_all(&[1]).context("unable to start the restore inside")?;
    Ok(waiter)
}

/// An id that no task of the tree has, far from those that the kernel gives first.
fn free_id(tree: &Tree) -> Result<i32> {
    let path = "/proc/sys/kernel/pid_max";
    let max = std::fs::read_to_string(path).with_context(|| format!("unable to read {path}"))?;
    let max: u32 = max.trim().parse().with_context(|| format!("unable to read {path}"))?;
    let taken = tree.ids();
    let free = (INIT + 1..max).rev().find(|id| !taken.contains(id));
    Ok(free.context("no process id is free")? as i32)
}

/// Has our own threads and children get ids behind those of the tree: else one that has not quite ended yet would be in the way
/// of a process of the tree.
fn stay_behind(tree: &Tree) {
    let last = tree.ids().last().copied().unwrap_or(INIT);
    // A kernel without it gives no ids that are asked for, either, which will be said.
    let _ = std::fs::write("/proc/sys/kernel/ns_last_pid", last.to_string());
}

/// Ends the init, and with it all that is in its namespace.
fn end(init: Pid) {
    // Of one that has ended there is nothing to do, and the failure that led here is told already.
    let _ = kill(init, Signal::SIGKILL).and_then(|()| waitpid(init, None));
}

impl Outside {
    /// Waits for the root task, or only until the tree lives; `stacks` stay mounted then.
    pub fn wait(
        self,
        args: &Args,
        tree: &Tree,
        receipt: Option<&Receipt>,
        stacks: Rebuilt,
    ) -> Result<()> {
        match self {
            Outside::Init { init, report } => wait_for_init(args, init, report, (receipt, stacks)),
            Outside::Root { root, restore, waiter } => {
                let code = match waitpid(restore, None)? {
                    WaitStatus::Exited(_, code) => code as u8,
                    WaitStatus::Signaled(_, signal, _) => 128 + signal as u8,
                    other => bail!("unable to hear from the restore inside: {other:?}"),
                };
                if code != 0 {
                    end(root);
                    return as_ours(code);
                }
                pidfile(args, root, &root.to_string())?;
                stacks.keep();
                if args.sibling {
                    return Ok(());
                }
                if !args.detach {
                    return as_ours(waiter.wait(root)?);
                }
                leave(tree)?;
                receipt.into_iter().for_each(Receipt::runs);
                Ok(())
            }
        }
    }
}

fn wait_for_init(
    args: &Args,
    init: Pid,
    report: OwnedFd,
    (receipt, stacks): (Option<&Receipt>, Rebuilt),
) -> Result<()> {
    let mut root = String::new();
    File::from(report).read_to_string(&mut root).context("unable to hear from the init")?;
    if !root.is_empty() {
        // One that has ended already has no number any more, but a status.
        if let Some(pid) = outer_pid(init.as_raw() as u32, root.trim().parse()?)? {
            pidfile(args, init, &pid)?;
        }
        stacks.keep();
        if args.detach {
            receipt.into_iter().for_each(Receipt::runs);
            return Ok(());
        }
    }
    match Waiter::new(None)?.wait(init)? {
        0 if root.is_empty() => bail!("the init of the pid namespace has ended before its time"),
        code => as_ours(code),
    }
}

/// Writes the pid of the root task. Where it cannot be written nothing stays.
fn pidfile(args: &Args, init: Pid, pid: &str) -> Result<()> {
    let Some(path) = &args.pidfile else { return Ok(()) };
    let pidfile = Pidfile::new(path, pid).inspect_err(|_| end(init))?;
    pidfile.keep();
    Ok(())
}

/// Our number for a child of the init, from what it is called inside.
fn outer_pid(init: u32, inner: u32) -> Result<Option<String>> {
    for pid in floe_proc::children(init, init)? {
        let names = Status::of(pid).and_then(|status| status.numbers("NSpid"));
        match names {
            Ok(names) if names.last() == Some(&inner) => return Ok(Some(pid.to_string())),
            Ok(_) => {}
            Err(e) if e.is_gone() => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(None)
}

fn flags(flags: CloneFlags) -> u64 {
    flags.bits() as u64
}

impl Inside {
    /// Whether the tree has an init, and we are only beside it.
    pub fn is_beside(&self) -> bool {
        matches!(self, Inside::Beside)
    }

    /// The tree lives: reports it, and stays as its init.
    pub fn done(self, root: u32, detach: bool, waiter: Option<Waiter>) -> Result<()> {
        let Inside::Init(report) = self else { return Ok(()) };
        ensure!(std::process::id() == INIT, "the init has another pid");
        if detach {
            // It fails only for a group leader, and an init that was just started is not one.
            setsid().context("unable to leave the session")?;
        }
        let line = format!("{root}\n");
        File::from(report).write_all(line.as_bytes()).context("unable to report it")?;
        let waiter = waiter.context("an init has nothing to wait with")?;
        as_ours(waiter.wait(Pid::from_raw(root as i32))?)
    }
}
