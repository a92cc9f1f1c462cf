//! Ids and relations of a process.

use crate::{Result, resource::OfProcess, subject};
use floe_parasite::{Batch, Replies};
use floe_proc::Stat;
use floe_records::{Pid, Process, Shares, State, Tid};

impl OfProcess for Process {
    type Asked = ();

    fn ask(_: &subject::Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &subject::Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let stopped = process.leader()?.stopped_by();
        let state = stopped.map_or(State::Alive, |signal| State::Stopped(signal as u32));
        Ok(vec![ids(process.pid, process.maker, process.shares, &process.stat, state)])
    }
}

/// What there is of a process that has ended, too.
pub(crate) fn ids(pid: u32, maker: u32, shares: Shares, stat: &Stat, state: State) -> Process {
    Process {
        pid: Pid(pid),
        ppid: Pid(stat.ppid),
        maker: Tid(maker),
        shares,
        pgid: Pid(stat.pgrp),
        sid: Pid(stat.session),
        start_time: stat.start_time,
        state,
        exit_signal: stat.exit_signal as u32,
        tty_nr: stat.tty_nr,
        tty_pgrp: stat.tpgid,
    }
}
