//! COMMAND: started with the stream, and waited for.

use crate::{commit::Far, interrupt, starter::Starter};
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
    by: By,
    stream: Option<OwnedFd>,
}

/// Whose child it is.
enum By {
    Us(Pid),
    /// That of the process that we have come from ([`crate::starter`]).
    Starter(Starter),
}

impl Command {
    /// Starts it with the stream as its standard input, or as descriptor `fd`; by the process that we have come from, if we have
    /// left the namespaces that it belongs in.
    pub fn start(
        words: &[OsString],
        fd: Option<i32>,
        commit: Option<Far>,
        starter: Option<Starter>,
    ) -> Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
        // An unprivileged user may get less; the stream only flows slower then.
        let _ = floe_sys::set_pipe_size(writer.as_fd(), PIPE);
        let by = match starter {
            Some(starter) => {
                starter.start(&reader)?;
                By::Starter(starter)
            }
            None => By::Us(spawn(words, (&reader, fd), commit.as_ref())?),
        };
        Ok(Self { by, stream: Some(writer) })
    }

    /// Its process id, where it is our child. What else has started it ends it as well.
    pub fn pid(&self) -> Option<u32> {
        match &self.by {
            By::Us(pid) => Some(pid.as_raw() as u32),
            By::Starter(_) => None,
        }
    }

    /// Our end of the pipe; closed when the stream has been written.
    pub fn stream(&mut self) -> Result<File> {
        self.stream.take().map(File::from).context("the stream has been written already")
    }

    /// Ends it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        match &self.by {
            By::Us(pid) => drop(kill(*pid, Signal::SIGKILL)),
            By::Starter(starter) => drop(starter.kill()),
        }
        let _ = self.wait();
    }

    /// Its exit status, 128 + n for the signal n.
    pub fn wait(&mut self) -> Result<u8> {
        drop(self.stream.take());
        let pid = match &self.by {
            By::Us(pid) => *pid,
            By::Starter(starter) => return starter.status(),
        };
        loop {
            match waitpid(pid, None) {
                Ok(WaitStatus::Exited(_, status)) => return Ok(status as u8),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("unable to wait for the command"),
            }
        }
    }
}

/// Starts a program with `stream` as its standard input, or as descriptor `fd`, and with its end of `--commit-fd`.
pub fn spawn(
    words: &[OsString],
    (stream, fd): (&OwnedFd, Option<i32>),
    commit: Option<&Far>,
) -> Result<Pid> {
    let name = words.first().context("there is no command")?;
    spawned(words, (stream, fd.unwrap_or(0)), commit)
        .with_context(|| format!("unable to run {}", name.to_string_lossy()))
}

fn spawned(words: &[OsString], (stream, fd): (&OwnedFd, i32), commit: Option<&Far>) -> Result<Pid> {
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(stream.as_raw_fd(), fd)?;
    if let Some(Far { socket, fd }) = commit {
        actions.add_dup2(socket.as_raw_fd(), *fd)?;
    }
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
    let ours = interrupt::SIGNALS.into_iter().chain([Signal::SIGCHLD]);
    ours.for_each(|signal| mask.remove(signal));
    Ok(mask)
}
