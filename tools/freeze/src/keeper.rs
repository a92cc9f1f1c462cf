//! A process that holds what watches the memory of a tree from one image to the next (`floe_capture::tracking`): as long as it lives,
//! the kernel notes what is written. It ends with the tree; should it die, nothing is watched any more, and nobody can take that
//! for something else.

use anyhow::{Context, Result, ensure};
use floe_capture::tracking::Watched;
use floe_proc::Stat;
use floe_sys::{
    Message, close_all_from, memfd_create, peek, pidfd_getfd, pidfd_open, send_message,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    process::{Command, Stdio},
};

/// What it is called (/proc/PID/comm), and how freeze is started to be one.
const NAME: &str = "floe-keeper";
pub const WORD: &str = "--keeper";
/// The file in which it says what it holds.
const STATE: &std::ffi::CStr = c"floe-tracking";
const LINK: &[u8] = b"/memfd:floe-tracking (deleted)";
/// Processes of one message, each with two descriptors.
const AT_ONCE: usize = 120;
/// Longest message, bytes.
const LONGEST: usize = 64 << 10;

/// How long it may take to end, milliseconds. The tree stands still meanwhile.
const PATIENCE: u16 = 2000;

/// Whose memory is watched, and since which image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Since {
    /// The id of the image.
    pub id: String,
    /// The root of the tree, where the keeper is, and when it started.
    pub root: u32,
    pub start: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// Processes, where they stand, and when they started.
    Processes(Vec<(u32, u64)>),
    Since(Since),
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    since: Since,
    /// Process, start, and the descriptor that watches it.
    processes: Vec<(u32, u64, i32)>,
    /// The eventfd that tells it to end. No signal does from inside of another pid namespace, where freeze may be.
    end: i32,
}

/// One that has been started, and holds nothing yet. Should we die it ends.
#[derive(Debug)]
pub struct Keeper(OwnedFd);

impl Keeper {
    /// Starts one, beside us.
    pub fn start() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (near, far) = pair.context("unable to make a pair of sockets")?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg(WORD).stdin(far).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("unable to start a process that keeps track")?;
        Ok(Self(near))
    }

    /// Hands everything over; the keeper has it when this returns.
    pub fn hand_over(self, watched: &[Watched], since: Since) -> Result<()> {
        for some in watched.chunks(AT_ONCE) {
            let mut living = Vec::with_capacity(some.len());
            for watched in some {
                match pidfd_open(watched.pid as i32) {
                    Ok(handle) => living.push((watched, handle)),
                    // It has ended meanwhile, and its memory with it.
                    Err(e) if e.is_gone() => {}
                    Err(e) => return Err(e.into()),
                }
            }
            let pairs = living.iter();
            let fds: Vec<BorrowedFd<'_>> = pairs
                .flat_map(|(watched, handle)| [watched.userfault.as_fd(), handle.as_fd()])
                .collect();
            let said = living.iter().map(|(watched, _)| (watched.pid, watched.start)).collect();
            self.say(&Said::Processes(said), &fds)?;
        }
        self.say(&Said::Since(since), &[])?;
        let mut answer = [0];
        let heard = nix::unistd::read(&self.0, &mut answer);
        ensure!(
            heard.context("unable to hear of it")? == 1,
            "the process that keeps track is gone"
        );
        Ok(())
    }

    fn say(&self, said: &Said, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let text = serde_json::to_vec(said)?;
        let message = Message { bytes: &text, fds, credentials: None, to: None };
        loop {
            match send_message(self.0.as_fd(), message) {
                // It has not read the ones before.
                Err(e) if e.errno() == Some(libc::EAGAIN) => {
                    let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
                    poll(&mut polled, PollTimeout::NONE).context("unable to wait")?;
                }
                sent => return Ok(sent?),
            }
        }
    }
}

/// The keeper itself: takes what it is given, and holds it while any of the processes lives.
pub fn run() -> Result<()> {
    close_all_from(3)?;
    std::fs::write("/proc/self/comm", NAME).context("unable to take a name")?;
    std::env::set_current_dir("/").context("unable to leave the directory")?;
    nix::unistd::setsid().context("unable to leave the session")?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let (mut state, mut held) = (Vec::new(), Vec::new());
    let since = loop {
        // The one that has started us is gone, and with it what we should have held.
        let Some((said, fds)) = hear(&socket)? else { return Ok(()) };
        match said {
            Said::Since(since) => break since,
            Said::Processes(processes) => {
                ensure!(fds.len() == 2 * processes.len(), "descriptors are missing");
                for ((pid, start), pair) in processes.into_iter().zip(fds.chunks(2)) {
                    state.push((pid, start, pair[0].as_raw_fd()));
                }
                held.extend(fds);
            }
        }
    };
    let end = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).context("unable to make an eventfd")?;
    let mut file = File::from(memfd_create(STATE, 0)?);
    let said = State { since, processes: state, end: end.as_fd().as_raw_fd() };
    serde_json::to_writer(&file, &said)?;
    file.flush()?;
    nix::unistd::write(&socket, &[1]).context("unable to say that it is there")?;
    drop(socket);
    floe_sys::close_stdin()?;
    for handle in held.iter().skip(1).step_by(2) {
        if wait([end.as_fd(), handle.as_fd()], PollTimeout::NONE)?[0] {
            break;
        }
    }
    Ok(())
}

/// Waits for something to read, or for the end of a process; gives of which there is any.
fn wait<const N: usize>(fds: [BorrowedFd<'_>; N], patience: PollTimeout) -> Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    while let Err(error) = poll(&mut polled, patience) {
        ensure!(error == nix::errno::Errno::EINTR, "unable to wait: {error}");
    }
    Ok(polled.map(|one| one.revents().is_some_and(|found| !found.is_empty())))
}

fn hear(socket: &OwnedFd) -> Result<Option<(Said, Vec<OwnedFd>)>> {
    wait([socket.as_fd()], PollTimeout::NONE)?;
    let mut text = vec![0; LONGEST];
    let heard = match peek(socket.as_fd(), &mut text, true) {
        // It was killed before it had read what we have said.
        Err(e) if e.errno() == Some(libc::ECONNRESET) => return Ok(None),
        heard => heard?.filter(|heard| heard.len > 0),
    };
    let Some(heard) = heard else { return Ok(None) };
    // Looking has left it in the queue.
    nix::unistd::read(socket, &mut [0]).context("unable to hear")?;
    Ok(Some((serde_json::from_slice(&text[..heard.len])?, heard.fds)))
}

/// One that has been found, with duplicates of what it holds.
#[derive(Debug)]
pub struct Found {
    handle: OwnedFd,
    end: File,
    pub since: Since,
    pub watched: Vec<Watched>,
}

impl Found {
    /// The one that watches the tree of a process, if there is any.
    pub fn of(root: u32, start: u64) -> Result<Option<Self>> {
        let own = nix::unistd::geteuid().as_raw();
        for entry in std::fs::read_dir("/proc").context("unable to read /proc")? {
            let name = entry.context("unable to read /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // Others come and go, and may not be looked at. One of another user could tell us anything.
            let ours = floe_proc::comm(pid).is_ok_and(|comm| comm == NAME.as_bytes())
                && floe_proc::path(pid, "").metadata().is_ok_and(|about| about.uid() == own);
            if !ours {
                continue;
            }
            if let Ok(Some(found)) = Self::at(pid)
                && (found.since.root, found.since.start) == (root, start)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What a process holds that may be one.
    fn at(pid: u32) -> Result<Option<Self>> {
        let handle = pidfd_open(pid as i32)?;
        let mut state = None;
        for entry in std::fs::read_dir(floe_proc::path(pid, "fd"))? {
            let entry = entry?;
            let link = std::fs::read_link(entry.path())?;
            if link.as_os_str().as_encoded_bytes() == LINK {
                state = entry.file_name().to_str().and_then(|name| name.parse().ok());
            }
        }
        // It may not have said yet what it holds.
        let Some(state) = state else { return Ok(None) };
        let mut file = File::from(pidfd_getfd(handle.as_fd(), state)?);
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        let State { since, processes, end } = serde_json::from_str(&text)?;
        let end = File::from(pidfd_getfd(handle.as_fd(), end)?);
        let mut watched = Vec::new();
        for (pid, start, fd) in processes {
            let userfault = pidfd_getfd(handle.as_fd(), fd)?;
            watched.push(Watched { pid, start, userfault });
        }
        Ok(Some(Self { handle, end, since, watched }))
    }

    /// Ends it. What it holds is watched on while our duplicates are open.
    pub fn end(&self) -> Result<()> {
        (&self.end)
            .write_all(&1u64.to_ne_bytes())
            .context("unable to end a process that keeps track")?;
        let [has_ended] = wait([self.handle.as_fd()], PollTimeout::from(PATIENCE))?;
        ensure!(has_ended, "the process that keeps track does not end");
        Ok(())
    }
}

/// When a process started, in ticks.
pub fn start_of(pid: u32) -> Result<u64> {
    Ok(Stat::of(pid)?.start_time)
}
