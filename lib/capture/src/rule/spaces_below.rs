//! Network, IPC and UTS namespaces of processes that are not in those of the root.

use crate::{
    Result, origin,
    own_spaces::{self, OwnSpace},
    resource,
    rule::user_spaces::UserSpaces,
    subject::Process,
};
use floe_records::{Finding, Findings, NsKind, Pid};
use std::collections::BTreeMap;

/// Those that processes were found in: kind and number, and the first process in it.
#[derive(Default)]
pub(crate) struct SpacesBelow(BTreeMap<(NsKind, u64), OwnSpace>);

impl SpacesBelow {
    /// One of a process.
    pub fn add(&mut self, kind: NsKind, id: u64, process: &Process<'_>) {
        let still = !process.threads.is_empty();
        self.0.entry((kind, id)).or_insert(OwnSpace { pid: process.pid, kind, still });
    }

    /// Looks at them, and at what is in them.
    pub fn check(&self, users: &UserSpaces, empty: &[NsKind], out: &mut Findings) -> Result<()> {
        for (&(kind, id), space) in &self.0 {
            if let Some(problem) = stands_apart(kind, id, space.pid, users)? {
                let object = format!("{} namespace", kind.name());
                out.refuse(Finding::of(Pid(space.pid), object, "namespace", problem));
            } else if !empty.contains(&kind) {
                let looked =
                    own_spaces::within(space.pid, kind, || resource::look_into(space, out));
                if looked.is_err() && floe_proc::is_dead(space.pid)? {
                    continue;
                }
                looked?;
            }
        }
        Ok(())
    }
}

/// Why a namespace cannot be made again below those of the root.
fn stands_apart(
    kind: NsKind,
    id: u64,
    pid: u32,
    users: &UserSpaces,
) -> Result<Option<&'static str>> {
    if origin::namespace(kind)? == Some(id) {
        return Ok(Some("it is that of freeze, and that of the root is another one"));
    }
    users.beyond(pid, kind)
}
