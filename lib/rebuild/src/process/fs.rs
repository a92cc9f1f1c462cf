//! Working directory, root, umask.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Fs, Pid};
use floe_sys::Result;

impl ForProcess for Fs {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        if phase == Phase::Settings {
            if let Some(fs) = context.tree.get::<Fs>(pid) {
                script.call(libc::SYS_umask, [Arg::Val(u64::from(fs.umask))]);
            }
            return Ok(());
        }
        let (cwd, root) = context.files.places(pid)?;
        if let Some(root) = root {
            // There is no fchroot(2): the way is to go there first.
            script.call(libc::SYS_fchdir, [Arg::Val(u64::from(root))]);
            let dot = script.bytes(b".\0");
            script.call(libc::SYS_chroot, [dot.into()]);
        }
        script.call(libc::SYS_fchdir, [Arg::Val(u64::from(cwd))]);
        Ok(())
    }
}
