//! VMAs: the layout that was read first.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Findings, Pid, Vmas};

/// VMAs to a record.
const MOST: usize = 1024;

impl OfProcess for Vmas {
    type Asked = ();

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        out.refused.extend(process.layout.refusals.iter().cloned());
        out.lost.extend(process.layout.losses.iter().cloned());
        Ok(())
    }

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let pid = Pid(process.pid);
        if process.shares.memory != pid {
            // They are in the records of the process that it has them from.
            return Ok(vec![Vmas { pid, vmas: Vec::new() }]);
        }
        let some = process.layout.vmas.chunks(MOST);
        Ok(some.map(|some| Vmas { pid, vmas: some.to_vec() }).collect())
    }
}
