//! Cgroup namespaces of the tree's own: where their roots are must be known, and their members must be able to enter them.

use crate::{
    Result, namespace::cgroup_roots, origin, rule::user_spaces::UserSpaces, subject::Process,
};
use floe_records::{Finding, Findings, NsKind, Pid};
use std::collections::BTreeMap;

const RULE: &str = "namespace.cgroup";

/// Those that processes were found in.
#[derive(Default)]
pub(crate) struct CgroupSpaces {
    /// By number, the first process in it.
    members: BTreeMap<u64, u32>,
    pids: Vec<u32>,
}

impl CgroupSpaces {
    /// That of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        self.pids.push(process.pid);
        if let Some(id) = process.namespace("cgroup") {
            self.members.entry(id).or_insert(process.pid);
        }
    }

    /// Looks at them.
    pub fn check(&self, users: &UserSpaces, out: &mut Findings) -> Result<()> {
        let origin = origin::all()?;
        let ours = origin.get(&NsKind::Cgroup);
        for (id, &pid) in self.members.iter().filter(|(id, _)| Some(*id) != ours) {
            let mut refuse = |problem: String, hint: &str| {
                let finding =
                    Finding::of(Pid(pid), format!("cgroup namespace {id}"), RULE, problem);
                out.refuse(finding.hint(hint));
            };
            if let Some(problem) = users.beyond(pid, NsKind::Cgroup)? {
                refuse(problem.into(), "");
                continue;
            }
            match cgroup_roots::roots(pid, &self.pids) {
                Ok(Ok(_)) => {}
                Ok(Err(hierarchy)) => {
                    let name = if hierarchy.0.is_empty() { "cgroup2".into() } else { hierarchy };
                    let problem = format!(
                        "where its root is in the hierarchy {name} is not known: no process is below it"
                    );
                    refuse(problem, "have a process there");
                }
                Err(_) if floe_proc::is_dead(pid)? => {}
                Err(error) => {
                    let problem = format!("it cannot be looked at: {error}");
                    refuse(problem, "run freeze with CAP_SYS_ADMIN, or inside of it (nsenter -C)");
                }
            }
        }
        Ok(())
    }
}
