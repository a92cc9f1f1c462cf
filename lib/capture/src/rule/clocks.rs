//! Time namespaces: clocks of a tree that go on in restore (`--timens`) are those of all of its processes.

use crate::{Result, subject::Process};
use floe_proc::namespaces_of;
use floe_records::{Finding, Findings, Options, Pid};

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

    /// Looks at them. Without the option they are those of freeze.
    pub fn check(&self, pids: &[u32], options: &Options, out: &mut Findings) -> Result<()> {
        let mut refuse = |pid, name: &str, problem, hint| {
            let finding =
                Finding::of(Pid(pid), format!("{name} namespace"), "namespace.time", problem);
            out.refuse(finding.hint(hint));
        };
        if options.timens {
            for (pid, name, _) in &self.others {
                let problem = "it is not that of the root: one tree has one time namespace";
                refuse(*pid, name, problem, "");
            }
            return Ok(());
        }
        let [ours, _] = namespaces_of(std::process::id(), NAMES)?;
        let hint = "freeze --timens, or run freeze inside that namespace (nsenter)";
        let all = pids.iter().flat_map(|pid| NAMES.map(|name| (*pid, name)));
        for (pid, name) in all {
            let other = self.others.iter().find(|other| (other.0, other.1) == (pid, name));
            if other.map(|other| other.2).or(self.first).is_some_and(|theirs| Some(theirs) != ours)
            {
                refuse(pid, name, "it is not the one of freeze", hint);
            }
        }
        Ok(())
    }
}
