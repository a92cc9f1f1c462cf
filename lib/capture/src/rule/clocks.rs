//! Time namespaces: the clocks of a tree are those of all of its processes.

use crate::subject::Process;
use floe_records::{Finding, Findings, Pid};

const NAMES: [&str; 2] = ["time", "time_for_children"];

/// The time namespaces that have been met.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// That of the first process, which is the root.
    first: Option<u64>,
    others: Vec<(u32, &'static str, u64)>,
}

impl Clocks {
    /// Notes those of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        for name in NAMES {
            // A kernel without them has none.
            let Some(own) = process.namespace(name) else { continue };
            let first = *self.first.get_or_insert(own);
            if own != first {
                self.others.push((process.pid, name, own));
            }
        }
    }

    /// Looks at them.
    pub fn check(&self, out: &mut Findings) {
        for (pid, name, _) in &self.others {
            let problem = "it is not that of the root: one tree has one time namespace";
            let object = format!("{name} namespace");
            out.refuse(Finding::of(Pid(*pid), object, "namespace.time", problem));
        }
    }
}
