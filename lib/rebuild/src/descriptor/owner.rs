//! Who gets SIGIO (fcntl(2), F_SETOWN_EX and F_SETSIG).

use crate::{
    resource::{Context, ForDescriptor},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{FdNum, Owner};
use floe_sys::Result;

const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;

impl ForDescriptor for Owner {
    /// An owner outside of the tree is not there any more.
    fn apply(&self, context: Context<'_>, fd: FdNum, script: &mut Script<'_>) -> Result<()> {
        let number = Arg::Val(u64::from(fd.0));
        if context.tree.has_task(self.id) {
            let id = script.called(context.tree, self.id)? as u32;
            let owner = [self.kind.to_ne_bytes(), id.to_ne_bytes()].concat();
            let owner = script.bytes(&owner);
            let pid = script.pid(context.tree);
            let own = context.uids(pid);
            // One that has no name where it is stays who it is.
            let name = |uid: u32| match context.files.maps_of(pid) {
                Some(maps) => maps.user(uid).unwrap_or(own[0]),
                None => uid,
            };
            let uids = self.uids.map(|uids| uids.map(name));
            let uids = uids.filter(|uids| *uids != [own[0], own[1]]);
            // The kernel notes who names it. The saved one stays, so that there is a way back, capabilities included.
            let turn_into = |script: &mut Script<'_>, [real, effective]: [u32; 2]| {
                let ids = [real, effective, own[2]].map(|id| Arg::Val(u64::from(id)));
                script.call(libc::SYS_setresuid, ids);
            };
            uids.into_iter().for_each(|uids| turn_into(script, uids));
            script.call(libc::SYS_fcntl, [number, Arg::Val(F_SETOWN_EX), owner.into()]);
            if uids.is_some() {
                turn_into(script, [own[0], own[1]]);
            }
        }
        if self.signal != 0 {
            let signal = Arg::Val(self.signal as u64);
            script.call(libc::SYS_fcntl, [number, Arg::Val(F_SETSIG), signal]);
        }
        Ok(())
    }
}
