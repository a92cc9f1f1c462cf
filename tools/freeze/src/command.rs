//! COMMAND: started with the stream, and waited for.

use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    fs::File,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{self, Child, Stdio},
};

/// What the pipe is grown to, bytes.
const PIPE: usize = 1 << 20;

/// A running COMMAND.
pub struct Command {
    child: Child,
    stream: Option<OwnedFd>,
}

impl Command {
    /// Starts it with the stream as its standard input, or as descriptor `fd`.
    pub fn start(words: &[OsString], fd: Option<i32>) -> Result<Self> {
        let (reader, writer) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("unable to make a pipe")?;
        // An unprivileged user may get less; the stream only flows slower then.
        let _ = floe_sys::set_pipe_size(std::os::fd::AsFd::as_fd(&writer), PIPE);
        let mut command = match fd {
            None | Some(0) => {
                let mut command = process::Command::new(&words[0]);
                command.args(&words[1..]).stdin(Stdio::from(reader));
                return Self::spawn(command, &words[0], writer);
            }
            // The shell moves the descriptor: only it may be done between fork and exec without unsafe code.
            Some(_) => process::Command::new("/bin/sh"),
        };
        let fd = fd.unwrap_or(0);
        // Every shell knows descriptors of one digit, some know no others.
        let near = nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_DUPFD(3))
            .context("unable to duplicate a descriptor")?;
        let close = if near == fd { String::new() } else { format!("{near}<&-") };
        let script = format!("exec \"$@\" {fd}<&{near} {close}");
        command.arg("-c").arg(script).arg("freeze").args(words);
        let started = Self::spawn(command, &words[0], writer);
        nix::unistd::close(near).context("unable to close a descriptor")?;
        drop(reader);
        started
    }

    fn spawn(mut command: process::Command, name: &OsString, stream: OwnedFd) -> Result<Self> {
        let child =
            command.spawn().with_context(|| format!("unable to run {}", name.to_string_lossy()))?;
        debug_assert!(stream.as_raw_fd() > 2);
        Ok(Self { child, stream: Some(stream) })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Our end of the pipe; closed when the stream has been written.
    pub fn stream(&mut self) -> Result<File> {
        self.stream.take().map(File::from).context("the stream has been written already")
    }

    /// Ends it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit status, 128 + n for the signal n.
    pub fn wait(&mut self) -> Result<u8> {
        drop(self.stream.take());
        let status = self.child.wait().context("unable to wait for the command")?;
        let signal = status.signal().map(|n| 128 + n);
        Ok(status.code().or(signal).unwrap_or(1) as u8)
    }
}
