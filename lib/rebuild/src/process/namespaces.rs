//! Namespaces: processes are made in them. That of the children is made, or entered, here, when all processes and threads are there:
//! who has another one than its own can start no threads, and would have its children there.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Namespaces, NsId, Pid, Share, Tree};
use floe_sys::Result;
use std::os::fd::AsRawFd;

impl ForProcess for Namespaces {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let Some(all) = context.tree.get::<Namespaces>(pid) else { return Ok(()) };
        let kind = Arg::Val(libc::CLONE_NEWPID as u64);
        if all.awaits_init() {
            script.call(libc::SYS_unshare, [kind]);
        } else if let Some(space) = all.entered() {
            let number = Arg::Val(context.files.pids(space)?.as_raw_fd() as u64);
            script.call(libc::SYS_setns, [number, kind]);
            if is_last_user(context.tree, pid, space) {
                script.call(libc::SYS_close, [number]);
            }
        }
        Ok(())
    }
}

/// Whether no other process that has this table of descriptors enters the namespace behind this one.
fn is_last_user(tree: &Tree, pid: Pid, space: NsId) -> bool {
    let owner = tree.owner(pid, Share::Table);
    let users = [&owner].into_iter().chain(tree.sharers(Share::Table, owner));
    let enters = |pid: &&Pid| {
        let all = tree.get::<Namespaces>(**pid);
        all.and_then(Namespaces::entered) == Some(space)
    };
    users.filter(enters).last() == Some(&pid)
}
