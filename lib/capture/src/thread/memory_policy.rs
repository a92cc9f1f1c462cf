//! Memory policy of a thread.

use crate::{Result, resource::OfThread, subject::Thread};
use floe_parasite::{Batch, Call, Replies, Slot};
use floe_records::{Bytes, MemoryPolicy, Pid, Tid};

/// Where the answer will be found: mode and mask.
pub(crate) struct Asked(Call, Slot, Slot);

impl OfThread for MemoryPolicy {
    type Asked = Asked;

    fn ask(_: &Thread<'_>, batch: &mut Batch) -> Asked {
        let (mode, mask) = (batch.zeroed(16), batch.zeroed(Self::MASK));
        let args = [mode.into(), mask.into(), (8 * Self::MASK).into(), 0.into(), 0.into()];
        Asked(batch.try_call(libc::SYS_get_mempolicy, args), mode, mask)
    }

    fn take(
        thread: &Thread<'_>,
        Asked(call, mode, mask): Asked,
        replies: &Replies,
    ) -> Result<Self> {
        let (mut policy, mut nodes) = (0, Vec::new());
        // A kernel without policies (CONFIG_NUMA) has no such call.
        if replies.value(call).is_ok() {
            policy = replies.bytes(mode).first_chunk().copied().map_or(0, u32::from_ne_bytes);
            let bytes = replies.bytes(mask);
            let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            nodes = bytes[..len].to_vec();
        }
        let (pid, tid) = (Pid(thread.pid), Tid(thread.tid));
        Ok(MemoryPolicy { pid, tid, mode: policy, nodes: Bytes(nodes) })
    }
}
