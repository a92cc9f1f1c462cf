//! Labels of security modules (SELinux, AppArmor, Smack): a thread has that of restore afterwards, as a program that restore starts.

use crate::{Result, subject::Thread};
use floe_records::{Finding, Findings, Pid};
use std::sync::OnceLock;

/// Looks at a thread.
pub(crate) fn check(thread: &Thread<'_>, out: &mut Findings) -> Result<()> {
    static OWN: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let own = match OWN.get() {
        Some(own) => own,
        None => {
            let own = floe_proc::label(std::process::id())?;
            OWN.get_or_init(|| own)
        }
    };
    if own.is_none() {
        return Ok(());
    }
    let theirs = match floe_proc::label(thread.tid) {
        Err(error) if error.is_gone() => return Ok(()),
        other => other?,
    };
    if theirs != *own {
        let label = theirs.unwrap_or_default();
        let label = String::from_utf8_lossy(&label).into_owned();
        let problem =
            format!("\"{label}\" is not carried: its threads come back with that of restore");
        let object = "label of the security module";
        out.lose(Finding::of(Pid(thread.pid), object, "thread.label", problem));
    }
    Ok(())
}
