//! freeze has gone on as a child where the tree stands ([`floe_toolkit::Way`]). COMMAND does not belong there, nor has it an id
//! there: the process that was there before starts it, and tells the child how it has ended.

use crate::{
    cli::{REAPING, unreaped},
    command::spawn,
    commit::Far,
    interrupt,
};
use anyhow::{Context, Result, ensure};
use floe_sys::{Message, peek, send_message};
use floe_toolkit::{Child, News};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::Pid,
};
use std::{
    ffi::OsString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// How long a root that was killed may take to end: pid 1 waits for all of its pid namespace.
const ENDING: Duration = Duration::from_secs(5);
/// How long one look for that is, milliseconds.
const LOOK: u16 = 100;
const START: u8 = b's';
const KILL: u8 = b'k';

/// The process that we have come from.
pub struct Starter(OwnedFd);

/// What the two sides talk through.
pub fn pair() -> Result<(Starter, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
    let (near, far) = pair.context("unable to make a pair of sockets")?;
    Ok((Starter(near), far))
}

impl Starter {
    /// Has COMMAND started with this end of a pipe as the stream.
    pub fn start(&self, stream: &OwnedFd) -> Result<()> {
        self.say(START, &[stream.as_fd()])
    }

    /// Has COMMAND killed.
    pub fn kill(&self) -> Result<()> {
        self.say(KILL, &[])
    }

    fn say(&self, what: u8, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let message = Message { bytes: &[what], fds, credentials: None, to: None };
        Ok(send_message(self.0.as_fd(), message)?)
    }

    /// Waits for COMMAND to end.
    pub fn status(&self) -> Result<u8> {
        let mut status = [0];
        let read = nix::unistd::read(&self.0, &mut status);
        ensure!(
            read.context("unable to wait for the command")? == 1,
            "the command was not started"
        );
        Ok(status[0])
    }
}

/// The root of a tree that is to die.
pub struct Killed {
    pid: u32,
    handle: OwnedFd,
    /// A restore will want its id here: it is no pid 1 of a namespace of its own.
    wanted: bool,
}

impl Killed {
    /// This one. `None` where it is gone already.
    pub fn new(pid: u32, wanted: bool) -> Option<Self> {
        Some(Self { pid, handle: floe_sys::pidfd_open(pid as i32).ok()?, wanted })
    }

    /// Waits until it has ended and its id, where that is wanted, is free; at most for the time that its parent may take.
    fn wait(&self) {
        let begin = Instant::now();
        while !self.has_ended() {
            if begin.elapsed() > ENDING {
                let Self { pid, .. } = self;
                let why = "processes of its pid namespace have parents elsewhere that have not waited for them";
                return floe_toolkit::warn(
                    "freeze",
                    &format!("pid {pid}: killed, but it has not ended: {why}"),
                );
            }
        }
        let begin = Instant::now();
        while self.wanted && floe_proc::path(self.pid, "stat").exists() {
            if begin.elapsed() > REAPING {
                return floe_toolkit::warn("freeze", &unreaped(self.pid));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Looks for a moment whether it has.
    fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::from(LOOK)), Ok(n) if n > 0)
    }
}

/// Starter: starts COMMAND when it is asked to, and gives the exit status of freeze.
pub fn serve(
    child: &Child,
    far: OwnedFd,
    words: &[OsString],
    (fd, mut commit): (Option<i32>, Option<Far>),
    killed: Option<Killed>,
) -> Result<u8> {
    let (mut command, mut far) = (None, Some(far));
    loop {
        let others: Vec<&dyn AsFd> = far.iter().map(|far| far as &dyn AsFd).collect();
        match child.wait(&others)? {
            Ok(News::Ended(status)) => {
                // One that it has not waited for works on a tree that runs.
                command.into_iter().for_each(|pid: Pid| interrupt::end(pid.as_raw() as u32));
                killed.iter().filter(|_| status == 0).for_each(Killed::wait);
                return Ok(status);
            }
            Ok(News::Other(pid, status)) if Some(pid) == command => {
                command = None;
                answer(far.as_ref(), status);
            }
            Ok(News::Other(..)) => {}
            Ok(News::Signal(_)) => {
                command.into_iter().for_each(|pid: Pid| interrupt::end(pid.as_raw() as u32));
            }
            Err(_) => match far.as_ref().map(hear).transpose()?.flatten() {
                Some((START, Some(stream))) => {
                    match spawn(words, (&stream, fd), commit.take().as_ref()) {
                        Ok(pid) => command = Some(pid),
                        Err(error) => {
                            floe_toolkit::warn("freeze", &format!("{error:#}"));
                            far = None;
                        }
                    }
                }
                Some(_) => command.into_iter().for_each(|pid: Pid| {
                    interrupt::end(pid.as_raw() as u32);
                }),
                // The child is about to end.
                None => far = None,
            },
        }
    }
}

/// The child may be gone by now.
fn answer(far: Option<&OwnedFd>, status: u8) {
    let message = Message { bytes: &[status], fds: &[], credentials: None, to: None };
    let _ = far.map(|far| send_message(far.as_fd(), message));
}

/// What the child asks for; `None` at its end.
fn hear(far: &OwnedFd) -> Result<Option<(u8, Option<OwnedFd>)>> {
    let mut byte = [0];
    let heard = match peek(far.as_fd(), &mut byte, true) {
        // It was killed before it had read what we have said.
        Err(e) if e.errno() == Some(libc::ECONNRESET) => return Ok(None),
        heard => heard?.filter(|heard| heard.len == 1),
    };
    let stream = heard.map(|mut heard| heard.fds.pop());
    // Looking has left it in the queue.
    nix::unistd::read(far, &mut byte).context("unable to hear from the process inside")?;
    Ok(stream.map(|stream| (byte[0], stream)))
}
