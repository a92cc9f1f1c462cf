//! Settings of prctl(2), by the table of their record.

use crate::{Result, resource::OfThread, subject::Thread};
use floe_parasite::{Arg, Batch, Call, Replies, Slot};
use floe_records::{PRCTLS, Pid, PrctlCall, PrctlRow, PrctlValue, Prctls, Tid};

/// Where the answer of a row will be found.
pub(crate) struct Asked {
    row: &'static PrctlRow,
    call: Call,
    slot: Option<Slot>,
}

impl OfThread for Prctls {
    type Asked = Vec<Asked>;

    fn ask(thread: &Thread<'_>, batch: &mut Batch) -> Vec<Asked> {
        let (pid, tid) = (Pid(thread.pid), Tid(thread.tid));
        let rows = PRCTLS.iter().filter(|row| row.concerns(pid, tid));
        rows.map(|row| ask(row, batch)).collect()
    }

    fn take(thread: &Thread<'_>, asked: Vec<Asked>, replies: &Replies) -> Result<Self> {
        let mut values = Vec::new();
        for Asked { row, call, slot } in asked {
            // A kernel or CPU that does not have it; or (PR_GET_IO_FLUSHER) one that tells it only to the privileged.
            let Ok(result) = replies.value(call) else { continue };
            let word =
                |slot| replies.bytes(slot).first_chunk().copied().map_or(0, u32::from_ne_bytes);
            let answer = slot.map_or(result, |slot| word(slot).into());
            let PrctlRow { option, which, usual, .. } = *row;
            let value = row.value(answer).filter(|value| *value != usual);
            values.extend(value.map(|value| PrctlValue { option, which, value }));
        }
        Ok(Prctls { pid: Pid(thread.pid), tid: Tid(thread.tid), values })
    }
}

fn ask(row: &'static PrctlRow, batch: &mut Batch) -> Asked {
    let slot = (row.call == PrctlCall::Memory).then(|| batch.zeroed(16));
    let second = slot.map_or(Arg::Val(row.which.into()), Arg::from);
    let number = if row.call == PrctlCall::Arch { libc::SYS_arch_prctl } else { libc::SYS_prctl };
    let args = [Arg::Val(row.option.into()), second, 0.into(), 0.into(), 0.into()];
    Asked { row, call: batch.try_call(number, args), slot }
}
