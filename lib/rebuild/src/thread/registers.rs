//! What a thread has registered with the kernel. Its registers come back when it is let go.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::Thread;
use floe_sys::Result;

impl ForThread for Thread {
    fn apply(&self, _: Context<'_>, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        if phase == Phase::ParentDeath {
            let signal = Arg::Val(u64::from(self.pdeath_signal));
            script.call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG.into(), signal]);
            return Ok(());
        }
        script.call(libc::SYS_set_tid_address, [Arg::Val(self.clear_child_tid.0)]);
        let (head, len) = self.robust_list;
        if len != 0 {
            script.call(libc::SYS_set_robust_list, [Arg::Val(head.0), Arg::Val(len)]);
        }
        if let Some(r) = self.rseq {
            let args = [r.addr.0, u64::from(r.len), 0, u64::from(r.signature)];
            script.call(libc::SYS_rseq, args.map(Arg::Val));
        }
        let mut comm = self.comm.0.clone();
        comm.resize(16, 0);
        let name = script.bytes(&comm);
        script.call(libc::SYS_prctl, [libc::PR_SET_NAME.into(), name.into()]);
        Ok(())
    }
}
