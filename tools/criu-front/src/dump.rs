//! A dump: freeze with the stages behind it, and what the engine hears of that.
//!
//! A dump on which others build (pre-dump) is an image like any other, of a tree whose memory is kept track of from then on and which
//! runs on; the dump that builds on it has of the memory only what has changed since.

use crate::{
    files::{self, DumpStats, IMAGE, INVENTORY, Outside, PARENT},
    job::{Job, Said, input},
    losses,
    stages::{COMMAND, KILL, RUN, STOPPED, WRITTEN, YES},
    tools, translate,
};
use anyhow::{Context, Result, bail, ensure};
use floe_toolkit::{Exit, REFUSED};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How often it is looked whether the engine is still there, milliseconds.
const LOOK: u16 = 200;
/// How long freeze may take to end with its stages, milliseconds.
const GRACE: u16 = 5000;
/// How long a tree that was killed may take to end, milliseconds.
const DYING: u16 = 1000;
const PAGE: u64 = 4096;

/// Which dump it is.
struct Way {
    /// Others will build on it.
    is_first: bool,
    /// The image that it builds on, from the directory of images.
    since: Option<String>,
}

impl Way {
    /// Tells the engine of a step. Of a dump on which others build none is one that an engine would have to do something for.
    fn tell(&self, job: &Job, step: &str) -> Result<()> {
        if self.is_first { Ok(()) } else { job.engine.tell(step, None, None) }
    }
}

/// Dumps the tree that is asked for. Where it fails the tree runs on, and nothing is left behind.
pub fn dump(job: &Job) -> Result<()> {
    by_way(job, Way { is_first: false, since: None })
}

/// Makes a dump on which others build. The tree runs on, and the engine is told of nothing but the end.
pub fn pre_dump(job: &Job) -> Result<()> {
    by_way(job, Way { is_first: true, since: None })
}

/// Builds on the images that are named as parents, where it can; else all is written.
fn by_way(job: &Job, mut way: Way) -> Result<()> {
    let pid = job.wanted.pid.context("there is no pid to be dumped")?;
    translate::can_come_back(&job.wanted)?;
    job.images.enter()?;
    way.tell(job, "pre-dump")?;
    let Some(parent) = &job.wanted.parent else { return once(job, pid, &way) };
    let path = Path::new(parent).join(IMAGE);
    way.since = path.to_str().filter(|_| path.exists()).map(str::to_owned);
    if way.since.is_none() {
        job.log.warn(&format!("{} is missing: all of the memory is written", path.display()));
    }
    match once(job, pid, &way) {
        Err(error) if is_refusal(&error) => {
            job.log.warn(&format!("{error:#}"));
            job.log.warn("it cannot build on the images before: all of the memory is written");
            once(job, pid, &Way { since: None, ..way })
        }
        done => done,
    }
}

/// Whether freeze has refused to build on an image; the tree runs on.
fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Exit>().is_some_and(|exit| exit.0 == REFUSED)
}

fn once(job: &Job, pid: u32, way: &Way) -> Result<()> {
    let begin = Instant::now();
    let before = job.images.identity(IMAGE);
    let mut freeze = Freeze::start(job, pid, way)?;
    let done = freeze.dump(job, way, begin);
    if done.is_err() {
        freeze.stop();
    }
    let said = freeze.said.lines();
    if let Err(error) = done {
        // Stages that were killed have removed none.
        if freeze.lives() && job.images.identity(IMAGE) != before {
            [IMAGE, INVENTORY].iter().for_each(|name| job.images.remove(name));
        }
        let code = freeze.status.and_then(|status| status.code());
        if code == Some(REFUSED.into()) && way.since.is_some() {
            let lines: Vec<&str> = said.iter().map(|(line, _)| line.as_str()).collect();
            return Err(anyhow::Error::new(Exit(REFUSED)).context(lines.join("\n")));
        }
        return Err(refused(job, &said, error));
    }
    for (line, _) in said {
        job.log.warn(&line);
    }
    // The dump is made, whatever can be said of it.
    if let Err(error) = job.images.read(IMAGE).and_then(|image| losses::say(image, &job.log)) {
        job.log.warn(&format!("{error:#}"));
    }
    job.log.say("the tree is dumped");
    Ok(())
}

/// Says all that the tools have said, each as what it is; gives the sentence for the engine.
pub fn refused(job: &Job, said: &[(String, bool)], error: anyhow::Error) -> anyhow::Error {
    let mut why = Vec::new();
    let ended = error.downcast_ref::<Ended>().is_some();
    for (line, is_note) in said {
        if *is_note || !ended {
            job.log.warn(line);
        } else {
            job.log.error(line);
            why.push(line.as_str());
        }
    }
    if why.is_empty() {
        return error;
    }
    anyhow::anyhow!(why.join("\n"))
}

/// A tool has ended before its time: what it has said is the reason.
#[derive(Debug)]
pub struct Ended(pub String);

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// A running freeze.
struct Freeze {
    child: Child,
    handle: OwnedFd,
    /// The root of the tree. Where there is none, freeze says so.
    root: Option<OwnedFd>,
    /// The end of the command that it runs.
    stages: File,
    said: Said,
    status: Option<ExitStatus>,
    /// The tree runs on in any case.
    leaves: bool,
    /// The engine has agreed to the end of the tree, and so have we.
    agreed: bool,
}

impl Freeze {
    fn start(job: &Job, pid: u32, way: &Way) -> Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
                .context("unable to make a socket")?;
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).context("unable to set up a socket")?;
        let (said, errors) = Said::pipe()?;
        let root = floe_sys::pidfd_open(pid as i32).ok();
        let mut command = tools::tool("freeze")?;
        let then = if way.is_first || job.wanted.leave_running { RUN } else { KILL };
        command.args(["--then", then]).args(translate::freeze(&job.wanted));
        match &way.since {
            Some(image) => command.args(["--since", image]),
            None if way.is_first => command.arg("--track"),
            None => &mut command,
        };
        command.arg(pid.to_string()).arg("--");
        command.arg(tools::own()?).arg(COMMAND).arg(theirs.as_raw_fd().to_string());
        command.arg(IMAGE).arg(then);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        job.log.say(&format!("{command:?}"));
        let child = command.spawn().context("unable to start freeze")?;
        let handle = floe_sys::pidfd_open(child.id() as i32)?;
        let (stages, leaves) = (ours.into(), then == RUN);
        Ok(Self { child, handle, root, stages, said, status: None, leaves, agreed: false })
    }

    /// From the start to the end of it.
    fn dump(&mut self, job: &Job, way: &Way, begin: Instant) -> Result<()> {
        let limit = job.wanted.timeout.map(|seconds| Duration::from_secs(seconds.into()));
        self.hear(job, STOPPED, limit.map(|limit| begin + limit))?;
        let stopped = Instant::now();
        let mut stats = DumpStats { freezing: micros(begin), ..DumpStats::default() };
        job.log.say("the tree stands still");
        way.tell(job, "network-lock")?;
        way.tell(job, "query-ext-files")?;
        self.hear(job, WRITTEN, None)?;
        stats.memory = micros(stopped);
        stats.writing = stats.memory;
        let image = job.images.read(IMAGE)?;
        stats.pages_written = image.metadata().context("unable to look at the image")?.len() / PAGE;
        stats.pages_scanned = stats.pages_written;
        if let Some(parent) = &job.wanted.parent {
            job.images.link(PARENT, parent)?;
        }
        let (mounts, external) = (job.wanted.mounts.clone(), job.wanted.external.clone());
        files::inventory(&job.images, &Outside { mounts, external })?;
        job.log.say("the image is written");
        way.tell(job, "post-dump")?;
        self.agreed = true;
        self.stages.write_all(&[YES]).context("the stages are gone")?;
        let status = self.end()?;
        let failed = || Ended(format!("freeze has failed behind the dump: {status}"));
        ensure!(status.success(), failed());
        stats.frozen = micros(stopped);
        if self.leaves {
            image.sync_all().context("unable to write the image to the disk")?;
            way.tell(job, "network-unlock")?;
        }
        files::dumped(&job.work, stats)
    }

    /// Waits for what the stages say next. Fails where freeze has ended before, or the engine is gone.
    fn hear(&mut self, job: &Job, what: u8, until: Option<Instant>) -> Result<()> {
        loop {
            if until.is_some_and(|until| Instant::now() > until) {
                bail!("the tree does not stand still in time");
            }
            ensure!(!job.engine.is_gone(), "the engine is gone");
            let mut polled = vec![input(self.stages.as_fd()), input(self.handle.as_fd())];
            polled
                .extend(job.engine.channel().map(|it| PollFd::new(it.as_fd(), PollFlags::empty())));
            polled.extend(self.said.polled());
            match poll(&mut polled, PollTimeout::from(LOOK)) {
                Err(nix::Error::EINTR) => continue,
                done => done.context("unable to wait for freeze")?,
            };
            let ready =
                |polled: &PollFd<'_>| polled.revents().is_some_and(|found| !found.is_empty());
            let (spoken, ended) = (ready(&polled[0]), ready(&polled[1]));
            self.said.take();
            if spoken {
                let mut word = [0];
                match self.stages.read(&mut word) {
                    Ok(1) if word[0] == what => return Ok(()),
                    // They have ended; so will freeze.
                    Ok(0) => {
                        let status = self.end()?;
                        bail!(Ended(format!("the tree was not dumped: freeze: {status}")));
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Ok(_) => bail!("the stages have said something else"),
                    Err(e) => return Err(e).context("unable to hear from the stages"),
                }
            } else if ended {
                let status = self.end()?;
                bail!(Ended(format!("the tree was not dumped: freeze: {status}")));
            }
        }
    }

    /// Ends it: the tree runs on. The stages end by themselves when they see us hang up, and freeze does with them.
    fn stop(&mut self) {
        if self.status.is_some() {
            return;
        }
        // What cannot be shut down is closed already.
        let _ = shutdown(self.stages.as_raw_fd(), Shutdown::Both);
        let _ = poll(&mut [input(self.handle.as_fd())], PollTimeout::from(GRACE));
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may have ended by now.
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        }
        let _ = self.end();
    }

    /// Whether the tree is still there behind a freeze that has ended badly: it kills all of it or nothing.
    fn lives(&self) -> bool {
        let ends = |root: &OwnedFd| {
            !matches!(poll(&mut [input(root.as_fd())], PollTimeout::from(DYING)), Ok(0))
        };
        !self.agreed || self.leaves || !self.root.as_ref().is_none_or(ends)
    }

    /// Waits for the end of freeze; what it says meanwhile is kept.
    fn end(&mut self) -> Result<ExitStatus> {
        loop {
            self.said.take();
            let mut polled = vec![input(self.handle.as_fd())];
            polled.extend(self.said.polled());
            match poll(&mut polled, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                done => done.context("unable to wait for freeze")?,
            };
            if let Some(status) = self.child.try_wait().context("unable to wait for freeze")? {
                self.said.take();
                self.status = Some(status);
                return Ok(status);
            }
        }
    }
}

fn micros(since: Instant) -> u32 {
    since.elapsed().as_micros().try_into().unwrap_or(u32::MAX)
}
