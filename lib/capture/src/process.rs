//! A process: ids and relations.

use crate::{
    ask::ProcessAnswers,
    proc::{self, Stat},
};
use floe_records::{Namespace, Pid, Process, State};
use floe_sys::Result;
use std::fs;

/// `answers` is `None` for a zombie, which has little left to tell.
pub(crate) fn process(pid: u32, state: State, answers: Option<&ProcessAnswers>) -> Result<Process> {
    let stat = Stat::of(pid)?;
    let alive = answers.is_some();
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    Ok(Process {
        pid: Pid(pid),
        ppid: Pid(stat.ppid()),
        pgid: Pid(stat.field(5) as u32),
        sid: Pid(stat.field(6) as u32),
        start_time: stat.start_time(),
        state,
        exit_signal: stat.field(38) as u32,
        personality: if alive { proc::number(pid, "personality", Some(hex))? } else { 0 },
        dumpable: answers.map_or(0, |a| a.dumpable),
        child_subreaper: answers.is_some_and(|a| a.child_subreaper),
        thp_disabled: answers.is_some_and(|a| a.thp_disabled),
        oom_score_adj: if alive { proc::number(pid, "oom_score_adj", None)? } else { 0 },
        tty_nr: stat.field(7) as i32,
        tty_pgrp: stat.field(8) as i32,
        namespaces: if alive { namespaces(pid)? } else { Vec::new() },
    })
}

fn namespaces(pid: u32) -> Result<Vec<Namespace>> {
    let dir = proc::path(pid, "ns");
    let fail = |e| proc::unable(pid, "ns", e);
    let mut all = Vec::new();
    for entry in fs::read_dir(&dir).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(ino) = namespace(pid, name) {
            all.push(Namespace { name: name.into(), ino });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Inode number of a namespace of a process.
pub(crate) fn namespace(pid: u32, name: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()?;
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}
