//! `--new-pidns`: restore starts itself again as the init of a new pid namespace, where every pid is free. The init
//! lives as long as the root task, reaps whoever is left to it, and ends with the root task's status.

use crate::{Args, pidfile::Pidfile, wait};
use anyhow::{Context, Result, bail};
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{pipe2, setsid},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    os::unix::process::ExitStatusExt,
    process::Command,
};

/// The outside: waits for the init, or only until it says that the tree lives.
pub fn outside(args: &Args) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWPID).context("unable to make a pid namespace")?;
    let (said, say) = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
    // The init gets this descriptor by number.
    fcntl(&say, FcntlArg::F_SETFD(FdFlag::empty())).context("unable to keep a descriptor open")?;
    let mut init = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1).filter(|arg| arg != "--new-pidns"))
        .arg("--as-init")
        .arg(say.as_raw_fd().to_string())
        .spawn()
        .context("unable to start an init")?;
    drop(say);
    let mut root = String::new();
    File::from(said).read_to_string(&mut root).context("unable to hear from the init")?;
    if !root.is_empty() {
        // One that has ended already has no number any more, but a status.
        if let Some(path) = &args.pidfile
            && let Some(pid) = outer_pid(init.id(), root.trim())
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
    let status = init.wait().context("unable to wait for the init")?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    match code {
        0 if !root.is_empty() => Ok(()),
        0 => bail!("the init of the pid namespace has ended before its time"),
        code => Err(floe_toolkit::Exit(code as u8).into()),
    }
}

/// Our number for a child of the init, from what it is called inside.
fn outer_pid(init: u32, inner: &str) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
    let is_it = |pid: &&str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let names = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        names.split_whitespace().next_back() == Some(inner)
    };
    children.split_whitespace().find(is_it).map(ToOwned::to_owned)
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

/// The inside, when the tree lives: says so and becomes its init.
pub fn inside(ready: OwnedFd, root: u32, detach: bool) -> Result<()> {
    if detach {
        // It fails only for a group leader, which an init that was just started is none.
        setsid().context("unable to leave the session")?;
    }
    File::from(ready).write_all(format!("{root}\n").as_bytes()).context("unable to say so")?;
    wait(root as i32, None)
}
