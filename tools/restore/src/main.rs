//! See doc/restore.md.
#![forbid(unsafe_code)]

mod bulk;
mod conflicts;
mod events;
mod external;
mod follow;
mod foreground;
mod join;
mod lazy;
mod outside;
mod part;
mod pidfile;
mod pidns;
mod read;
mod receipt;
mod remote;
mod terminals;
mod thaw;
mod wait;
mod working_set;

use anyhow::Context;
use bulk::Bulk;
use clap::Parser;
use events::Events;
use external::External;
use floe_plan::{Machine, NewAddress, Plan, Step};
use floe_rebuild::{
    Here, Inherit, OpenFiles, Outer, OutsideRule, OwnUser, Rebuilt, Restore, RestoreOptions,
};
use floe_records::{
    CgroupMode, Finding, Losses, NsId, NsKind, OnChange, Process, Refusals, State, Thread, Tree,
    by_cause,
};
use floe_toolkit::Progress;
use foreground::Foreground;
use join::Join;
use lazy::{Later, Lazy, Running};
use part::Whole;
use pidns::{Inside, Side};
use receipt::Receipt;
use std::{fs::File, os::fd::OwnedFd, process::ExitCode, sync::Arc};
use wait::Waiter;

/// Brings a process tree back to life from a stream or an image on standard input.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Leave the tree to init and exit once it runs.
    #[arg(long)]
    detach: bool,
    /// Write the pid of the root task here.
    #[arg(long)]
    pidfile: Option<std::path::PathBuf>,
    /// Give the tree our descriptor FD in the place of an outside one: of the same number, of number N, or of what is called
    /// NAME (pipe:[5]). May be repeated.
    #[arg(long, value_name = "[N=|NAME=]FD")]
    inherit: Vec<Inherit>,
    /// What takes the place of other outside files, whatever freeze was told: WHAT is refuse, null, broken or reconnect, NAME a
    /// pattern of what they are (socket:[N], a path) or of the addresses of their peers; the last rule for a file counts.
    #[arg(long, value_name = "WHAT[:NAME]")]
    outside: Vec<OutsideRule>,
    /// Look all paths of the tree up below this directory.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: std::path::PathBuf,
    /// In a mount namespace that is made again, bind PATH of ours at the mount point POINT, in the place of what was mounted there.
    /// May be repeated.
    #[arg(long, value_name = "POINT=PATH")]
    external: Vec<External>,
    /// Mount the AUFS and overlay mounts that the tree stands on where they are missing.
    #[arg(long)]
    rebuild_unions: bool,
    /// Restore into a pid namespace of its own, where every pid is free.
    #[arg(long)]
    new_pidns: bool,
    /// What to do with files that have changed, whatever freeze was told: WHAT is refuse, accept, append or carry, PATTERN that of
    /// their paths, for all of them /**; the last rule for a file counts.
    #[arg(long, value_name = "WHAT[:PATTERN]")]
    on_change: Vec<OnChange>,
    /// Put the tree into the namespace at PATH (as /proc/PID/ns/net), or with "here" into that of restore, whichever it was in.
    #[arg(long, value_name = "KIND=PATH|here")]
    join: Vec<Join>,
    #[command(flatten)]
    new: join::NewSpaces,
    /// Write progress as JSON lines to this descriptor.
    #[arg(long, value_name = "N")]
    progress_fd: Option<i32>,
    /// Into which cgroups the tree comes back, whatever freeze was told: keep (those that it was in), join:PATH (PATH in the
    /// place of the one that had all of it), ignore (those of restore).
    #[arg(long, value_name = "keep|join:PATH|ignore")]
    cgroup: Option<CgroupMode>,
    /// What may come back otherwise where restore cannot have it: limits (as high as restore can), cpu (a processor that lacks
    /// features).
    #[arg(long, value_enum)]
    allow: Vec<Allow>,
    /// CLOCK_MONOTONIC and CLOCK_BOOTTIME go on where the tree had them, in a time namespace.
    #[arg(long)]
    timens: bool,
    /// Address NEW takes the place of OLD at either end of all TCP and UDP sockets. May be repeated.
    #[arg(long, value_name = "OLD=NEW")]
    map_address: Vec<NewAddress>,
    /// Have the tree run where its own cgroup, or one above, was frozen.
    #[arg(long)]
    thaw: bool,
    /// The root task becomes a sibling of restore: a child of the process that has started it. Restore exits once the tree runs.
    #[arg(long, conflicts_with = "detach")]
    sibling: bool,
    /// Tell of the steps of the work on this socket, and wait for an answer each time. Our standard streams are then no place for
    /// those of the tree.
    #[arg(long, value_name = "FD")]
    events: Option<i32>,
    /// For who sends the tree: when it is complete, write the line "built" to this descriptor, let it run when the line "go" has
    /// come behind the stream on standard input, and write "runs".
    #[arg(long, value_name = "FD", requires = "detach", conflicts_with = "plan")]
    receipt: Option<i32>,
    #[command(flatten)]
    later: lazy::Options,
    /// Print the steps and do nothing.
    #[arg(long)]
    plan: bool,
}

/// What may come back otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Allow {
    /// Hard limits that cannot be raised (setrlimit(2)).
    Limits,
    /// A processor without features that the tree has seen (cpuid).
    Cpu,
}

fn main() -> ExitCode {
    let args: Args = floe_toolkit::arguments();
    floe_toolkit::main("restore", || run(args))
}

fn run(mut args: Args) -> anyhow::Result<()> {
    let mut lines = floe_toolkit::progress_lines(args.progress_fd)?;
    let events = Events::new(args.events.filter(|_| !args.plan))?;
    let receipt = Receipt::new(args.receipt)?;
    if args.detach && !args.plan && follow::leads_a_group() {
        return follow::follow();
    }
    join::enter(&args.join)?;
    own_proc()?;
    let here = Here::read()?;
    floe_toolkit::report_file_size_limit().context("unable to block SIGXFSZ")?;
    let input = receipt::input(receipt.as_ref())?;
    let from_start = bulk::at_its_start(input.file());
    let mut reader = floe_stream::Reader::new(input);
    let (tree, first) = match read::metadata(&mut reader) {
        Ok(read) => read,
        Err(error) => return Err(floe_toolkit::explained(error, &mut reader)),
    };
    if !reader.sealed() {
        let problem = "the metadata has no checksum".to_owned();
        return Err(floe_stream::Error::Damaged { at: reader.offset(), problem }.into());
    }
    let machine = floe_rebuild::machine()?;
    let (tree, mut lowered) = adapted(&args, tree, &machine)?;
    let plan = floe_plan::plan(&tree, &machine)?;
    floe_rebuild::allow_many_files()?;
    if args.plan {
        let steps = plan.steps.iter().map(|step| format!("{step}\n"));
        return Ok(floe_toolkit::say(&steps.collect::<String>())?);
    }
    part::is_whole(&tree).and_then(|()| clocks(&args, &tree))?;
    let outer = Arc::new(Outer::open(&tree)?);
    let told: Vec<NsKind> = args.join.iter().map(|join| join.kind).collect();
    let top = floe_rebuild::common_top(&tree, &args.root, &told)?;
    lowered.extend(floe_rebuild::join_keyring(&tree));
    let stacks = stacks(&args, &tree, &plan.steps)?;
    let (made, user) = args.new.make(&mut args.new_pidns, &tree, &told, &here)?;
    let args = &args;
    let lazy = args.later.prepare(&tree, (from_start, args.new_pidns, receipt.is_some()))?;
    let enter = || pidns::enter(&tree, user.as_deref(), args.sibling, top.is_some());
    let inside = match args.new_pidns.then(enter).transpose()? {
        Some(Side::Outside(outside)) => {
            drop(reader);
            return outside.wait(args, &tree, receipt.as_ref(), stacks);
        }
        Some(Side::Inside(inside)) => Some(inside),
        None => None,
    };
    let tree = if args.leaves() { orphaned(tree)? } else { tree };
    let whole = Whole { tree: &tree, inheritance: &plan.inheritance };
    let bulk = Bulk::find(&mut reader, whole, first, from_start)?;
    let beside = inside.as_ref().is_some_and(Inside::is_beside);
    conflicts::foreign(&tree, beside)?;
    tell_losses(&tree, &lowered)?;
    let rebuilt = floe_rebuild::unions(&tree, &plan.steps, &args.root, args.rebuild_unions)?;
    let waits = !beside && (inside.is_some() || !args.leaves());
    let talk = Talk { lines: lines.take(), events: &events, receipt: receipt.as_ref() };
    let around = Around { here, made, user, outer, top, waits, lazy };
    let (waiter, running) = build(args, around, (&tree, &plan), &mut reader, (bulk, talk))?;
    // Who sends the tree hears that it runs before anything is asked of it.
    let _running = running.filter(|_| receipt.is_some());
    rebuilt.keep();
    stacks.keep();
    events.done()?;
    drop(reader);
    stay(args, &tree, (inside, waiter), receipt.as_ref())
}

/// Whether /proc shows our own ids.
fn own_proc() -> anyhow::Result<()> {
    if floe_proc::shows_our_pids()? {
        return Ok(());
    }
    let problem = "it shows another pid namespace than the one of restore";
    let finding = Finding::about("/proc", "proc.namespace", problem);
    let hint = "enter mount and pid namespace together: nsenter -m -p";
    Err(Refusals(vec![finding.hint(hint)]).into())
}

/// Waits for the tree, or leaves it, now that it runs.
fn stay(
    args: &Args,
    tree: &Tree,
    (inside, waiter): (Option<Inside>, Option<Waiter>),
    receipt: Option<&Receipt>,
) -> anyhow::Result<()> {
    let root = tree.root().map_or(0, |process| process.pid.0);
    match (inside, waiter) {
        (Some(inside), waiter) => inside.done(root, args.detach, waiter),
        (None, Some(waiter)) => {
            wait::as_ours(waiter.wait(nix::unistd::Pid::from_raw(root as i32))?)
        }
        (None, None) if args.sibling => Ok(()),
        (None, None) => {
            leave(tree)?;
            receipt.into_iter().for_each(Receipt::runs);
            Ok(())
        }
    }
}

impl Args {
    /// Whether restore is gone when the tree runs.
    fn leaves(&self) -> bool {
        self.detach || self.sibling
    }
}

/// Where a restore is, and what it has made before it begins.
struct Around {
    here: Here,
    made: Vec<NsId>,
    user: Option<Arc<OwnUser>>,
    outer: Arc<Outer>,
    /// What stands for the root of a tree that stays in the mount namespace that restore was started in.
    top: Option<Arc<OwnedFd>>,
    /// It waits for the tree.
    waits: bool,
    /// Memory comes later.
    lazy: Option<Lazy>,
}

/// Whom restore tells what.
struct Talk<'a> {
    lines: Option<File>,
    events: &'a Events,
    receipt: Option<&'a Receipt>,
}

fn root_is_init(tree: &Tree) -> bool {
    tree.root().is_some_and(|root| root.pid.0 == pidns::INIT)
}

/// Says what is lost: what the tools before have said, and what cannot come back here.
fn tell_losses(tree: &Tree, lowered: &[Finding]) -> anyhow::Result<()> {
    let mut lost_here = floe_rebuild::lost_login_uids(tree)?;
    lost_here.extend(floe_rebuild::parted_keyrings(tree));
    let lost = tree.all::<Losses>().iter().flat_map(|some| &some.lost).chain(&lost_here);
    for lost in by_cause(lost.chain(lowered)) {
        floe_toolkit::warn("restore", &format!("lost: {lost}"));
    }
    Ok(())
}

/// The tree with what may, or is to, come back otherwise, and what is lost by that.
fn adapted(args: &Args, tree: Tree, machine: &Machine) -> anyhow::Result<(Tree, Vec<Finding>)> {
    let (tree, unused) = floe_plan::map_addresses(tree, &args.map_address)?;
    for unused in unused {
        let note = format!("--map-address {unused}: no socket has the first address");
        floe_toolkit::warn("restore", &note);
    }
    let (mut tree, mut lost) = floe_plan::fit_registers(tree, machine)?;
    for allowed in &args.allow {
        let adapt = match allowed {
            Allow::Limits => floe_plan::lower_limits,
            Allow::Cpu => floe_plan::forget_features,
        };
        let (adapted, more) = adapt(tree, machine)?;
        tree = adapted;
        lost.extend(more);
    }
    if args.thaw {
        tree = thaw::thawed(tree)?;
    }
    if args.events.is_some() {
        tree = terminals::adopted(tree, &args.inherit)?;
    }
    Ok((tree, lost))
}

/// Has the clocks of the tree go on, or says that they jump back: what waits for a time of them waits as much longer.
fn clocks(args: &Args, tree: &Tree) -> anyhow::Result<()> {
    if args.timens || tree.options().timens {
        return Ok(floe_rebuild::continue_clocks(tree)?);
    }
    if let Some(seconds) = floe_rebuild::jump_back(tree)? {
        let note = format!(
            "CLOCK_MONOTONIC is {seconds} seconds behind what the tree has seen (--timens continues it)"
        );
        floe_toolkit::warn("restore", &note);
    }
    Ok(())
}

/// A tree whose parent will be init: its root must not die with restore (PR_SET_PDEATHSIG).
fn orphaned(tree: Tree) -> anyhow::Result<Tree> {
    let Some(root) = tree.root().map(|root| root.pid) else { return Ok(tree) };
    Ok(tree.map(|thread: &mut Thread| {
        if thread.pid == root {
            thread.pdeath_signal = 0;
        }
    })?)
}

/// AUFS mounts of ours that the mount namespaces of the tree show parts of.
fn stacks(args: &Args, tree: &Tree, steps: &[Step]) -> Result<Rebuilt, Refusals> {
    let external = externals(args);
    let replaced = floe_rebuild::Replaced { root: &args.root, external: &external };
    floe_rebuild::outside_stacks(tree, steps, replaced, args.rebuild_unions)
}

/// Mount points of the tree, and what takes their places.
fn externals(args: &Args) -> Vec<(Vec<u8>, std::path::PathBuf)> {
    args.external.iter().map(|it| (it.point.clone(), it.source.clone())).collect()
}

/// What is asked of the rebuild; `told`: events are, and standard streams are not to be given to the tree.
fn options(args: &Args, tree: &Tree, around: Around, told: bool) -> RestoreOptions {
    let Around { here, made, user, outer, top, .. } = around;
    RestoreOptions {
        inherit: args.inherit.clone(),
        root: args.root.clone(),
        external: externals(args),
        outside: [OutsideRule::all(tree.options().outside)]
            .into_iter()
            .chain(args.outside.iter().cloned())
            .collect(),
        on_change: args.on_change.clone(),
        cgroup: args.cgroup.clone().unwrap_or_else(|| tree.options().cgroup),
        joined: args.join.iter().map(|join| join.kind).collect(),
        made,
        empty: args.new.empty.clone(),
        veth: args.new.veth.clone(),
        user,
        outer,
        top,
        here,
        standard: !told,
    }
}

/// The command line, as it can be shown.
fn words() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.display().to_string()).collect()
}

/// Opens all files, and says what is not quite as it was.
fn opened<'a>(
    tree: &'a Tree,
    plan: &'a Plan,
    options: &'a RestoreOptions,
    talk: &Talk<'_>,
) -> anyhow::Result<OpenFiles<'a>> {
    let image = std::fs::read_link("/proc/self/fd/0").ok().filter(|image| image.is_file());
    let image = image.as_deref().and_then(|image| image.to_str());
    let open = OpenFiles::new(tree, options, &plan.steps)
        .map_err(|refusals| outside::with_command(refusals, &words(), image))?;
    tell_notes(open.notes(), talk);
    Ok(open)
}

fn tell_notes(notes: &[String], talk: &Talk<'_>) {
    // Who is told of steps must not take them for the reason of a failure.
    let mark = if talk.events.are_told() { "note: " } else { "" };
    for note in notes {
        floe_toolkit::warn("restore", &format!("{mark}{note}"));
    }
}

/// From the first process to the release of them all, ready to wait for them where it is to. Where it fails nothing is left.
fn build(
    args: &Args,
    mut around: Around,
    (tree, plan): (&Tree, &Plan),
    reader: &mut floe_stream::Reader<floe_toolkit::Input>,
    (mut bulk, mut talk): (Bulk<'_>, Talk<'_>),
) -> anyhow::Result<(Option<Waiter>, Option<Running>)> {
    let total = bulk.total(reader.get_mut().file());
    let (waits, lazy) = (around.waits, around.lazy.take());
    let options = options(args, tree, around, talk.events.are_told());
    let is_there = args.new_pidns && root_is_init(tree);
    if is_there {
        talk.events.of_root(events::NAMESPACES, tree)?;
    }
    let mut open = opened(tree, plan, &options, &talk)?;
    // In a pid namespace of its own the tree has another pid outside, which the outside writes.
    let pidfile = args.pidfile.as_deref().filter(|_| !args.new_pidns);
    let root = tree.root().map_or(0, |process| process.pid.0).to_string();
    let pidfile = pidfile.map(|path| pidfile::Pidfile::new(path, &root)).transpose()?;
    let mut work = Restore::new(tree, &open, plan, args.sibling)?;
    let steps = &plan.steps;
    let fill = steps.iter().position(|step| *step == Step::Fill).unwrap_or(steps.len());
    let last = |step: &Step| matches!(step, Step::Lend(_) | Step::Masks);
    let lend = steps.iter().position(last).unwrap_or(steps.len());
    let mut progress = Progress::new("restore", total, talk.lines.take())?;
    let created = |step: &Step| matches!(step, Step::Create(_, None, _));
    let mut done = steps.iter().position(created).map_or(0, |at| at + 1);
    work.run(&steps[..done])?;
    if !is_there {
        talk.events.of_root(events::NAMESPACES, tree)?;
    }
    open.orphans().try_for_each(|master| talk.events.tell(events::MASTER, master))?;
    for (at, step) in steps[..fill].iter().enumerate().skip(done) {
        if let Step::Supply(child) = step {
            work.run(&steps[done..at])?;
            bulk.fill(Some(*child), reader, (&work, &open), &mut progress)?;
            done = at;
        }
    }
    work.run(&steps[done..fill])?;
    let image = reader.get_mut().file();
    let from = (image, talk.receipt);
    let later = lazy.as_ref().map(|lazy| Later::find(lazy, &mut bulk, (tree, plan), &work, from));
    let later = later.transpose()?;
    bulk.fill(None, reader, (&work, &open), &mut progress)?;
    progress.finish();
    open.seal()?;
    let running = later.map_or(Ok(None), |later| later.start(&work))?;
    work.run(&steps[fill..lend])?;
    tell_notes(&open.late_notes(), &talk);
    talk.events.of_root(events::BUILT, tree)?;
    let front = match steps.get(lend) {
        Some(Step::Lend(group)) if !args.leaves() && !args.new_pidns => {
            Foreground::lend(tree, &open, *group)?
        }
        _ => None,
    };
    let waiter = waits.then(|| Waiter::new(front)).transpose()?;
    release(work, &steps[lend..], talk.receipt, running.as_ref())?;
    waiter.iter().for_each(Waiter::greet);
    open.keep();
    if let Some(pidfile) = pidfile {
        pidfile.keep();
    }
    Ok((waiter, running))
}

/// The last steps, when who sends the tree says so. Up to then whatever ends us ends the tree.
fn release(
    mut work: Restore<'_>,
    steps: &[Step],
    receipt: Option<&Receipt>,
    running: Option<&Running>,
) -> anyhow::Result<()> {
    let guard = steps.iter().position(|step| *step == Step::Guard).unwrap_or(0);
    work.run(&steps[..guard])?;
    receipt.map_or(Ok(()), Receipt::built)?;
    running.map_or(Ok(()), Running::arm)?;
    Ok(work.run(&steps[guard..])?)
}

/// Leaves the tree to init. The kernel would end stopped jobs of our session whose last parent we are.
fn leave(tree: &Tree) -> anyhow::Result<()> {
    if tree.all::<Process>().iter().any(|p| matches!(p.state, State::Stopped(_))) {
        nix::unistd::setsid()
            .context("unable to leave the session, without which stopped jobs end with restore")?;
    }
    Ok(())
}
