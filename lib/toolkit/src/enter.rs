//! Going to where a tree stands: a tool that works on a tree with namespaces of its own goes on as a child in them.
//!
//! Ids of processes, addresses and numbers of objects mean something only there. The child has mounts of its own, those of the
//! tool with a /proc that shows the pid namespace of the tree; it ends when its parent does.

use anyhow::{Context, Result, ensure};
use floe_proc::{Status, namespace};
use floe_records::{Entered, NsId, NsKind};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{fs::File, os::fd::AsFd};

/// What is entered. A user namespace is not, since the rights of a tool end there, nor is a mount namespace: paths are looked up
/// below the roots of processes. Those of cgroups and clocks are described from outside.
const KINDS: [(NsKind, CloneFlags); 4] = [
    (NsKind::Ipc, CloneFlags::CLONE_NEWIPC),
    (NsKind::Net, CloneFlags::CLONE_NEWNET),
    (NsKind::Pid, CloneFlags::CLONE_NEWPID),
    (NsKind::Uts, CloneFlags::CLONE_NEWUTS),
];

/// The signals that ask a tool to end.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The way to a tree.
#[derive(Debug)]
pub struct Way {
    entered: Entered,
    /// What the root is called inside.
    inside: u32,
    open: Vec<(CloneFlags, File)>,
}

/// A process that has gone there.
#[derive(Debug)]
pub enum Side {
    /// The one that was there before. The child works.
    Outside(Child),
    /// The one that works.
    Inside,
}

/// The process that works.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    signals: SignalFd,
}

/// Something that the parent has heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The child has ended, with this exit status.
    Ended(u8),
    /// Another child has ended, with this exit status.
    Other(Pid, u8),
    /// A signal asks us to end; the child has it too.
    Signal(Signal),
}

impl Way {
    /// The way to the tree of a process; `None` where it stands where we do, or where its namespaces cannot be opened: the tool
    /// will say why it cannot work on it.
    ///
    /// # Errors
    /// Where our own namespaces cannot be read.
    pub fn to(root: u32) -> Result<Option<Self>> {
        let own = |kind: NsKind| namespace(std::process::id(), kind.name());
        let (mut kinds, mut open) = (Vec::new(), Vec::new());
        for (kind, flag) in KINDS {
            let (Ok(own), Ok(Some(theirs))) = (own(kind), namespace(root, kind.name())) else {
                return Ok(None);
            };
            if own == Some(theirs) {
                continue;
            }
            let path = floe_proc::path(root, &format!("ns/{}", kind.name()));
            let Ok(file) = File::open(path) else { return Ok(None) };
            kinds.push((kind, NsId(theirs)));
            open.push((flag, file));
        }
        if kinds.is_empty() {
            return Ok(None);
        }
        let Some(inside) = Status::of(root).and_then(|status| status.numbers("NSpid")).ok() else {
            return Ok(None);
        };
        let inside = inside.last().copied().unwrap_or(root);
        let from = NsId(own(NsKind::Pid)?.unwrap_or_default());
        Ok(Some(Self { entered: Entered { from, root, kinds }, inside, open }))
    }

    /// The way that freeze has gone; `None` where we are there already.
    ///
    /// # Errors
    /// From elsewhere no way leads there.
    pub fn of(entered: &Entered) -> Result<Option<Self>> {
        let own = namespace(std::process::id(), NsKind::Pid.name())?.map(NsId);
        if own == Some(entered.pid_namespace()) && own != Some(entered.from) {
            return Ok(None);
        }
        ensure!(
            own == Some(entered.from),
            "unable to find the tree: it is in another pid namespace, and freeze was started in a third one"
        );
        let way = Self::to(entered.root)?;
        ensure!(
            way.as_ref().is_some_and(|way| way.entered == *entered),
            "unable to find the tree: pid {} has not the namespaces that freeze has seen",
            entered.root
        );
        Ok(way)
    }

    /// What later stages must know of it.
    pub fn entered(&self) -> &Entered {
        &self.entered
    }

    /// Id of the root inside.
    pub fn inside(&self) -> u32 {
        self.inside
    }

    /// Whether it leads into another pid namespace.
    pub fn leaves_pids(&self) -> bool {
        self.open.iter().any(|(flag, _)| *flag == CloneFlags::CLONE_NEWPID)
    }

    /// Goes there as a child. The calling thread must be the only one.
    ///
    /// # Errors
    /// Those of setns(2), clone3(2), unshare(2) and mount(2).
    pub fn go(&self) -> Result<Side> {
        let parent = floe_sys::pidfd_open(std::process::id() as i32)?;
        let mut set: SigSet = SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)).collect();
        set.add(Signal::SIGCHLD);
        let before = SigSet::thread_get_mask().context("unable to read the signal mask")?;
        set.thread_block().context("unable to block signals")?;
        let pid_namespace = self.open.iter().find(|(flag, _)| *flag == CloneFlags::CLONE_NEWPID);
        if let Some((flag, file)) = pid_namespace {
            setns(file, *flag).context(
                "unable to enter the pid namespace of the tree (run the tool in one above it)",
            )?;
        }
        match floe_sys::fork(&[], 0).context("unable to go where the tree stands")? {
            Some(pid) => {
                // All else that we start belongs here.
                let own =
                    File::open("/proc/self/ns/pid").context("unable to open our namespace")?;
                setns(own, CloneFlags::CLONE_NEWPID).context("unable to stay where we are")?;
                let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)
                    .context("unable to wait for signals")?;
                Ok(Side::Outside(Child { pid: Pid::from_raw(pid), signals }))
            }
            None => {
                before.thread_set_mask().context("unable to set the signal mask")?;
                if !floe_sys::end_with_parent(parent.as_fd())? {
                    std::process::exit(1);
                }
                self.arrive(pid_namespace.is_some())?;
                Ok(Side::Inside)
            }
        }
    }

    fn arrive(&self, new_pids: bool) -> Result<()> {
        for (flag, file) in &self.open {
            if *flag != CloneFlags::CLONE_NEWPID {
                setns(file, *flag).context("unable to enter a namespace of the tree")?;
            }
        }
        if new_pids {
            floe_sys::private_mounts()?;
            floe_sys::mount_proc()?;
        }
        Ok(())
    }
}

impl Child {
    /// Waits for something to happen, for instance to one of `others`: gives the number of the first that can be read.
    ///
    /// # Errors
    /// Those of poll(2), waitpid(2) and kill(2).
    pub fn wait(&self, others: &[&dyn AsFd]) -> Result<Result<News, usize>> {
        loop {
            if let Some(news) = self.ended()? {
                return Ok(Ok(news));
            }
            let all = [self.signals.as_fd()].into_iter().chain(others.iter().map(|fd| fd.as_fd()));
            let mut all: Vec<PollFd<'_>> =
                all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            match poll(&mut all, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error).context("unable to wait for the work"),
            }
            if all[0].any() == Some(true)
                && let Some(info) = self.signals.read_signal().context("unable to read a signal")?
                && let Some(signal) = Signal::try_from(info.ssi_signo as i32).ok()
                && signal != Signal::SIGCHLD
            {
                // It may have ended by itself.
                let _ = kill(self.pid, signal);
                return Ok(Ok(News::Signal(signal)));
            }
            if let Some(at) = all[1..].iter().position(|fd| fd.any() == Some(true)) {
                return Ok(Err(at));
            }
        }
    }

    fn ended(&self) -> Result<Option<News>> {
        let news = |pid, status| match pid == self.pid {
            true => News::Ended(status),
            false => News::Other(pid, status),
        };
        loop {
            return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => Ok(Some(news(pid, status as u8))),
                Ok(WaitStatus::Signaled(pid, signal, _)) => Ok(Some(news(pid, 128 + signal as u8))),
                Ok(_) => Ok(None),
                Err(nix::Error::EINTR) => continue,
                Err(error) => Err(error).context("unable to wait for the work"),
            };
        }
    }

    /// Waits until it ends, and ends us with its status.
    ///
    /// # Errors
    /// Those of [`Child::wait`].
    pub fn follow(&self) -> Result<std::convert::Infallible> {
        loop {
            if let Ok(News::Ended(status)) = self.wait(&[])? {
                // What is in our buffers is in those of the child as well.
                std::process::exit(status.into());
            }
        }
    }
}

fn is_ignored(signal: Signal) -> bool {
    // One whose action cannot be read is not ignored.
    floe_sys::is_ignored(signal as i32).unwrap_or(false)
}
