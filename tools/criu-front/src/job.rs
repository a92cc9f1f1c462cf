//! One dump or restore: what is asked for, its directories, its log, and who asks.

use crate::{channel::Channel, directory::Directory, engine::Engine, log::Log, request::Wanted};
use anyhow::{Context, Result, bail};
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags},
};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

/// All that the work needs.
pub struct Job {
    /// What is asked for.
    pub wanted: Wanted,
    /// Where the image is.
    pub images: Directory,
    /// Where the log and the statistics are.
    pub work: Directory,
    /// The log.
    pub log: Log,
    /// Who asks.
    pub engine: Engine,
}

/// Numbers of directories in an engine.
#[derive(Default)]
pub struct Numbers {
    /// That of the images.
    pub images: Option<i32>,
    /// That of the log.
    pub work: Option<i32>,
}

impl Job {
    /// Opens the directories and the log. `log` is what that is called unless it has a name.
    pub fn new(
        wanted: Wanted,
        channel: Option<Rc<Channel>>,
        numbers: &Numbers,
        log: &str,
    ) -> Result<Self> {
        let of_engine = |number: Option<i32>| {
            let number = number.filter(|number| *number >= 0);
            let opened =
                number.zip(channel.as_ref()).map(|(number, channel)| channel.of_engine(number));
            opened.transpose()
        };
        let named = |path: &Option<String>| {
            let opened = path
                .as_ref()
                .map(|path| File::open(path).with_context(|| format!("unable to open {path}")));
            opened.transpose()
        };
        let images = match of_engine(numbers.images)? {
            Some(images) => Some(images),
            None => named(&wanted.images_dir)?,
        };
        let Some(images) = images else { bail!("there is no directory for images") };
        let images = Directory::new(images)?;
        let work = match of_engine(numbers.work)? {
            Some(work) => Some(work),
            None => named(&wanted.work_dir)?,
        };
        let work = work.map_or_else(|| images.again(), Directory::new)?;
        let name = wanted.log_file.as_deref().unwrap_or(log);
        let log = Log::new(Some(work.create(name)?));
        for ignored in &wanted.ignored {
            log.say(&format!("option {ignored} makes no difference"));
        }
        let notify = wanted.notify_scripts;
        let engine = Engine::new(channel, notify, &wanted.scripts);
        Ok(Self { wanted, images, work, log, engine })
    }

    /// What was asked for that cannot be done, at once.
    pub fn allow(&self) -> Result<()> {
        if self.wanted.refused.is_empty() {
            return Ok(());
        }
        bail!(self.wanted.refused.join("\n"))
    }
}

/// What programs say on standard error, kept until it is known whether they have failed.
pub struct Said {
    from: File,
    bytes: Vec<u8>,
    open: bool,
}

impl Said {
    /// A pipe, and its end for the programs.
    pub fn pipe() -> Result<(Self, OwnedFd)> {
        let (from, to) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context("unable to make a pipe")?;
        nix::fcntl::fcntl(&from, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .context("unable to set up a pipe")?;
        Ok((Self { from: from.into(), bytes: Vec::new(), open: true }, to))
    }

    /// What to wait for, as long as anybody may say more.
    pub fn polled(&self) -> Option<PollFd<'_>> {
        self.open.then(|| PollFd::new(self.from.as_fd(), PollFlags::POLLIN))
    }

    /// Takes what was said up to now.
    pub fn take(&mut self) {
        let mut piece = [0; 4096];
        loop {
            match self.from.read(&mut piece) {
                Ok(0) => self.open = false,
                Ok(len) => {
                    self.bytes.extend(&piece[..len]);
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {}
            }
            return;
        }
    }

    /// Its lines, without the names of the tools, and whether each is one of the notes that are said also where all goes well.
    pub fn lines(&mut self) -> Vec<(String, bool)> {
        self.take();
        let bytes = std::mem::take(&mut self.bytes);
        let text = String::from_utf8_lossy(&bytes);
        let line = |line: &str| {
            let tool = line.split_once(": ").filter(|(tool, _)| crate::tools::NAMES.contains(tool));
            let bare = tool.map_or(line, |(_, rest)| rest);
            let note = bare.strip_prefix("note: ");
            (note.unwrap_or(bare).to_owned(), note.is_some() || bare.starts_with("lost: "))
        };
        text.lines().map(line).collect()
    }
}

/// A borrowed descriptor to be polled for input.
pub fn input(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}
