//! Single settings of a process.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Call, Replies, Slot};
use floe_records::{Pid, Settings};

const PR_GET_THP_DISABLE: i32 = 42;

/// Where the answers of prctl(2) will be found.
pub(crate) struct Asked {
    dumpable: Call,
    subreaper: Slot,
    thp: Call,
}

/// A prctl whose answer is written to memory: a number, or a name of at most 16 bytes.
pub(crate) fn prctl_out(batch: &mut Batch, option: i32) -> Slot {
    let slot = batch.zeroed(16);
    batch.call(libc::SYS_prctl, [option.into(), slot.into(), 0.into(), 0.into(), 0.into()]);
    slot
}

/// A prctl whose answer is its result.
pub(crate) fn prctl(batch: &mut Batch, option: i32) -> Call {
    batch.call(libc::SYS_prctl, [option.into(), 0.into(), 0.into(), 0.into(), 0.into()])
}

/// The words of a slot.
pub(crate) fn words<const N: usize>(replies: &Replies, slot: Slot) -> [u64; N] {
    let chunks = replies.bytes(slot).as_chunks::<8>().0;
    let mut out = [0; N];
    out.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u64::from_ne_bytes(*chunk));
    out
}

impl OfProcess for Settings {
    type Asked = Asked;

    fn ask(_: &Process<'_>, batch: &mut Batch) -> Result<Asked> {
        Ok(Asked {
            dumpable: prctl(batch, libc::PR_GET_DUMPABLE),
            subreaper: prctl_out(batch, libc::PR_GET_CHILD_SUBREAPER),
            thp: prctl(batch, PR_GET_THP_DISABLE),
        })
    }

    fn take(process: &Process<'_>, asked: Asked, replies: &Replies) -> Result<Vec<Self>> {
        let pid = process.pid;
        Ok(vec![Settings {
            pid: Pid(pid),
            personality: floe_proc::personality(pid)?,
            dumpable: replies.value(asked.dumpable)? as u32,
            child_subreaper: words::<1>(replies, asked.subreaper) != [0],
            thp_disabled: replies.value(asked.thp)? != 0,
            oom_score_adj: floe_proc::oom_score_adj(pid)?,
        }])
    }
}
