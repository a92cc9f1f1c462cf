//! Standard streams: stdout carries the stream only, and never to a terminal.

use anyhow::{Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd};

/// What every pipe of ours is grown to, bytes; less where the kernel allows less.
const PIPE: i32 = 1 << 20;

/// Standard output as a file of its own.
pub fn output() -> Result<File> {
    if stdout().is_terminal() {
        bail!("the stream is not for terminals: redirect standard output to a pipe or file");
    }
    grow(stdout().as_fd());
    Ok(stdout().as_fd().try_clone_to_owned()?.into())
}

/// Standard input as a file of its own, marked as read by one of ours.
pub fn input() -> Result<File> {
    if stdin().is_terminal() {
        bail!("a stream is read from standard input, which is a terminal");
    }
    super::mark_reader(stdin().as_fd());
    grow(stdin().as_fd());
    Ok(stdin().as_fd().try_clone_to_owned()?.into())
}

/// Grows a pipe; what is no pipe is left alone.
fn grow(fd: BorrowedFd<'_>) {
    let mut size = PIPE;
    while size > 65536 && fcntl(fd, FcntlArg::F_SETPIPE_SZ(size)) == Err(nix::Error::EPERM) {
        size /= 2;
    }
}
