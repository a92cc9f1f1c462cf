//! What stands in the way of a checkpoint for a moment only.

use crate::{file, rule};
use floe_records::{Finding, Refusals};

/// Rules of what passes by itself: a child of vfork(2) shares the memory of its parent until it calls execve(2), a connection is
/// made or accepted, urgent data is read, descriptors on their way are received, a lease is broken, a packet status, an answer of
/// netlink, an event of fanotify or a message of the kernel is read, a process that has ended is waited for.
const PASSING: [&str; 13] = [
    "process.shares",
    "thread.waits",
    "file.tcp",
    "file.unix",
    "file.udp",
    "file.netlink",
    file::io_uring::FLIGHT,
    "descriptor.lease",
    rule::pty::RULE,
    file::fanotify::EVENTS,
    file::kernel_log::MESSAGES,
    "process.leader",
    "thread.zombie",
];

/// Whether all that stood in the way may pass when the tree runs.
pub fn may_pass(refusals: &Refusals) -> bool {
    refusals.0.iter().all(passes)
}

pub(crate) fn passes(finding: &Finding) -> bool {
    PASSING.contains(&finding.rule.as_str())
}
