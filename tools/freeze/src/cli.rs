//! The command line, and the way through the work.

use crate::{command::Command, interrupt::Interrupt, write};
use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use floe_capture::{Error, files::SocketRules, preflight, tree::Tree};
use floe_toolkit::{Exit, NotPermitted};
use std::{ffi::OsString, os::fd::AsFd, time::Duration};

/// How long a killed tree may take until its ids are free.
const REAPING: Duration = Duration::from_secs(3);

/// What becomes of the tree when COMMAND has succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Then {
    /// It runs on.
    Run,
    /// It is killed without running another instruction.
    Kill,
    /// It stays stopped, as by SIGSTOP.
    Stop,
}

/// Hold a process tree still and write what it is.
///
/// With COMMAND the stream is COMMAND's standard input, and the tree is held while COMMAND lives.
#[derive(Parser, Debug)]
#[command(name = "freeze", version)]
struct Args {
    /// What becomes of the tree when COMMAND has succeeded.
    #[arg(long, value_enum, default_value = "run")]
    then: Then,
    /// Only look whether the tree can be captured.
    #[arg(long, conflicts_with_all = ["then", "stream_fd", "command"])]
    check: bool,
    /// Capture established TCP connections as closed ones (dumpfs wants the same option).
    #[arg(long)]
    close_tcp: bool,
    /// Give COMMAND the stream as this descriptor (3 to 9); its standard input is then freeze's.
    #[arg(long, value_name = "N", requires = "command", value_parser = clap::value_parser!(i32).range(3..10))]
    stream_fd: Option<i32>,
    /// Root of the tree.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pid: u32,
    /// Command, and its arguments.
    #[arg(last = true)]
    command: Vec<OsString>,
}

impl Args {
    fn rules(&self) -> SocketRules {
        SocketRules { close_tcp: self.close_tcp }
    }
}

/// Does it all.
pub fn run() -> Result<()> {
    match work()? {
        0 => Ok(()),
        status => Err(Exit(status).into()),
    }
}

/// Gives the exit status.
fn work() -> Result<u8> {
    let args: Args = Args::parse();
    if args.command.is_empty() && args.then != Then::Run {
        let what = "--then kill and --then stop need a COMMAND: without one nothing tells whether the \
                    stream has been kept";
        Args::command().error(ErrorKind::MissingRequiredArgument, what).exit();
    }
    let pids = preflight::check(args.pid, args.rules()).map_err(plain)?;
    if args.check {
        let lines: String = pids.iter().map(|pid| format!("pid {pid}: ok\n")).collect();
        return Ok(floe_toolkit::say(&lines).map(|()| 0)?);
    }
    if args.command.is_empty() { plain_head(&args) } else { hold(&args) }
}

/// The library's error as the one that the exit code is chosen by.
pub(crate) fn plain(error: Error) -> anyhow::Error {
    match error {
        Error::Sys(error) if matches!(error.errno(), Some(libc::EPERM | libc::EACCES)) => {
            anyhow::Error::new(NotPermitted("CAP_SYS_PTRACE")).context(error)
        }
        Error::Sys(error) => error.into(),
        Error::Refused(refusals) => refusals.into(),
    }
}

/// The head of a pipe: holds until all behind it have hung up.
fn plain_head(args: &Args) -> Result<u8> {
    let mut out = floe_toolkit::output()?;
    // Tools that are still starting need no target that stands still.
    floe_toolkit::wait_for_reader(out.as_fd()).context("unable to look for the reader")?;
    let interrupt = Interrupt::watch()?;
    let mut tree = Tree::seize(args.pid).map_err(plain)?;
    let held = write::collect(args.pid, args.rules(), &mut tree);
    if let Some(signal) = interrupt.caught() {
        tree.detach();
        return Ok(128 + signal);
    }
    // From here on the tree is as it was found: whatever ends us lets it run on.
    interrupt.end_process();
    let written = held.and_then(|held| {
        write::write(held, &mut out)?;
        floe_toolkit::wait_for_hangup(out.as_fd()).context("unable to wait for the reader")
    });
    tree.detach();
    written.map(|()| 0)
}

/// Holds while COMMAND lives.
fn hold(args: &Args) -> Result<u8> {
    let interrupt = Interrupt::watch()?;
    let mut tree = Tree::seize(args.pid).map_err(plain)?;
    let worked = write::collect(args.pid, args.rules(), &mut tree).and_then(|records| {
        let mut command = Command::start(&args.command, args.stream_fd)?;
        interrupt.kill_on_signal(command.pid());
        // A COMMAND that reads only a part of the stream decides by its status whether that was enough.
        if let Err(error) = write::write(records, &command.stream()?)
            && !write::is_broken_pipe(&error)
        {
            command.kill();
            return Err(error);
        }
        command.wait()
    });
    if let Some(signal) = interrupt.caught() {
        tree.detach();
        return Ok(128 + signal);
    }
    match worked {
        Ok(0) => finish(args.then, tree),
        status => {
            tree.detach();
            status
        }
    }
}

fn finish(then: Then, tree: Tree) -> Result<u8> {
    match then {
        Then::Run => tree.detach(),
        Then::Stop => {
            let stopped = tree.signal(libc::SIGSTOP);
            tree.detach();
            stopped.map_err(plain)?;
        }
        Then::Kill => {
            for pid in tree.kill(REAPING).map_err(plain)? {
                eprintln!(
                    "freeze: pid {pid}: killed, but its parent has not waited for it: the pid is not free"
                );
            }
        }
    }
    Ok(0)
}
