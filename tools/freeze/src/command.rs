//! COMMAND: started with the stream, and waited for.

use crate::interrupt;
use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp},
    sys::{
        signal::{SigSet, Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{Pid, pipe2},
};
use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

/// Capacity of the pipe, bytes.
const PIPE: usize = 1 << 20;

/// A running COMMAND.
pub struct Command {
    pid: Pid,
    stream: Option<OwnedFd>,
}

impl Command {
    /// Starts it with the stream as its standard input, or as descriptor `fd`.
    pub fn start(words: &[OsString], fd: Option<i32>) -> Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
        // An unprivileged user may get less; the stream only flows slower then.
        let _ = floe_sys::set_pipe_size(writer.as_fd(), PIPE);
        let name = words.first().context("there is no command")?;
        let pid = spawn(words, &reader, fd.unwrap_or(0))
            .with_context(|| format!("unable to run {}", name.to_string_lossy()))?;
        Ok(Self { pid, stream: Some(writer) })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Our end of the pipe; closed when the stream has been written.
    pub fn stream(&mut self) -> Result<File> {
        self.stream.take().map(File::from).context("the stream has been written already")
    }

    /// Ends it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = self.wait();
    }

    /// Its exit status, 128 + n for the signal n.
    pub fn wait(&mut self) -> Result<u8> {
        drop(self.stream.take());
        loop {
            match waitpid(self.pid, None) {
                Ok(WaitStatus::Exited(_, status)) => return Ok(status as u8),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("unable to wait for the command"),
            }
        }
    }
}

/// Starts a program with `stream` as its descriptor `fd`.
fn spawn(words: &[OsString], stream: &OwnedFd, fd: i32) -> Result<Pid> {
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(stream.as_raw_fd(), fd)?;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
    attributes.set_sigmask(&mask()?)?;
    let args = words.iter().map(|word| Ok(CString::new(word.as_bytes())?));
    let args = args.collect::<Result<Vec<_>>>()?;
    let variable = |(name, value): (OsString, OsString)| {
        let parts: [&OsStr; 3] = [&name, "=".as_ref(), &value];
        Ok(CString::new(parts.map(OsStrExt::as_bytes).concat())?)
    };
    let environment = std::env::vars_os().map(variable).collect::<Result<Vec<_>>>()?;
    Ok(posix_spawnp(&args[0], &actions, &attributes, &args, &environment)?)
}

/// The signals that COMMAND blocks: those that we were started with. What we block only for ourselves it must hear
/// of: a terminal sends SIGINT to it as well, and we end its stages by SIGTERM.
fn mask() -> Result<SigSet> {
    let mut mask = SigSet::thread_get_mask().context("unable to read the signal mask")?;
    interrupt::SIGNALS.into_iter().for_each(|signal| mask.remove(signal));
    Ok(mask)
}
