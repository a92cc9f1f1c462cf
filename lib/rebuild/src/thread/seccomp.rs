//! Restrictions of the system calls of a thread. They are suspended while restore traces it, so all else can still be done
//! behind them; they are set while the thread has every capability, without which no_new_privs would have to be set.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Filter, INSTRUCTION, Pid, Seccomp, Tid, Tree};
use floe_sys::Result;
use std::collections::BTreeMap;

const SET_MODE_STRICT: u64 = 0;
const SET_MODE_FILTER: u64 = 1;
/// All threads of the process come to have the filter, and share it.
const TSYNC: u64 = 1;
/// The settings of speculation are as they were recorded, with or without filters.
const SPEC_ALLOW: u64 = 4;

impl ForThread for Seccomp {
    fn apply(&self, context: Context<'_>, _: Phase, script: &mut Script<'_>) -> Result<()> {
        if self.is_free() {
            return Ok(());
        }
        let common = context.stubs.filters.get_or_init(|| in_common(context.tree));
        let common = common.get(&self.pid).copied().unwrap_or_default();
        let leads = self.tid == Tid(self.pid.0);
        for (at, filter) in self.filters.iter().enumerate() {
            match at < common {
                true if leads => install(filter, TSYNC, script)?,
                true => {}
                false => install(filter, 0, script)?,
            }
        }
        if self.strict {
            script.call(libc::SYS_seccomp, [SET_MODE_STRICT, 0, 0].map(Arg::Val));
        }
        Ok(())
    }
}

/// How many filters all threads of each process have in common. They share those, so that SECCOMP_FILTER_FLAG_TSYNC goes on to
/// work: it asks for the same filters, not for such of the same content.
fn in_common(tree: &Tree) -> BTreeMap<Pid, usize> {
    let mut all: BTreeMap<Pid, &[Filter]> = BTreeMap::new();
    for one in tree.all::<Seccomp>() {
        let common = all.entry(one.pid).or_insert(&one.filters);
        let same = common.iter().zip(&one.filters).take_while(|(a, b)| a == b).count();
        *common = &common[..same];
    }
    all.into_iter().map(|(pid, filters)| (pid, filters.len())).collect()
}

fn install(filter: &Filter, flags: u64, script: &mut Script<'_>) -> Result<()> {
    let program = script.bytes(&filter.program.0);
    // `struct sock_fprog`: the number of instructions, and where they are.
    let head = script.words(&[(filter.program.0.len() / INSTRUCTION) as u64, 0]);
    script.pointer(head, 8, program);
    let flags = Arg::Val(filter.flags | flags | SPEC_ALLOW);
    script.call(libc::SYS_seccomp, [Arg::Val(SET_MODE_FILTER), flags, head.into()]);
    script.breathe()
}
