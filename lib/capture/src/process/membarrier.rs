//! Registrations of membarrier(2).

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Call, Replies};
use floe_records::{Membarrier, Pid};

/// Since Linux 6.3; EINVAL before.
const MEMBARRIER_CMD_GET_REGISTRATIONS: i32 = 1 << 9;

impl OfProcess for Membarrier {
    type Asked = Call;

    fn ask(_: &Process<'_>, batch: &mut Batch) -> Result<Call> {
        let args = [MEMBARRIER_CMD_GET_REGISTRATIONS.into(), 0.into(), 0.into()];
        Ok(batch.try_call(libc::SYS_membarrier, args))
    }

    fn take(process: &Process<'_>, asked: Call, replies: &Replies) -> Result<Vec<Self>> {
        let registered = replies.value(asked).map_or(0, |bits| bits as u32);
        Ok(vec![Membarrier { pid: Pid(process.pid), registered }])
    }
}
