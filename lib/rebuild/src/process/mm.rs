//! The numbers of an address space, and the executable.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Mm, Pid, Share};
use floe_sys::Result;

/// No executable yet.
const NONE: u32 = u32::MAX;
const PR_SET_MM: i32 = 35;
const PR_SET_MM_MAP: i32 = 14;

impl ForProcess for Mm {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        let Some(mm) = context.tree.get::<Mm>(pid) else { return Ok(()) };
        // One that was removed is still open for writing until its content is there.
        let late = context.files.exe_comes_late(pid);
        match phase {
            Phase::Numbers if late => numbers(mm, NONE, script),
            Phase::Numbers => numbers(mm, context.files.exe(pid)?, script),
            _ if late => {
                let exe = context.files.exe(pid)?;
                numbers(mm, exe, script);
                if is_last_with(context, pid, exe) {
                    script.call(libc::SYS_close, [Arg::Val(u64::from(exe))]);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether no process behind this one sets its executable from the same number of the same table.
fn is_last_with(context: Context<'_>, pid: Pid, exe: u32) -> bool {
    let (tree, files) = (context.tree, context.files);
    let owner = tree.owner(pid, Share::Table);
    let sharers = tree.sharers(Share::Table, owner).iter();
    let behind = sharers.skip_while(|other| owner != pid && **other != pid);
    let mut others = behind.filter(|other| **other != pid && files.exe_comes_late(**other));
    !others.any(|other| files.exe(*other).is_ok_and(|number| number == exe))
}

/// `struct prctl_mm_map` of include/uapi/linux/prctl.h.
fn numbers(mm: &Mm, exe: u32, script: &mut Script<'_>) {
    let auxv = script.bytes(&mm.auxv.0);
    let words = [
        mm.code.0, mm.code.1, mm.data.0, mm.data.1, mm.brk.0, mm.brk.1, mm.stack, mm.args.0,
        mm.args.1, mm.env.0, mm.env.1,
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.0.to_ne_bytes()).collect();
    bytes.extend(0u64.to_ne_bytes());
    bytes.extend((mm.auxv.0.len() as u32).to_ne_bytes());
    bytes.extend(exe.to_ne_bytes());
    let map = script.bytes(&bytes);
    script.pointer(map, 88, auxv);
    let len = Arg::Val(bytes.len() as u64);
    let args = [PR_SET_MM.into(), PR_SET_MM_MAP.into(), map.into(), len, Arg::Val(0)];
    script.call(libc::SYS_prctl, args);
}
