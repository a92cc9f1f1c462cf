//! Core-scheduling cookies (PR_SCHED_CORE of prctl(2)): a kernel gives new ones, and which threads had the same one
//! cannot be told to it.

use crate::{Result, subject::Thread};
use floe_records::{Finding, Findings, Pid};
use floe_sys::core_cookie;
use std::sync::OnceLock;

/// Looks at a thread.
pub(crate) fn check(thread: &Thread<'_>, out: &mut Findings) -> Result<()> {
    static OWN: OnceLock<Option<u64>> = OnceLock::new();
    let own = match OWN.get() {
        Some(own) => *own,
        None => *OWN.get_or_init(|| core_cookie(0).unwrap_or_default()),
    };
    if own.is_none() {
        return Ok(());
    }
    let theirs = match core_cookie(thread.tid as i32) {
        Err(error) if error.is_gone() => return Ok(()),
        other => other?,
    };
    if theirs != own {
        let problem = "its threads come back with that of restore";
        let object = "core-scheduling cookie";
        out.lose(Finding::of(Pid(thread.pid), object, "sched.core", problem));
    }
    Ok(())
}
