//! Variables of a user namespace (/proc/sys/user, namespaces(7)): how many namespaces, watches and the like its users may have. They show
//! only to who is in it.

use crate::Result;
use floe_records::{Finding, Findings, Pid};
use floe_sys::Error;
use nix::{
    sched::{CloneFlags, setns},
    sys::wait::waitpid,
    unistd::{Pid as NixPid, pipe},
};
use std::{
    fs::File,
    io::{Read, Write},
};

/// What each is in a new one.
const FRESH: &str = "2147483647";
const PLACE: &str = "/proc/sys/user";

/// Tells those of the user namespace of a process that would not come back.
pub(crate) fn check(pid: u32, out: &mut Findings) -> Result<()> {
    let lose = |variable: String, problem: String| {
        Finding::of(Pid(pid), variable, "namespace.variable", problem)
    };
    let Some(told) = told_inside(pid)? else {
        let problem =
            "it is not to be seen whether its variables (/proc/sys/user) are those of a new one";
        out.lose(lose("user namespace".to_owned(), problem.to_owned()));
        return Ok(());
    };
    for line in told.lines() {
        let Some((name, value)) = line.split_once(' ').filter(|(_, value)| *value != FRESH) else {
            continue;
        };
        let problem =
            format!("it is {value} in its user namespace; one that is made again has no limit");
        out.lose(lose(format!("user.{name}"), problem));
    }
    Ok(())
}

/// Names and values, a line each, by a child that goes there; `None` where it cannot.
fn told_inside(pid: u32) -> Result<Option<String>> {
    let fail = |e| Error::new("look into a user namespace", e).pid(pid);
    let space = File::open(floe_proc::path(pid, "ns/user")).map_err(fail)?;
    let (reads, writes) = pipe().map_err(|e| fail(e.into()))?;
    let (mut reads, mut writes) = (File::from(reads), File::from(writes));
    let child = floe_sys::child(0, || {
        let entered = setns(&space, CloneFlags::CLONE_NEWUSER).is_ok();
        let told = if entered { read_all().ok() } else { None };
        u8::from(told.is_none_or(|told| writes.write_all(told.as_bytes()).is_err()))
    })?;
    drop(writes);
    let mut told = String::new();
    let read = reads.read_to_string(&mut told);
    waitpid(NixPid::from_raw(child), None).map_err(|e| fail(e.into()))?;
    read.map_err(fail)?;
    Ok(Some(told).filter(|told| !told.is_empty()))
}

fn read_all() -> std::io::Result<String> {
    let mut told = String::new();
    for entry in std::fs::read_dir(PLACE)? {
        let entry = entry?;
        let value = std::fs::read_to_string(entry.path())?;
        told += &format!("{} {}\n", entry.file_name().to_string_lossy(), value.trim_end());
    }
    Ok(told)
}
