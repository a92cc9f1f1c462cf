//! Working directory, root, umask.

use crate::{Result, path, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Finding, Findings, Fs, Pid};

impl OfProcess for Fs {
    type Asked = ();

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let pid = Pid(process.pid);
        if path::of_a_process(&process.cwd.path.0) {
            let problem = "it is that of a process in /proc";
            out.refuse(Finding::of(pid, "working directory", "fs.cwd", problem));
        }
        Ok(())
    }

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let pid = process.pid;
        let umask = process.status.umask()?;
        let (cwd, root) = (process.cwd.clone(), process.root.clone());
        Ok(vec![Fs { pid: Pid(pid), cwd, root, umask }])
    }
}
