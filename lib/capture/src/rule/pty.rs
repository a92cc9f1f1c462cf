//! Pseudo terminals of the tree that cannot be kept, or not in every respect.

use crate::{
    Result,
    files::Files,
    object::pty::{Found, polled},
    subject,
};
use floe_pty::{Queues, Stopped};
use floe_records::{Finding, Findings, ObjectId, Pid};
use floe_sys::{Error, TerminalNumber, has_locked_modes, kcmp_file, may_receive, terminal_number};
use nix::{
    poll::PollFlags,
    sys::stat::{major, minor},
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
};

/// The rule of all refusals.
pub(crate) const RULE: &str = "object.pty";
/// The rule of all losses.
const LOST: &str = "pty.lost";
/// ONOCR and TAB3 (XTABS) of `c_oflag`.
const COLUMNS: u32 = libc::ONOCR | libc::TAB3;

/// How the ends are open.
pub(crate) struct Ends {
    pub master_reads: bool,
}

/// Looks at each, without a change to any.
pub(crate) fn check(all: &[Found], files: &Files, out: &mut Findings) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let held = outside(all, files, out)?;
    for it in all {
        for problem in problems(it, files)? {
            out.refuse(it.finding(RULE, problem));
        }
        if !it.opened && !held.contains(&it.id) {
            let problem = "what may have been written to it before its slave is opened for the first time is lost";
            out.lose(it.finding(LOST, problem));
        }
        if it.modes.flags[1] & COLUMNS != 0 {
            let problem = "the column that its output has reached is lost (ONOCR, XTABS)";
            out.lose(it.finding(LOST, problem));
        }
    }
    Ok(())
}

/// Sessions of the tree whose controlling terminal is elsewhere: restore has only its own to give, which is that of its session.
pub(crate) fn sessions(all: &[Found], files: &Files, out: &mut Findings) -> Result<()> {
    for &pid in &files.pids {
        let number = nix::unistd::Pid::from_raw(pid.0 as i32);
        let leads = nix::unistd::getsid(Some(number)) == Ok(number);
        let own = all.iter().any(|it| it.session.is_some_and(|(session, _)| session == pid));
        if leads && !own && subject::stat(pid.0)?.is_some_and(|stat| stat.tty_nr != 0) {
            let problem = "it leads the session of a terminal whose master is not in the tree, and loses that";
            out.lose(Finding::of(pid, "controlling terminal", "tree.terminal", problem));
        }
    }
    Ok(())
}

/// Where its output is stopped, characters that were typed since wait for their echo.
pub(crate) fn stopped(it: &Found, queues: &Queues, out: &mut Findings) {
    if queues.stopped != Stopped::No && it.modes.flags[3] & libc::ECHO != 0 {
        let problem = "the echo of what was typed since its output was stopped is lost";
        out.lose(it.finding(LOST, problem));
    }
}

fn problems(it: &Found, files: &Files) -> Result<Vec<String>> {
    let fail = |e: std::io::Error| Error::new("ask a pseudo terminal", e).pid(it.holder.0.0);
    let master = it.master.as_fd();
    let mut problems = Vec::new();
    let mut add = |holds: bool, problem: &str| {
        if holds {
            problems.push(problem.to_owned());
        }
    };
    let discipline = terminal_number(master, TerminalNumber::Discipline).map_err(fail)?;
    let other = discipline != 0 || it.modes.line != 0;
    add(other, "it has another line discipline than that of terminals");
    add(has_locked_modes(master).map_err(fail)?, "its modes are locked (TIOCSLCKTRMIOS)");
    let packet = terminal_number(master, TerminalNumber::Packet).map_err(fail)? != 0;
    let waits = packet && polled(master, PollFlags::POLLPRI).map_err(fail)?;
    add(waits, "a status of its packet mode (TIOCPKT) waits to be read");
    add(!it.ends.master_reads, "its master is open for writing only, and cannot be looked into");
    add(
        !may_receive(master),
        "what is queued in it could not be put back (TIOCSTI is allowed with CAP_SYS_ADMIN of the first user namespace)",
    );
    if let Some((session, _)) = it.session.filter(|(session, _)| !files.pids.contains(session)) {
        problems.push(format!(
            "its slave is the controlling terminal of session {session}, which is not in the tree"
        ));
    }
    Ok(problems)
}

/// Whether arguments or environment of a process have the name of a slave.
pub(crate) fn names(pid: Pid, index: u64) -> bool {
    let name = format!("pts/{index}");
    ["cmdline", "environ"].iter().any(|file| {
        // One that ends meanwhile names nothing.
        let text = std::fs::read(floe_proc::path(pid.0, file)).unwrap_or_default();
        let mut words = text.windows(name.len()).zip(text.iter().skip(name.len()).chain(&[0]));
        words.any(|(word, next)| word == name.as_bytes() && !next.is_ascii_digit())
    })
}

/// Looks for processes outside of the tree that have one of them open; gives those that are.
fn outside(all: &[Found], files: &Files, out: &mut Findings) -> Result<BTreeSet<ObjectId>> {
    let mut held_outside = BTreeSet::new();
    let inside: BTreeSet<u32> = files.pids.iter().map(|pid| pid.0).collect();
    let by_id: BTreeMap<ObjectId, &Found> = all.iter().map(|it| (it.id, it)).collect();
    let own = std::process::id();
    let others = floe_proc::numbers_in("/proc")?.into_iter();
    for pid in others.filter(|pid| !inside.contains(pid) && *pid != own) {
        // A process that ends meanwhile has nothing open.
        for entry in std::fs::read_dir(floe_proc::path(pid, "fd")).into_iter().flatten().flatten() {
            let Ok(link) = std::fs::read_link(entry.path()) else { continue };
            let link = link.as_os_str().as_bytes();
            let is_master = link.ends_with(b"ptmx");
            if !is_master && !link.last().is_some_and(u8::is_ascii_digit) || !link.starts_with(b"/")
            {
                continue;
            }
            let number = entry.file_name().to_str().and_then(|number| number.parse().ok());
            let Some(number) = number else { continue };
            let held = if is_master {
                all.iter().find(|it| is_same(it, pid, number))
            } else {
                let meta = std::fs::metadata(entry.path()).ok();
                let slave = meta.filter(|meta| (136..=143).contains(&major(meta.rdev())));
                slave.and_then(|meta| {
                    let id = ObjectId { dev: meta.dev(), ino: minor(meta.rdev()) };
                    by_id.get(&id).copied()
                })
            };
            if let Some(it) = held {
                let end = if is_master { "master" } else { "slave" };
                let problem = format!("process {pid} has its {end} open, and is not in the tree");
                let hint = "end that one first, or freeze a process above both";
                out.refuse(it.finding(RULE, problem).hint(hint));
                held_outside.insert(it.id);
            }
        }
    }
    Ok(held_outside)
}

/// Whether a descriptor outside is that of a master.
fn is_same(it: &Found, pid: u32, fd: u32) -> bool {
    let (holder, own) = it.holder;
    let order = kcmp_file(holder.0 as i32, own.0 as i32, pid as i32, fd as i32);
    order.is_ok_and(|order| order == Ordering::Equal)
}
