//! The command that freeze holds a tree for: the stages behind it, and the talk with the front about them.
//!
//! It ends well only when the front has said so: with the front gone, or with its refusal, the tree runs on and the image is
//! removed.

use crate::{directory::Directory, files::INVENTORY};
use anyhow::{Context, Result, bail, ensure};
use floe_toolkit::Exit;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
};

/// The word that asks for it.
pub const COMMAND: &str = "--stages";
/// What becomes of the tree.
pub const KILL: &str = "kill";
/// See [`KILL`].
pub const RUN: &str = "run";
/// What we say: the tree stands still, the image is there; and what the front says.
pub const STOPPED: u8 = b's';
/// See [`STOPPED`].
pub const WRITTEN: u8 = b'w';
/// See [`STOPPED`].
pub const YES: u8 = b'y';

/// The stages behind freeze with their arguments, the one that writes the image last.
const STAGES: [&str; 5] = ["dumpmnt", "dumpfs", "aufsfix", "dumpmem", "imgpack"];

/// Runs the stages; standard input is the stream.
pub fn run(control: i32, image: &str, then: &str) -> Result<()> {
    let front = File::from(floe_sys::duplicate_inherited(control)?);
    nix::unistd::close(control).context("unable to close a duplicate of the socket")?;
    (&front).write_all(&[STOPPED]).context("the front is gone")?;
    let kills = then == KILL;
    let images =
        Directory::new(File::open(".").context("unable to open the directory of images")?)?;
    let before = images.identity(image);
    let mut stages = start(image)?;
    let worked = wait(&mut stages, &front).and_then(|()| {
        if kills {
            is_safe(image)?;
        }
        (&front).write_all(&[WRITTEN]).context("the front is gone")?;
        let mut answer = [0];
        let heard = (&front).read(&mut answer).context("unable to hear from the front")?;
        ensure!(heard == 1 && answer[0] == YES, Exit(1));
        Ok(())
    });
    if worked.is_err() {
        stop(&mut stages);
        // It is no checkpoint. The front may be gone, and has written that of the engine last.
        if images.identity(image) != before {
            [image, INVENTORY].iter().for_each(|name| images.remove(name));
        }
    }
    worked
}

/// Starts all of them, each with the output of the one before.
fn start(image: &str) -> Result<Vec<Child>> {
    let mut stages: Vec<Child> = Vec::new();
    let mut input = Stdio::inherit();
    for name in STAGES {
        let mut command = crate::tools::tool(name)?;
        command.stdin(input);
        if name == "imgpack" {
            // That waits for the disk is ours, or the front's when the tree runs again.
            command.args(["-o", image, "--no-sync"]).stdout(Stdio::null());
        } else {
            command.stdout(Stdio::piped());
        }
        // When we are killed nobody else would end it, and an image would come of a dump that has failed.
        floe_sys::end_with_starter(&mut command);
        let started = command.spawn().with_context(|| format!("unable to start {name}"));
        let mut child = started.inspect_err(|_| stop(&mut stages))?;
        input = child.stdout.take().map_or_else(Stdio::null, Stdio::from);
        stages.push(child);
    }
    // Freeze sees its reader hang up when the first of them does.
    floe_toolkit::hang_up().context("unable to close standard input")?;
    Ok(stages)
}

/// Waits until all have ended well. The first one that has failed says why, and all others end with it.
fn wait(stages: &mut [Child], front: &File) -> Result<()> {
    let handle = |child: &Child| floe_sys::pidfd_open(child.id() as i32);
    let handles = stages.iter().map(handle).collect::<floe_sys::Result<Vec<OwnedFd>>>()?;
    let mut status = vec![None; stages.len()];
    while status.iter().any(Option::is_none) {
        let mut polled = vec![PollFd::new(front.as_fd(), PollFlags::POLLIN)];
        let waited = handles.iter().zip(&status).filter(|(_, status)| status.is_none());
        polled.extend(waited.map(|(handle, _)| PollFd::new(handle.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            done => done.context("unable to wait for the stages")?,
        };
        // It says nothing before we do: it is gone, or has given up.
        ensure!(polled[0].revents().is_none_or(|found| found.is_empty()), Exit(1));
        for (child, status) in stages.iter_mut().zip(&mut status) {
            if status.is_none() {
                *status = child.try_wait().context("unable to wait for a stage")?;
            }
        }
    }
    let codes = status.iter().flatten().map(|status| status.code().unwrap_or(1));
    match codes.into_iter().find(|code| *code != 0) {
        None => Ok(()),
        Some(code) => bail!(Exit(code as u8)),
    }
}

/// Nobody is killed who could never be brought back: the image is on the disk, and can be restored here.
fn is_safe(image: &str) -> Result<()> {
    let open = || File::open(image).with_context(|| format!("unable to open {image}"));
    let mut restore: Command = crate::tools::tool("restore")?;
    restore.arg("--plan").stdin(open()?).stdout(Stdio::null());
    floe_sys::end_with_starter(&mut restore);
    let mut planning = restore.spawn().context("unable to start restore")?;
    let written = open().and_then(|image| sync(&image).context("unable to sync the image"));
    let planned = planning.wait().context("unable to wait for restore")?;
    written?;
    ensure!(planned.success(), Exit(planned.code().unwrap_or(1) as u8));
    Ok(())
}

/// Waits for the disk, which has the name as well behind this.
fn sync(image: &File) -> io::Result<()> {
    image.sync_all()?;
    match File::open(".") {
        Ok(directory) => directory.sync_all(),
        // One that may not be read cannot be synced by itself.
        Err(_) => Ok(nix::unistd::syncfs(image)?),
    }
}

/// Ends those that still run.
fn stop(stages: &mut [Child]) {
    for child in stages.iter_mut() {
        // A child that was waited for has no pid any more.
        if matches!(child.try_wait(), Ok(None)) {
            // They remove what has a name.
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        }
    }
    for child in stages {
        let _ = child.wait();
    }
}
