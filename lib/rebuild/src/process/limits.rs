//! Resource limits (getrlimit(2)): those of the tree, and what restore itself needs.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::*;
use floe_sys::Result;

/// By number, as /proc/PID/limits orders them by name (include/uapi/asm-generic/resource.h).
const NAMES: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// Restore holds every file of the tree beside its own: as many as it may, with CAP_SYS_RESOURCE as many as the kernel lets
/// anybody have.
pub fn allow_many_files() -> Result<()> {
    let (soft, hard) = floe_sys::get_limit(0, libc::RLIMIT_NOFILE)?;
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open");
    let most = most.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(hard);
    if most > hard && floe_sys::set_limit(0, libc::RLIMIT_NOFILE, most, most).is_ok() {
        return Ok(());
    }
    if soft < hard { floe_sys::set_limit(0, libc::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
}

/// Hard limits that are higher than ours, where we may not raise them.
pub fn too_high(tree: &Tree) -> Result<Vec<Refusal>> {
    let mut no = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let (soft, own) = floe_sys::get_limit(0, number as u32)?;
        for limits in tree.all::<Limits>() {
            let Some(&(_, hard)) = limits.limits.get(number) else { continue };
            // Raising it does no harm where it is allowed.
            if hard <= own || floe_sys::set_limit(0, number as u32, soft, hard).is_ok() {
                continue;
            }
            let shown = shown(hard);
            let problem = format!("it was {shown}, and cannot be raised above {own} here");
            let object = format!("limit RLIMIT_{name}");
            let finding = Finding::of(limits.pid, object, "rebuild.limit", problem);
            no.push(finding.hint("raise the hard limit of restore, or give it CAP_SYS_RESOURCE"));
        }
    }
    Ok(no)
}

fn shown(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".into() } else { limit.to_string() }
}

impl ForProcess for Limits {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        let limits = context.tree.get::<Limits>(pid).map_or(&[][..], |l| &l.limits);
        let inherited = &context.stubs.inherited.limits;
        for (resource, &(soft, hard)) in limits.iter().enumerate() {
            // Signals that wait may exceed it: it is lowered when they are there.
            let late = resource == libc::RLIMIT_SIGPENDING as usize;
            let same = inherited.get(resource) == Some(&(soft, hard));
            if late == (phase == Phase::Last) && !same {
                let limit = script.words(&[soft, hard]);
                let args = [Arg::Val(0), resource.into(), limit.into(), Arg::Val(0)];
                script.call(libc::SYS_prlimit64, args);
            }
        }
        Ok(())
    }
}
