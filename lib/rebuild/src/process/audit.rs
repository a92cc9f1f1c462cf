//! The login uid. A process may set only its own, and may not be allowed to.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Audit, Finding, Pid, Tree};
use floe_sys::Result;
use std::collections::BTreeMap;

/// AUDIT_UID_UNSET.
const UNSET: u32 = u32::MAX;
/// Of the thread that opens it.
const OWN: &str = "/proc/thread-self/loginuid";

/// Login uids that may not be set here, and stay those of restore. It is tried in a thread, for each has its own.
pub fn lost_login_uids(tree: &Tree) -> Result<Vec<Finding>> {
    let own = floe_proc::login_uid(std::process::id())?;
    let mut tried = BTreeMap::new();
    let mut lost = Vec::new();
    for Audit { pid, login_uid } in tree.all::<Audit>().iter().filter(|a| a.login_uid != own) {
        let text = login_uid.unwrap_or(UNSET).to_string();
        let set = || std::thread::spawn(move || std::fs::write(OWN, text)).join();
        if !*tried.entry(*login_uid).or_insert_with(|| matches!(set(), Ok(Ok(())))) {
            let shown = login_uid.map_or("unset".to_owned(), |uid| uid.to_string());
            let finding =
                Finding::of(*pid, "login uid", "rebuild.audit", format!("{shown} cannot be set"));
            lost.push(finding.hint("give restore CAP_AUDIT_CONTROL"));
        }
    }
    Ok(lost)
}

impl ForProcess for Audit {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let Some(audit) = context.tree.get::<Audit>(pid) else { return Ok(()) };
        if audit.login_uid == context.stubs.inherited.login_uid {
            return Ok(());
        }
        let text = audit.login_uid.unwrap_or(UNSET).to_string();
        let (path, text) =
            (script.bytes(&[OWN.as_bytes(), b"\0"].concat()), script.bytes(text.as_bytes()));
        let flags = Arg::from(libc::O_WRONLY);
        let file = script.call(libc::SYS_openat, [libc::AT_FDCWD.into(), path.into(), flags]);
        // Where this fails, it was reported as lost.
        script.try_call(libc::SYS_write, [file.into(), text.into(), text.len().into()]);
        script.call(libc::SYS_close, [file.into()]);
        Ok(())
    }
}
