//! Working directory, root, umask.

use crate::{
    Result,
    path::{ends_with_its_process, of_a_process},
    resource::OfProcess,
    subject::Process,
};
use floe_parasite::{Batch, Replies};
use floe_records::{Finding, Findings, Fs, Pid};

impl OfProcess for Fs {
    type Asked = ();

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let pid = Pid(process.pid);
        let places = [
            (&process.cwd, "working directory", "fs.cwd"),
            (&process.root, "root directory", "fs.root"),
        ];
        for (place, object, rule) in places {
            let path = &place.path.0;
            if !of_a_process(path) {
                continue;
            }
            let problem = if !place.deleted {
                "it is that of a process in /proc which has not ended"
            } else if place.ino == 0 || ends_with_its_process(path) {
                "it is that of the network or the descriptors of a process in /proc which has ended"
            } else {
                continue;
            };
            out.refuse(Finding::of(pid, object, rule, problem));
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
