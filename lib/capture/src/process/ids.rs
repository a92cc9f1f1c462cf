//! Ids and relations of a process.

use crate::{Result, proc::Stat, resource::OfProcess, subject};
use floe_parasite::{Batch, Replies};
use floe_records::{Pid, Process, State};

impl OfProcess for Process {
    type Asked = ();

    fn ask(_: &subject::Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &subject::Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let stopped = process.leader()?.stopped_by();
        let state = stopped.map_or(State::Alive, |signal| State::Stopped(signal as u32));
        Ok(vec![ids(process.pid, &process.stat, state)])
    }
}

/// What there is of a process that has ended, too.
pub(crate) fn ids(pid: u32, stat: &Stat, state: State) -> Process {
    Process {
        pid: Pid(pid),
        ppid: Pid(stat.ppid()),
        pgid: Pid(stat.field(5) as u32),
        sid: Pid(stat.field(6) as u32),
        start_time: stat.start_time(),
        state,
        exit_signal: stat.field(38) as u32,
        tty_nr: stat.field(7) as i32,
        tty_pgrp: stat.field(8) as i32,
    }
}
