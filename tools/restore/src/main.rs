//! See doc/restore.md.
#![forbid(unsafe_code)]

mod bulk;
mod external;
mod foreground;
mod join;
mod outside;
mod pidfile;
mod pidns;
mod read;
mod receipt;
mod wait;

use anyhow::Context;
use bulk::{Bulk, Whole};
use clap::Parser;
use external::External;
use floe_plan::{Machine, NewAddress, Plan, Step};
use floe_rebuild::{Here, OpenFiles, OutsideRule, Restore, RestoreOptions};
use floe_records::{
    CgroupMode, Finding, Losses, Mm, NsId, NsKind, OnChange, Pid, Process, Refusals, State, Thread,
    Tree, Vdso, by_cause,
};
use floe_toolkit::Progress;
use foreground::Foreground;
use join::Join;
use nix::unistd::{getpgid, getsid};
use pidns::{Inside, Side};
use receipt::Receipt;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::unix::process::ExitStatusExt,
    process::ExitCode,
};
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
    /// Give the tree our descriptor FD in the place of an outside one of the same number.
    #[arg(long, value_name = "FD")]
    inherit: Vec<u32>,
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
    /// For who sends the tree: when it is complete, write the line "built" to this descriptor, let it run when the line "go" has
    /// come behind the stream on standard input, and write "runs".
    #[arg(long, value_name = "FD", requires = "detach", conflicts_with = "plan")]
    receipt: Option<i32>,
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
    let receipt = Receipt::new(args.receipt)?;
    if args.detach && !args.plan && leads_a_group() {
        return follow();
    }
    join::enter(&args.join)?;
    if !floe_proc::shows_our_pids()? {
        let problem = "it shows another pid namespace than the one of restore";
        let finding = Finding::about("/proc", "proc.namespace", problem);
        let hint = "enter mount and pid namespace together: nsenter -m -p";
        return Err(Refusals(vec![finding.hint(hint)]).into());
    }
    let here = Here::read()?;
    floe_toolkit::report_file_size_limit().context("unable to block SIGXFSZ")?;
    let input = match &receipt {
        // Who is to answer must not wait for us to end.
        Some(_) => floe_toolkit::foreign_input()?,
        None => floe_toolkit::input("restore < FILE")?,
    };
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
    let (tree, lowered) = adapted(&args, tree, &machine)?;
    let plan = floe_plan::plan(&tree, &machine)?;
    floe_rebuild::allow_many_files()?;
    if args.plan {
        let steps = plan.steps.iter().map(|step| format!("{step}\n"));
        return Ok(floe_toolkit::say(&steps.collect::<String>())?);
    }
    clocks(&args, &tree)?;
    let told: Vec<NsKind> = args.join.iter().map(|join| join.kind).collect();
    let made = floe_rebuild::new_spaces(&tree, &told, &here);
    args.new_pidns |= made.iter().any(|space| space.kind == NsKind::Pid);
    let args = &args;
    let user = floe_rebuild::make_new(&tree, &made)?;
    let made = made.into_iter().map(|space| space.id).collect();
    let inside = match args.new_pidns.then(|| pidns::enter(&tree, user.as_ref())).transpose()? {
        Some(Side::Outside(outside)) => {
            drop(reader);
            return outside.wait(args, &tree, receipt.as_ref());
        }
        Some(Side::Inside(inside)) => Some(inside),
        None => None,
    };
    let tree = if args.detach { orphaned(tree)? } else { tree };
    let whole = Whole { tree: &tree, inheritance: &plan.inheritance };
    let bulk = Bulk::find(&mut reader, whole, first, from_start)?;
    let beside = inside.as_ref().is_some_and(Inside::is_beside);
    foreign(&tree, beside)?;
    tell_losses(&tree, &lowered)?;
    let rebuilt = floe_rebuild::unions(&tree, &plan.steps, &args.root, args.rebuild_unions)?;
    let waits = !beside && (inside.is_some() || !args.detach);
    let waiter = build(
        args,
        (here, made, waits),
        (&tree, &plan),
        &mut reader,
        (bulk, lines.take(), receipt.as_ref()),
    )?;
    rebuilt.keep();
    drop(reader);
    let root = tree.root().map_or(0, |process| process.pid.0);
    match (inside, waiter) {
        (Some(inside), waiter) => inside.done(root, args.detach, waiter),
        (None, Some(waiter)) => {
            wait::as_ours(waiter.wait(nix::unistd::Pid::from_raw(root as i32))?)
        }
        (None, None) => {
            leave(&tree)?;
            receipt.iter().for_each(Receipt::runs);
            Ok(())
        }
    }
}

/// Says what is lost: what the tools before have said, and what cannot come back here.
fn tell_losses(tree: &Tree, lowered: &[Finding]) -> anyhow::Result<()> {
    let lost_here = floe_rebuild::lost_login_uids(tree)?;
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

/// Whether we lead a process group, as every interactive shell makes it. Who does cannot leave the session (see [`leave`]) while
/// anybody else is in that group.
fn leads_a_group() -> bool {
    nix::unistd::getpgrp() == nix::unistd::getpid()
}

/// Has a child do it all, which leads no group.
fn follow() -> anyhow::Result<()> {
    let status = std::process::Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .status()
        .context("unable to start a restore that leads no process group")?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        code => Err(floe_toolkit::Exit(code.unwrap_or(1)).into()),
    }
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

/// Conflicts with this system: another vdso, pids that are taken. `beside`: pid 1 is a stub that waits for the tree.
fn foreign(tree: &Tree, beside: bool) -> anyhow::Result<()> {
    let mut no = Vec::new();
    let own = floe_rebuild::own_vdso_hash()?;
    for mm in tree.all::<Mm>() {
        if mm.vdso_hash == 0 || mm.vdso_hash == own {
            continue;
        }
        if own == 0 || !tree.all::<Vdso>().iter().any(|vdso| vdso.hash == mm.vdso_hash) {
            let problem = "is not that of this kernel, and the image does not have it";
            no.push(Finding::of(mm.pid, "vdso", "rebuild.vdso", problem));
        } else if let Some(thread) = floe_rebuild::thread_in_vdso(tree) {
            let object = format!("vdso of thread {}", thread.tid);
            let problem = "is not that of this kernel, and the thread stands in it";
            let finding = Finding::of(thread.pid, object, "rebuild.vdso", problem);
            no.push(finding.hint("take another checkpoint"));
            break;
        }
    }
    let tids = tree.all::<Thread>().iter().map(|t| t.tid.0);
    let tids = tids.chain(tree.all::<Process>().iter().map(|p| p.pid.0));
    let leaders = tree.lost_leaders().into_iter().map(|(group, _)| group.0);
    let own = |tid: &u32| beside && *tid == pidns::INIT;
    let members = members()?;
    for tid in tids.chain(leaders).filter(|tid| !own(tid)).collect::<BTreeSet<_>>() {
        if let Some(problem) = taken(tid, &members)? {
            let finding = Finding::of(Pid(tid), "process id", "rebuild.pid", problem);
            no.push(finding.hint("--new-pidns restores where every id is free"));
        }
    }
    no.extend(floe_rebuild::beyond_rights(tree)?);
    if no.is_empty() { Ok(()) } else { Err(Refusals(no).into()) }
}

/// A process of each session and process group that there is.
fn members() -> anyhow::Result<BTreeMap<u32, (&'static str, u32)>> {
    let mut all = BTreeMap::new();
    for pid in floe_proc::numbers_in("/proc")? {
        let number = Some(nix::unistd::Pid::from_raw(pid as i32));
        let ids = [("session", getsid(number)), ("process group", getpgid(number))];
        // One that has just ended is in none.
        all.extend(
            ids.into_iter().filter_map(|(of, id)| Some((id.ok()?.as_raw() as u32, (of, pid)))),
        );
    }
    Ok(all)
}

/// By whom an id is taken: a session or process group keeps that of its leader as long as it has members.
fn taken(id: u32, members: &BTreeMap<u32, (&'static str, u32)>) -> anyhow::Result<Option<String>> {
    match floe_proc::comm(id) {
        Ok(comm) => return Ok(Some(format!("is taken by {}", String::from_utf8_lossy(&comm)))),
        Err(e) if e.is_gone() => {}
        Err(e) => return Err(e.into()),
    }
    let member = members.get(&id);
    Ok(member.map(|(of, pid)| format!("is that of a {of} which process {pid} is still in")))
}

/// From the first process to the release of them all, with `waits` ready to wait for them. Where it fails nothing is left.
fn build(
    args: &Args,
    (here, made, waits): (Here, Vec<NsId>, bool),
    (tree, plan): (&Tree, &Plan),
    reader: &mut floe_stream::Reader<floe_toolkit::Input>,
    (mut bulk, mut lines, receipt): (Bulk<'_>, Option<File>, Option<&Receipt>),
) -> anyhow::Result<Option<Waiter>> {
    let total = bulk.total(reader.get_mut().file());
    let options = RestoreOptions {
        inherit: args.inherit.clone(),
        root: args.root.clone(),
        external: args.external.iter().map(|it| (it.point.clone(), it.source.clone())).collect(),
        outside: [OutsideRule::all(tree.options().outside)]
            .into_iter()
            .chain(args.outside.iter().cloned())
            .collect(),
        on_change: args.on_change.clone(),
        cgroup: args.cgroup.clone().unwrap_or_else(|| tree.options().cgroup),
        joined: args.join.iter().map(|join| join.kind).collect(),
        made,
        here,
    };
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.display().to_string()).collect();
    let image = std::fs::read_link("/proc/self/fd/0").ok().filter(|image| image.is_file());
    let image = image.as_deref().and_then(|image| image.to_str());
    let mut open = OpenFiles::new(tree, &options, &plan.steps)
        .map_err(|refusals| outside::with_command(refusals, &words, image))?;
    for note in open.notes() {
        floe_toolkit::warn("restore", note);
    }
    // In a pid namespace of its own the tree has another pid outside, which the outside writes.
    let pidfile = args.pidfile.as_deref().filter(|_| !args.new_pidns);
    let root = tree.root().map_or(0, |process| process.pid.0).to_string();
    let pidfile = pidfile.map(|path| pidfile::Pidfile::new(path, &root)).transpose()?;
    let mut work = Restore::new(tree, &open, plan)?;
    let steps = &plan.steps;
    let fill = steps.iter().position(|step| *step == Step::Fill).unwrap_or(steps.len());
    // Up to there whatever ends us ends the tree.
    let guard = steps.iter().position(|step| *step == Step::Guard).unwrap_or(fill);
    let lend = steps.iter().position(|step| matches!(step, Step::Lend(_))).unwrap_or(guard);
    let mut progress = Progress::new("restore", total, lines.take())?;
    let mut done = 0;
    for (at, step) in steps[..fill].iter().enumerate() {
        if let Step::Supply(child) = step {
            work.run(&steps[done..at])?;
            bulk.fill(Some(*child), reader, (&work, &open), &mut progress)?;
            done = at;
        }
    }
    work.run(&steps[done..fill])?;
    bulk.fill(None, reader, (&work, &open), &mut progress)?;
    progress.finish();
    open.seal()?;
    work.run(&steps[fill..lend])?;
    let front = match steps.get(lend) {
        Some(Step::Lend(group)) if !args.detach && !args.new_pidns => {
            Foreground::lend(tree, &open, *group)?
        }
        _ => None,
    };
    let waiter = waits.then(|| Waiter::new(front)).transpose()?;
    work.run(&steps[lend..guard])?;
    receipt.map_or(Ok(()), Receipt::built)?;
    work.run(&steps[guard..])?;
    drop(work);
    waiter.iter().for_each(Waiter::greet);
    open.keep();
    if let Some(pidfile) = pidfile {
        pidfile.keep();
    }
    Ok(waiter)
}

/// Leaves the tree to init. The kernel would end stopped jobs of our session whose last parent we are.
fn leave(tree: &Tree) -> anyhow::Result<()> {
    if tree.all::<Process>().iter().any(|p| matches!(p.state, State::Stopped(_))) {
        nix::unistd::setsid()
            .context("unable to leave the session, without which stopped jobs end with restore")?;
    }
    Ok(())
}
