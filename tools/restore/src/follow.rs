//! A restore that leads a process group has another one do its work.

use anyhow::Context;
use std::os::unix::process::ExitStatusExt;

/// Whether we lead a process group, as every interactive shell makes it. Who does cannot leave the session (see `leave` of
/// main.rs) while anybody else is in that group.
pub fn leads_a_group() -> bool {
    nix::unistd::getpgrp() == nix::unistd::getpid()
}

/// Has a child do it all, which leads no group.
pub fn follow() -> anyhow::Result<()> {
    let status = std::process::Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .status()
        .context("unable to start a restore that leads no process group")?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        code => Err(floe_toolkit::Exit(code.unwrap_or(1)).into()),
    }
}
