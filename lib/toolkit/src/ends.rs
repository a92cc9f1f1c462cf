//! Standard input and output as ends of a stream.

use crate::Usage;
use floe_stream::Source;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, FlockOperation, flock, fstat},
    io::ioctl_fionread,
    pipe::fcntl_setpipe_size,
};
use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Standard input, from which a stream comes.
pub struct Input(File);

/// Standard output, to which a stream goes.
pub struct Output(File);

/// Standard input; a terminal is refused. Tells the writer that a floe tool listens.
pub fn input() -> anyhow::Result<Input> {
    if io::stdin().is_terminal() {
        return Err(Usage("no stream on standard input, which is a terminal".into()).into());
    }
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    if is_pipe(file.as_fd()) {
        grow(file.as_fd());
        flock(&file, FlockOperation::LockShared).map_err(io::Error::from)?;
    }
    Ok(Input(file))
}

/// Says something to people on standard output, where no stream goes.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A stream or image in a file.
pub fn file(path: &Path) -> io::Result<Input> {
    File::open(path).map(Input)
}

/// Standard output; a terminal is refused.
pub fn output() -> anyhow::Result<Output> {
    if io::stdout().is_terminal() {
        let text = "standard output is a terminal: a stream goes to a file or a pipe";
        return Err(Usage(text.into()).into());
    }
    let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    if is_pipe(file.as_fd()) {
        grow(file.as_fd());
    }
    Ok(Output(file))
}

/// Closes standard input for good: the writer behind it sees the hang-up once every [`Input`] is dropped.
pub fn hang_up() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdin(null)?)
}

impl Input {
    /// The file behind it.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Output {
    /// The file behind it.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Output {
    /// Puts pages into the pipe without a copy; says how many bytes it took.
    pub(crate) fn lend(&self, bytes: &[u8]) -> io::Result<usize> {
        patient(self.0.as_fd(), PollFlags::OUT, || floe_sys::vmsplice(self.0.as_fd(), bytes))
    }
}

impl From<OwnedFd> for Output {
    fn from(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }
}

impl From<OwnedFd> for Input {
    fn from(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }
}

impl Read for Input {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        patient(self.0.as_fd(), PollFlags::IN, || (&self.0).read(to))
    }
}

impl Source for Input {
    fn has_more(&mut self) -> io::Result<bool> {
        match kind(self.0.as_fd()) {
            Some(FileType::RegularFile) => {
                let at = rustix::fs::tell(&self.0)?;
                Ok(at < self.0.metadata()?.len())
            }
            // What comes later over a pipe is nobody's to wait for.
            Some(FileType::Fifo | FileType::Socket) => Ok(ioctl_fionread(&self.0)? > 0),
            _ => Ok(false),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patient(self.0.as_fd(), PollFlags::OUT, || (&self.0).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A shell or ssh may have left the descriptor non-blocking: wait as if it were not.
fn patient(
    fd: BorrowedFd<'_>,
    event: PollFlags,
    mut work: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match work() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::from_borrowed_fd(fd, event)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    kind(fd) == Some(FileType::Fifo)
}

pub(crate) fn kind(fd: BorrowedFd<'_>) -> Option<FileType> {
    fstat(fd).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// Makes a pipe as large as the kernel allows, at most 1 MiB. A small pipe works as well.
fn grow(fd: BorrowedFd<'_>) {
    let mut size = 1 << 20;
    while size > 64 << 10 && fcntl_setpipe_size(fd, size).is_err() {
        size /= 2;
    }
}
