//! The login uid, and the audit session, which cannot be made again.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Audit, Finding, Findings, Pid};

impl OfProcess for Audit {
    type Asked = ();

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        // There is a session where a login uid was set.
        if floe_proc::login_uid(process.pid)?.is_none() {
            return Ok(());
        }
        let session = |pid| floe_proc::number::<u32>(pid, "sessionid");
        let theirs = session(process.pid)?;
        if theirs != session(std::process::id())? {
            let problem = "the kernel gives the processes another one";
            let object = format!("audit session {theirs}");
            let finding = Finding::about(object, "audit.session", problem);
            out.lose(finding.hint("run freeze and restore in that session"));
        }
        Ok(())
    }

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let login_uid = floe_proc::login_uid(process.pid)?;
        Ok(vec![Audit { pid: Pid(process.pid), login_uid }])
    }
}
