//! The command line, and the way through the work.

use crate::{
    command::Command,
    commit::{Channel, Commit},
    failure::plain,
    interrupt::Interrupt,
    requests::Requests,
    starter::{self, Killed, Starter},
    stop,
    tracking::{Asked, Tracking, look_for_others},
    write::{self, Captured},
};
use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use floe_capture::{
    look::{self, Before, Look, Next},
    tree::{INIT, Tree},
};
use floe_proc::Stat;
use floe_records::{
    CgroupMode, Deny, Entered, Finding, NsKind, OnChange, Options, Outside, Pid, Refusals, by_cause,
};
use floe_toolkit::{Exit, Side, Way};
use std::{ffi::OsString, ops::ControlFlow, os::fd::AsFd, time::Duration};

/// How long the parent of a killed tree may take to wait for it. One that reaps at all does so in a few milliseconds.
pub const REAPING: Duration = Duration::from_millis(500);

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

/// How long a tree that is to run stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Pause {
    Short,
    Long,
}

/// What becomes of outside files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum OutsideFiles {
    /// Restore refuses until it is told with --inherit.
    Refuse,
    /// /dev/null.
    Null,
    /// A pipe or socket whose other end is closed.
    Broken,
    /// A new connection of a UNIX socket to the address of its peer.
    Reconnect,
}

/// What becomes of established TCP connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Tcp {
    /// They come back.
    Keep,
    /// They come back as closed ones.
    Close,
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
    /// With --check: one line of JSON for each finding.
    #[arg(long, requires = "check")]
    json: bool,
    /// Refuse where something would be lost.
    #[arg(long)]
    strict: bool,
    /// What becomes of established TCP connections.
    #[arg(long, value_enum, default_value = "keep")]
    tcp: Tcp,
    /// The same as --tcp close.
    #[arg(long)]
    close_tcp: bool,
    /// What restore puts in the place of a file that belongs to the world outside, where it is given nothing else.
    #[arg(long, value_enum, default_value = "refuse")]
    outside: OutsideFiles,
    /// What restore does with files that have changed: WHAT is refuse, accept, append or carry, PATTERN that of their paths,
    /// for all of them /**; the last rule for a file counts.
    #[arg(long, value_name = "WHAT[:PATTERN]")]
    on_change: Vec<OnChange>,
    /// Into which cgroups restore brings the tree: keep (those that it is in), join:PATH (PATH in the place of the one that has
    /// all of it), ignore (those of restore).
    #[arg(long, value_name = "keep|join:PATH|ignore", default_value = "keep")]
    cgroup: CgroupMode,
    /// In restore, CLOCK_MONOTONIC and CLOCK_BOOTTIME go on where they are; a tree in a time namespace of its own can be captured.
    #[arg(long)]
    timens: bool,
    /// Leave what is in the tree's own namespace of a kind (net, ipc, uts) alone: it comes back empty. May be repeated.
    #[arg(long, value_name = "KIND", value_parser = NsKind::empty)]
    empty: Vec<NsKind>,
    /// Refuse what could be kept: connections (of TCP), outside-sockets, outside-terminals. May be repeated.
    #[arg(long, value_name = "WHAT")]
    deny: Vec<Deny>,
    /// Give COMMAND the stream as this descriptor (3 to 9); its standard input is then freeze's.
    #[arg(long, value_name = "N", requires = "command", value_parser = clap::value_parser!(i32).range(3..10))]
    stream_fd: Option<i32>,
    /// Give COMMAND a socket as this descriptor (3 to 9). From the line "commit" on the tree does not run on by itself; with
    /// --then kill.
    #[arg(long, value_name = "N", requires = "command", value_parser = clap::value_parser!(i32).range(3..10))]
    commit_fd: Option<i32>,
    /// With --then run: short lets the tree run as soon as copies of its processes (fork(2)) have its memory; long when COMMAND,
    /// or what reads the stream, has ended.
    #[arg(long, value_enum, default_value = "short", value_name = "short|long")]
    pause: Pause,
    /// Keep track of what is written from this image on, for --since.
    #[arg(long, conflicts_with = "check")]
    track: bool,
    /// Write of the memory only what has changed since IMAGE (a file, or its id), which --track or --since has written, and keep
    /// track further.
    #[arg(long, value_name = "IMAGE", conflicts_with = "check")]
    since: Option<OsString>,
    /// With --track or --since: the id of this image, 32 hexadecimal digits, in the place of random ones.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Root of the tree.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pid: u32,
    /// Command, and its arguments.
    #[arg(last = true)]
    command: Vec<OsString>,
}

impl Args {
    /// What later stages may ask of us, where the tree is to run.
    fn requests(&self) -> Result<Option<Requests>> {
        let takes = self.then == Then::Run && self.pause == Pause::Short;
        takes.then(Requests::new).transpose()
    }

    /// What is to be known of changes; to be asked where we were started.
    fn tracking(&self) -> Result<Option<Tracking>> {
        let Self { track, since, id, .. } = self;
        if !track && since.is_none() {
            look_for_others(self.pid)?;
            return Ok(None);
        }
        let goes_on = self.then != Then::Kill;
        let (since, id) = (since.as_deref(), id.as_deref());
        Tracking::begin(&Asked { root: self.pid, since, id, goes_on }).map(Some)
    }

    /// What travels in the stream, for every later stage.
    fn options(&self) -> Options {
        let outside = match self.outside {
            OutsideFiles::Refuse => Outside::Refuse,
            OutsideFiles::Null => Outside::Null,
            OutsideFiles::Broken => Outside::Broken,
            OutsideFiles::Reconnect => Outside::Reconnect,
        };
        let (on_change, cgroup) = (self.on_change.clone(), self.cgroup.clone());
        let deny = self.deny.clone();
        let close_tcp = self.close_tcp || self.tcp == Tcp::Close;
        let &Args { strict, timens, .. } = self;
        let empty = self.empty.clone();
        Options { close_tcp, strict, outside, on_change, cgroup, timens, empty, deny }
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
    let mut args: Args = floe_toolkit::arguments();
    if args.command.is_empty() && args.then != Then::Run {
        let what = "--then kill and --then stop need a COMMAND: without one nothing tells whether the \
                    stream has been kept";
        Args::command().error(ErrorKind::MissingRequiredArgument, what).exit();
    }
    if args.commit_fd.is_some() && (args.then != Then::Kill || args.commit_fd == args.stream_fd) {
        let what = "--commit-fd belongs to --then kill, and has a number of its own";
        Args::command().error(ErrorKind::ArgumentConflict, what).exit();
    }
    if args.id.is_some() && !args.track && args.since.is_none() {
        let what = "--id belongs to --track or --since";
        Args::command().error(ErrorKind::MissingRequiredArgument, what).exit();
    }
    if !floe_proc::shows_our_pids()? {
        // A /proc of other processes leads nowhere: the look says so.
        let channel = args.commit_fd.map(Channel::new).transpose()?;
        return here(&args, None, channel, None);
    }
    args.timens |= has_own_clocks(args.pid);
    let tracking = args.tracking()?;
    let mut channel = args.commit_fd.map(Channel::new).transpose()?;
    let Some(way) = Way::to(args.pid)? else { return here(&args, None, channel, tracking) };
    let (near, far) = starter::pair()?;
    let killed = (args.then == Then::Kill)
        .then(|| Killed::new(args.pid, !(way.leaves_pids() && way.inside() == INIT)));
    floe_capture::origin::start_here(args.pid).map_err(plain)?;
    match way.go()? {
        Side::Outside(child) => {
            drop((near, tracking));
            let far_commit = channel.and_then(|channel| channel.far);
            let command = (args.stream_fd, far_commit);
            starter::serve(&child, far, &args.command, command, killed.flatten())
        }
        Side::Inside => {
            drop(far);
            channel.iter_mut().for_each(|channel| channel.far = None);
            args.pid = way.inside();
            here(&args, Some((way.entered().clone(), near)), channel, tracking)
        }
    }
}

/// Whether a process is in a time namespace of its own, whose clocks go on with it.
fn has_own_clocks(pid: u32) -> bool {
    // Why one cannot be read will be said.
    let read = |pid| floe_proc::namespace(pid, "time").unwrap_or(None);
    let (own, theirs) = (read(std::process::id()), read(pid));
    own.is_some() && theirs.is_some() && theirs != own
}

/// Does it where the tree stands.
fn here(
    args: &Args,
    gone: Option<(Entered, Starter)>,
    channel: Option<Channel>,
    mut tracking: Option<Tracking>,
) -> Result<u8> {
    let (entered, starter) = gone.unzip();
    if args.check {
        let mut look = look::look(args.pid, &args.options(), Next::Report).map_err(plain)?;
        look.found.outside.extend(lacking(&look)?);
        return check(args, look);
    }
    if !args.command.is_empty() {
        stays_stopped(args)?;
        let before = look(args)?;
        let held = hold(args, before, (entered, starter), (channel, tracking.as_mut()));
        tracking.into_iter().filter(|_| matches!(held, Ok(0))).for_each(Tracking::keep);
        return held;
    }
    let mut out = floe_toolkit::output()?;
    let begun =
        look(args).and_then(|before| begin((args, entered), before, tracking.as_mut(), &out));
    let (tree, captured) = match begun {
        Ok(ControlFlow::Continue(held)) => held,
        Ok(ControlFlow::Break(status)) => return Ok(status),
        Err(error) => {
            // The tree runs, and the tools behind need no sentence of their own.
            floe_toolkit::abort(&mut out, floe_toolkit::exit_code(&error));
            return Err(error);
        }
    };
    let mut tree = Some(tree);
    let written = args.requests().and_then(|requests| {
        write::write(&captured, requests.as_ref(), &mut out)?;
        let wait =
            || floe_toolkit::wait_for_hangup(out.as_fd()).context("unable to wait for the reader");
        requests.map_or_else(wait, |requests| requests.serve(&mut tree, wait)?)
    });
    tree.into_iter().for_each(Tree::detach);
    written?;
    tracking.into_iter().for_each(Tracking::keep);
    Ok(0)
}

/// Refuses to stop pid 1 of our own pid namespace: no signal from inside stops it.
fn stays_stopped(args: &Args) -> Result<()> {
    if args.then != Then::Stop || args.pid != INIT {
        return Ok(());
    }
    let problem = "it is pid 1, and nobody in its pid namespace can stop it";
    let refusal = Finding::of(Pid(INIT), "the process", "process.init", problem);
    Err(Refusals(vec![refusal.hint("use --then run or --then kill")]).into())
}

/// Refuses what can be seen before anything is stopped; gives what the stop goes by.
fn look(args: &Args) -> Result<Before> {
    let kills = args.then == Then::Kill;
    let next = if kills { Next::StopForGood } else { Next::Stop };
    let mut look = look::look(args.pid, &args.options(), next).map_err(plain)?;
    if kills {
        // Nobody is killed who could never be brought back.
        look.found.refused.extend(lacking(&look)?);
    }
    look.found.refusals()?;
    Ok(look.before)
}

/// What a restore by us would lack for as many descriptors as the tree has.
fn lacking(look: &Look) -> Result<Option<Finding>> {
    Ok(floe_plan::lacking_descriptors(&look.files, &floe_rebuild::machine()?))
}

/// Says what was found, a line each: what is fine, what is refused, what would be lost, and what restore must be given.
fn check(args: &Args, mut look: Look) -> Result<u8> {
    let mut lines = String::new();
    if args.json {
        let found = &look.found;
        let all = [("refused", &found.refused), ("lost", &found.lost), ("outside", &found.outside)];
        for (verdict, finding) in all.iter().flat_map(|(v, all)| all.iter().map(move |f| (v, f))) {
            let Finding { pid, object, rule, problem, hint } = finding;
            let line = serde_json::json!({
                "verdict": verdict, "pid": pid, "object": object, "rule": rule, "problem": problem, "hint": hint,
            });
            lines.push_str(&format!("{line}\n"));
        }
        floe_toolkit::say(&lines)?;
        let refused = !look.found.refused.is_empty();
        return Ok(if refused { 3 } else { 0 });
    }
    for lost in by_cause(&look.found.lost) {
        lines.push_str(&format!("lost: {lost}\n"));
    }
    for outside in by_cause(&look.found.outside) {
        lines.push_str(&format!("outside: {outside}\n"));
    }
    if look.found.refused.is_empty() {
        lines.extend(look.pids.iter().map(|pid| format!("pid {pid}: ok\n")));
    }
    floe_toolkit::say(&lines)?;
    let refused = std::mem::take(&mut look.found.refused);
    if refused.is_empty() { Ok(0) } else { Err(Refusals(refused).into()) }
}

/// The head of a pipe up to the first byte that it writes. Breaks with an exit status where a signal has come. Then, and where
/// it fails, the tree runs.
fn begin(
    (args, entered): (&Args, Option<Entered>),
    before: Before,
    tracking: Option<&mut Tracking>,
    out: &floe_toolkit::Output,
) -> Result<ControlFlow<u8, (Tree, Captured)>> {
    // Tools that are still starting need no target that stands still.
    floe_toolkit::wait_for_reader(out.as_fd()).context("unable to look for the reader")?;
    let interrupt = Interrupt::watch()?;
    let with = (tracking, &interrupt);
    let held = stop::stop((args.pid, entered), &args.options(), before, || look(args), with);
    if let Some(signal) = interrupt.caught() {
        held.into_iter().for_each(|(tree, _)| tree.detach());
        return Ok(ControlFlow::Break(128 + signal));
    }
    // From here on the tree is as it was found: whatever ends us lets it run on.
    interrupt.end_process();
    Ok(ControlFlow::Continue(held?))
}

/// Holds while COMMAND lives.
fn hold(
    args: &Args,
    before: Before,
    (entered, starter): (Option<Entered>, Option<Starter>),
    (mut channel, tracking): (Option<Channel>, Option<&mut Tracking>),
) -> Result<u8> {
    let commit = Commit::default();
    let interrupt = Interrupt::watch()?;
    let options = args.options();
    let with = (tracking, &interrupt);
    let held = stop::stop((args.pid, entered), &options, before, || look(args), with);
    let (tree, captured) = match held {
        Ok(held) => held,
        Err(error) => return interrupt.caught().map_or(Err(error), |signal| Ok(128 + signal)),
    };
    let mut tree = Some(tree);
    let work = |tree: &mut Option<Tree>| {
        if args.then == Then::Kill {
            // Nobody is killed who could never be brought back.
            captured.can_be_restored()?;
        }
        let far = channel.as_mut().and_then(|channel| channel.far.take());
        if let Some(channel) = channel {
            commit.listen(channel, tree.iter().flat_map(Tree::running).collect())?;
        }
        let mut command = Command::start(&args.command, args.stream_fd, far, starter)?;
        command.pid().into_iter().for_each(|pid| interrupt.kill_on_signal(pid));
        // A COMMAND that reads only a part of the stream decides by its status whether that was enough.
        let requests = args.requests()?;
        if let Err(error) = write::write(&captured, requests.as_ref(), &command.stream()?)
            && !floe_toolkit::is_broken_pipe(&error)
        {
            command.kill();
            return Err(error);
        }
        match requests {
            Some(requests) => requests.serve(tree, || command.wait())?,
            None => command.wait(),
        }
    };
    let worked = work(&mut tree);
    // It may run by now.
    let Some(tree) = tree else {
        return interrupt.caught().map_or(worked, |signal| Ok(128 + signal));
    };
    let committed = commit.close();
    let status = match (interrupt.caught(), worked) {
        (None, Ok(0)) => return finish(args, tree, committed),
        (Some(signal), _) => Ok(128 + signal),
        (None, status) => status,
    };
    tree.detach();
    if committed {
        floe_toolkit::warn("freeze", STOPPED);
    }
    status
}

/// What is said of a tree that has been committed, and may not run elsewhere.
const STOPPED: &str = "the tree is stopped, since it may run elsewhere by now: if it does, kill it here; \
                       else let its processes go on (SIGCONT)";

/// `lives`: it does, elsewhere.
fn finish(args: &Args, tree: Tree, lives: bool) -> Result<u8> {
    match args.then {
        Then::Run => tree.detach(),
        Then::Stop => {
            let stopped = tree.signal(libc::SIGSTOP);
            tree.detach();
            stopped.map_err(plain)?;
        }
        Then::Kill => {
            if args.options().close_tcp {
                let living = tree.processes().iter().filter(|held| held.zombie.is_none());
                floe_capture::release_ports(living.map(|held| held.pid)).map_err(plain)?;
            }
            for pid in tree.kill(REAPING, lives).map_err(plain)? {
                floe_toolkit::warn("freeze", &unreaped(pid));
            }
        }
    }
    Ok(0)
}

/// Of a process that was killed and is a zombie: by whom its id is held.
pub fn unreaped(pid: u32) -> String {
    let parent = Stat::of(pid).map(|stat| stat.ppid);
    let parent = parent.and_then(|parent| {
        let comm = floe_proc::comm(parent)?;
        Ok(format!("{parent} ({})", String::from_utf8_lossy(&comm)))
    });
    // It may be gone by now.
    let parent = parent.unwrap_or_else(|_| "unknown".to_owned());
    format!("pid {pid}: killed, but its parent {parent} has not waited for it: the pid is not free")
}
