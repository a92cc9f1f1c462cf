//! Standard input and output as ends of a stream.

use crate::Usage;
use floe_stream::Source;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        stat::{SFlag, fstat},
    },
};
use std::{
    fs::File,
    io::{self, IoSliceMut, IsTerminal, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// What a pipe is grown to, bytes: the most that an unprivileged process may have by default (pipe(7)).
const PIPE: usize = 1 << 20;
/// Bytes that every pipe holds.
const SMALLEST_PIPE: usize = 64 << 10;

/// Standard input, from which a stream comes.
pub struct Input(File);

/// Standard output, to which a stream goes.
pub struct Output(File);

/// Standard input; a terminal is refused, and `example` tells how the tool is called instead. On a pipe a shared lock tells the writer that a floe tool reads.
pub fn input(example: &str) -> anyhow::Result<Input> {
    if io::stdin().is_terminal() {
        let text = format!("no stream on standard input, which is a terminal: try `{example}`");
        return Err(Usage(text).into());
    }
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    if is_pipe(file.as_fd()) {
        grow(file.as_fd());
        floe_sys::flock_shared(file.as_fd())?;
    }
    Ok(Input(file))
}

/// Standard input as a foreign reader has it: no writer waits for us to end.
pub fn foreign_input() -> io::Result<Input> {
    Ok(Input(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
}

/// Prints text for people on standard output, where no stream goes.
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
    match kind(file.as_fd()) {
        Some(SFlag::S_IFIFO) => grow(file.as_fd()),
        Some(SFlag::S_IFREG) => report_file_size_limit()?,
        _ => {}
    }
    Ok(Output(file))
}

/// Has a write beyond RLIMIT_FSIZE fail with EFBIG, which is reported, instead of the silent end by SIGXFSZ. The signal
/// stays blocked in threads and programs that are started later.
pub fn report_file_size_limit() -> io::Result<()> {
    Ok(SigSet::from(Signal::SIGXFSZ).thread_block()?)
}

/// Closes standard input for good: its writer gets the hang-up (POLLHUP) once every [`Input`] is dropped.
pub fn hang_up() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    Ok(nix::unistd::dup2_stdin(null)?)
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
    /// Puts references to the pages of `bytes` into the pipe; gives the number of bytes it took.
    pub(crate) fn vmsplice(&self, bytes: &[u8]) -> io::Result<usize> {
        blocking(self.0.as_fd(), PollFlags::POLLOUT, || floe_sys::vmsplice(self.0.as_fd(), bytes))
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
        blocking(self.0.as_fd(), PollFlags::POLLIN, || (&self.0).read(to))
    }

    fn read_vectored(&mut self, to: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        blocking(self.0.as_fd(), PollFlags::POLLIN, || (&self.0).read_vectored(to))
    }
}

impl Source for Input {
    fn has_more(&mut self) -> io::Result<bool> {
        match kind(self.0.as_fd()) {
            Some(SFlag::S_IFREG) => Ok((&self.0).stream_position()? < self.0.metadata()?.len()),
            // On a pipe later data may belong to another program: it is not waited for.
            Some(SFlag::S_IFIFO | SFlag::S_IFSOCK) => {
                Ok(floe_sys::pipe_queued(self.0.as_fd())? > 0)
            }
            _ => Ok(false),
        }
    }

    fn is_stored(&self) -> bool {
        kind(self.0.as_fd()) == Some(SFlag::S_IFREG)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(self.0.as_fd(), PollFlags::POLLOUT, || (&self.0).write(bytes))
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

/// Blocks where the descriptor does not, as a shell or ssh may have left it, and repeats after a signal.
fn blocking(
    fd: BorrowedFd<'_>,
    event: PollFlags,
    mut work: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match work() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(fd, event)], PollTimeout::NONE) {
                    Ok(_) | Err(nix::Error::EINTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    kind(fd) == Some(SFlag::S_IFIFO)
}

/// The type of file (`S_IFMT` of `st_mode`); `None` where fstat(2) fails.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> Option<SFlag> {
    fstat(fd).ok().map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT)
}

/// Makes a pipe as large as the kernel allows, up to [`PIPE`]. A small pipe works as well.
fn grow(fd: BorrowedFd<'_>) {
    let mut size = PIPE;
    while size > SMALLEST_PIPE && floe_sys::set_pipe_size(fd, size).is_err() {
        size /= 2;
    }
}
