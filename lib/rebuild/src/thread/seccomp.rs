//! Restrictions of the system calls of a thread. They are suspended while restore traces it, so all else can still be done
//! behind them; they are set while the thread has every capability, without which no_new_privs would have to be set.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Filter, INSTRUCTION, Seccomp, Tid, Tree};
use floe_sys::Result;

const SET_MODE_STRICT: u64 = 0;
const SET_MODE_FILTER: u64 = 1;
/// All threads of the process come to have the filter, and share it.
const TSYNC: u64 = 1;
/// The settings of speculation are as they were recorded, with or without filters.
const SPEC_ALLOW: u64 = 4;

impl ForThread for Seccomp {
    fn apply(&self, context: Context<'_>, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let common = common(context.tree, self);
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

/// How many filters all threads of its process have in common. They share those, so that SECCOMP_FILTER_FLAG_TSYNC goes on to
/// work: it asks for the same filters, not for such of the same content.
fn common(tree: &Tree, one: &Seccomp) -> usize {
    let others = tree.threads(one.pid).filter_map(|thread| tree.get::<Seccomp>(thread.tid));
    let with = |other: &Seccomp| {
        one.filters.iter().zip(&other.filters).take_while(|(a, b)| a == b).count()
    };
    others.map(with).min().unwrap_or_default()
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
