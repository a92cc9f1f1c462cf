//! `--new-pidns`: restore starts itself again as the init of a new pid namespace, where every pid is free. The init
//! lives as long as the root task, reaps orphans, and ends with the root task's status.

use crate::{
    Args,
    pidfile::Pidfile,
    wait::{Waiter, as_ours},
};
use anyhow::{Context, Result, bail};
use floe_proc::Status;
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Pid, pipe2, setsid},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
};

/// The outside: waits for the init, or only until it reports that the tree lives.
pub fn outside(args: &Args) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWPID).context("unable to make a pid namespace")?;
    let (ready, report) = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
    // The init gets this descriptor by number.
    fcntl(&report, FcntlArg::F_SETFD(FdFlag::empty()))
        .context("unable to keep a descriptor open")?;
    let mut init = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1).filter(|arg| arg != "--new-pidns"))
        .arg("--as-init")
        .arg(report.as_raw_fd().to_string())
        .spawn()
        .context("unable to start an init")?;
    drop(report);
    let mut root = String::new();
    File::from(ready).read_to_string(&mut root).context("unable to hear from the init")?;
    if !root.is_empty() {
        // One that has ended already has no number any more, but a status.
        if let Some(path) = &args.pidfile
            && let Some(pid) = outer_pid(init.id(), root.trim().parse()?)?
        {
            match Pidfile::new(path, &pid) {
                Ok(pidfile) => pidfile.keep(),
                Err(error) => {
                    init.kill().and_then(|()| init.wait()).context("unable to end the init")?;
                    return Err(error);
                }
            }
        }
        if args.detach {
            return Ok(());
        }
    }
    match Waiter::new(None)?.wait(Pid::from_raw(init.id() as i32))? {
        0 if root.is_empty() => bail!("the init of the pid namespace has ended before its time"),
        code => as_ours(code),
    }
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

/// The inside, before the restore: a /proc that shows the new namespace.
pub fn prepare() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("unable to make a mount namespace")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("unable to make the mounts private")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, none).context("unable to mount /proc")
}

/// The inside, when the tree lives: reports it and becomes its init.
pub fn inside(ready: OwnedFd, root: u32, detach: bool, waiter: Option<Waiter>) -> Result<()> {
    if detach {
        // It fails only for a group leader, and an init that was just started is not one.
        setsid().context("unable to leave the session")?;
    }
    File::from(ready).write_all(format!("{root}\n").as_bytes()).context("unable to report it")?;
    let waiter = waiter.context("an init has nothing to wait with")?;
    as_ours(waiter.wait(Pid::from_raw(root as i32))?)
}
