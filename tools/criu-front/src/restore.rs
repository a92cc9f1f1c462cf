//! A restore. The process that the engine has started becomes restore, whose child or sibling the root of the tree is; another
//! one goes on with the talk, and ends before restore does.

use crate::{
    chain::{self, Source},
    dump::Ended,
    files::{self, IMAGE, RestoreStats},
    job::{Job, Said, input},
    protocol::Restored,
    tools, translate,
};
use anyhow::{Context, Result, bail};
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair},
    unistd::pipe2,
};
use std::{
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    time::Instant,
};

/// Descriptors that are handed on have numbers from here.
const HIGH: i32 = 64;
/// How often it is looked whether the engine is still there, milliseconds.
const LOOK: u16 = 200;
/// What restore waits for when it has told of something.
const YES: &[u8] = b"yes";
const PAGE: u64 = 4096;

/// Restores the tree that the images are of; gives the pid of its root. Where it fails, nothing is left of it. Returns in
/// another process than it was called in.
pub fn restore(job: &Job) -> Result<Restored> {
    job.images.enter()?;
    job.engine.tell("pre-restore", None, None)?;
    let begin = Instant::now();
    let kind = (AddressFamily::Unix, SockType::SeqPacket);
    let (ours, theirs) = socketpair(kind.0, kind.1, None, SockFlag::SOCK_CLOEXEC)
        .context("unable to make a socket")?;
    let (said, errors) = Said::pipe()?;
    let (input, merging) = match chain::open()? {
        Source::Whole(image) => (OwnedFd::from(image), None),
        Source::Chain(chain) => {
            let pipe = pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
            let errors = errors.try_clone().context("unable to duplicate a descriptor")?;
            (pipe.0, Some((chain, pipe.1, errors)))
        }
    };
    let (command, kept) = command(job, &theirs, (input, errors))?;
    job.log.say(&format!("{command:?}"));
    if floe_sys::fork(&[], 0)?.is_some() {
        let mut command = command;
        let error = command.exec();
        // The other process hears of nothing but our end.
        job.log.error(&format!("unable to start restore: {error}"));
        std::process::exit(1);
    }
    drop((command, kept, theirs));
    // Restore would not expect it among its children.
    if let Some((chain, to, errors)) = merging {
        let mut command = chain.merging(to, errors)?;
        job.log.say(&format!("{command:?}"));
        // It ends before restore does, or with us.
        drop(command.spawn().context("unable to start imgpack")?);
    }
    let mut talk = Talk { job, events: ours, said, begin, pid: None, forked: None };
    match talk.listen() {
        Ok(pid) => {
            for (line, _) in talk.said.lines() {
                job.log.warn(&line);
            }
            Ok(Restored { pid })
        }
        Err(error) => {
            let Talk { events, mut said, .. } = talk;
            // Restore undoes what it has done when it hears of this.
            drop(events);
            while let Some(polled) = said.polled() {
                let _ = poll(&mut [polled], PollTimeout::NONE);
                said.take();
            }
            Err(crate::dump::refused(job, &said.lines(), error))
        }
    }
}

/// The command, and what must be open until it is started.
fn command(
    job: &Job,
    events: &OwnedFd,
    (input, errors): (OwnedFd, OwnedFd),
) -> Result<(Command, Vec<OwnedFd>)> {
    let mut kept = Vec::new();
    let mut command = tools::tool("restore")?;
    command.stdin(input).stdout(Stdio::null()).stderr(errors);
    let outside = files::outside(&job.images)?;
    command.args(translate::restore(&job.wanted, &outside)?);
    command.args(["--events", &hand_on(events.as_fd(), &mut kept)?]);
    if job.wanted.sibling {
        command.arg("--sibling");
    } else if job.wanted.detached {
        command.arg("--detach");
    }
    for (key, fd) in &job.wanted.inherit {
        let own =
            floe_sys::duplicate_inherited(*fd).with_context(|| format!("inherit_fd {key}"))?;
        let number = hand_on(own.as_fd(), &mut kept)?;
        command.args(translate::inherited(key, &number, &outside)?);
    }
    if job.wanted.shell_job {
        for fd in 0..3 {
            // A daemon may have closed them.
            let Ok(own) = floe_sys::duplicate_inherited(fd) else { continue };
            command.args(["--inherit", &format!("{fd}={}", hand_on(own.as_fd(), &mut kept)?)]);
        }
    }
    if let Some(path) = &job.wanted.pidfile {
        command.args(["--pidfile", path]);
    }
    Ok((command, kept))
}

/// A duplicate that the command has as well; gives its number.
fn hand_on(fd: BorrowedFd<'_>, kept: &mut Vec<OwnedFd>) -> Result<String> {
    let own = floe_sys::duplicate_from(fd, HIGH)?;
    fcntl(&own, FcntlArg::F_SETFD(FdFlag::empty())).context("unable to set up a descriptor")?;
    let number = own.as_raw_fd().to_string();
    kept.push(own);
    Ok(number)
}

/// The talk with restore and the engine.
struct Talk<'a> {
    job: &'a Job,
    events: OwnedFd,
    said: Said,
    begin: Instant,
    /// The root of the tree.
    pid: Option<i32>,
    /// When it was there, microseconds.
    forked: Option<u32>,
}

impl Talk<'_> {
    /// Hears of all that restore tells; gives the pid of the root when the tree runs.
    fn listen(&mut self) -> Result<i32> {
        let engine = &self.job.engine;
        loop {
            let Some((event, with)) = self.next()? else {
                bail!(Ended("restore has ended, and there is no tree".to_owned()));
            };
            self.job.log.say(&format!("restore: {event}"));
            let with = with.as_ref().map(AsFd::as_fd);
            match event.as_str() {
                "setup-namespaces" => {
                    self.pid = Some(pid_of(with)?);
                    self.forked = Some(micros(self.begin));
                    engine.tell("setup-namespaces", self.pid, None)?;
                    engine.tell("post-setup-namespaces", self.pid, None)?;
                }
                "orphan-pts-master" => engine.tell("orphan-pts-master", self.pid, with)?,
                "post-restore" => {
                    self.pid = Some(pid_of(with)?);
                    engine.tell("post-restore", self.pid, None)?;
                    self.stats()?;
                    engine.tell("network-unlock", self.pid, None)?;
                    engine.tell("pre-resume", self.pid, None)?;
                }
                "done" => {
                    // It runs: there is nothing left that could be refused.
                    if let Err(error) = engine.tell("post-resume", self.pid, None) {
                        self.job.log.warn(&format!("{error:#}"));
                    }
                    return self.pid.context("restore has not told the pid of the tree");
                }
                other => bail!("restore tells of {other}, which nobody here knows"),
            }
            floe_sys::send_message(
                self.events.as_fd(),
                floe_sys::Message { bytes: YES, fds: &[], credentials: None, to: None },
            )?;
        }
    }

    /// The next event, with a descriptor; `None` at the end of restore.
    fn next(&mut self) -> Result<Option<(String, Option<OwnedFd>)>> {
        loop {
            if self.job.engine.is_gone() {
                bail!("the engine is gone");
            }
            let mut polled = vec![input(self.events.as_fd())];
            let channel = self.job.engine.channel();
            polled.extend(channel.map(|it| PollFd::new(it.as_fd(), PollFlags::empty())));
            polled.extend(self.said.polled());
            match poll(&mut polled, PollTimeout::from(LOOK)) {
                Err(nix::Error::EINTR) => continue,
                done => done.context("unable to wait for restore")?,
            };
            let spoken = polled[0].revents().is_some_and(|found| !found.is_empty());
            self.said.take();
            if !spoken {
                continue;
            }
            let mut bytes = [0; 256];
            let peeked = match floe_sys::peek(self.events.as_fd(), &mut bytes, true) {
                Ok(Some(peeked)) => peeked,
                Ok(None) => continue,
                // It was killed.
                Err(e) if e.errno() == Some(libc::ECONNRESET) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            // What it carries has been taken already.
            let taken = recv(self.events.as_raw_fd(), &mut [0; 256], MsgFlags::empty());
            let len = taken.context("unable to hear from restore")?;
            if len == 0 {
                return Ok(None);
            }
            let event = String::from_utf8_lossy(&bytes[..len]).trim_end().to_owned();
            return Ok(Some((event, peeked.fds.into_iter().next())));
        }
    }

    fn stats(&self) -> Result<()> {
        let image = self.job.images.read(IMAGE)?;
        let bytes = image.metadata().context("unable to look at the image")?.len();
        let stats = RestoreStats {
            forking: self.forked.unwrap_or(0),
            restoring: micros(self.begin),
            pages_restored: Some(bytes / PAGE),
            ..RestoreStats::default()
        };
        files::restored(&self.job.work, stats)
    }
}

/// The pid here of the process behind a handle.
fn pid_of(handle: Option<BorrowedFd<'_>>) -> Result<i32> {
    let handle = handle.context("restore has not handed over the root of the tree")?;
    let path = format!("/proc/self/fdinfo/{}", handle.as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("unable to read {path}"))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid: Option<i32> = pid.and_then(|pid| pid.trim().parse().ok());
    match pid {
        Some(pid) if pid > 0 => Ok(pid),
        _ => bail!("the root of the tree has ended, or is not seen from here"),
    }
}

fn micros(since: Instant) -> u32 {
    since.elapsed().as_micros().try_into().unwrap_or(u32::MAX)
}
