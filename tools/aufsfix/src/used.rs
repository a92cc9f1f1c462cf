//! The union mounts that a tree stands on, and those that their branches lie on.

use crate::space::Space;
use anyhow::{Result, bail};
use floe_capture::mount_trees::union_record;
use floe_records::{Finding, Pid, Union};
use floe_unions::Stack;

/// Records in the order in which they were found; each once.
#[derive(Default)]
pub struct Used {
    all: Vec<Union>,
    /// How many of them are written.
    written: usize,
}

impl Used {
    /// Notes the union that `path` of a process lies on; true for one that is new.
    pub fn note(
        &mut self,
        pid: Pid,
        space: &Space,
        path: &[u8],
        no: &mut Vec<Finding>,
    ) -> Result<bool> {
        let Some(stack) = space.over(path) else { return Ok(false) };
        if self.all.last().is_some_and(|last| last.point.0 == stack.mount.point && is(last, stack))
        {
            return Ok(false);
        }
        let Some(union) = union_record(stack) else {
            let point = String::from_utf8_lossy(&stack.mount.point);
            bail!(
                "the branches of the AUFS mount at {point} are not known; list them with --branches"
            );
        };
        if self.all.contains(&union) {
            return Ok(false);
        }
        if self.all.iter().any(|other| other.point == union.point) {
            let object = format!("{} at {}", union.fs_type, union.point);
            let problem = "another process of the tree sees another union there";
            let finding = Finding::of(pid, object, "union.two", problem);
            no.push(
                finding.hint("a tree is put into one mount namespace: capture them one by one"),
            );
            return Ok(false);
        }
        let branches: Vec<Vec<u8>> =
            union.branches.iter().map(|(path, _)| path.0.clone()).collect();
        self.all.push(union);
        for branch in branches {
            // What restore could not mount again it will find missing.
            if space.over(&branch).is_some_and(|base| base.branches.is_some()) {
                self.note(pid, space, &branch, no)?;
            }
        }
        Ok(true)
    }

    /// Those that have not been taken yet.
    pub fn fresh(&mut self) -> &[Union] {
        let from = std::mem::replace(&mut self.written, self.all.len());
        &self.all[from..]
    }

    /// The last one that was found.
    pub fn last(&self) -> Option<&Union> {
        self.all.last()
    }
}

/// Cheaper than to make a record for every reference.
fn is(union: &Union, stack: &Stack) -> bool {
    let mount = &stack.mount;
    union.options.0 == mount.options && union.root.0 == mount.root && union.flags.0 == mount.flags
}
