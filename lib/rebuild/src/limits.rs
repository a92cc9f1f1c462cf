//! Resource limits (getrlimit(2)): those of the tree, and what restore itself needs.

use crate::Work;
use floe_parasite::Batch;
use floe_plan::Tree;
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

/// Restore holds every file of the tree beside its own: as many as it may.
pub fn allow_many_files() -> Result<()> {
    let (soft, hard) = floe_sys::get_limit(0, libc::RLIMIT_NOFILE)?;
    if soft < hard { floe_sys::set_limit(0, libc::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
}

/// Hard limits that are higher than ours, where we may not raise them.
pub fn too_high(tree: &Tree) -> Result<Vec<Refusal>> {
    let mut no = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let (soft, own) = floe_sys::get_limit(0, number as u32)?;
        for (&pid, limits) in &tree.limits {
            let Some(&(_, hard)) = limits.limits.get(number) else { continue };
            // Whoever may raise it has done no harm by trying.
            if hard <= own || floe_sys::set_limit(0, number as u32, soft, hard).is_ok() {
                continue;
            }
            no.push(Refusal {
                pid: Some(pid),
                object: format!("limit RLIMIT_{name}"),
                problem: format!("it was {}, and cannot be raised above {own} here", shown(hard)),
                hint: "raise the hard limit of restore, or give it CAP_SYS_RESOURCE".into(),
            });
        }
    }
    Ok(no)
}

fn shown(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".into() } else { limit.to_string() }
}

impl Work<'_> {
    pub(crate) fn limits(&self, pid: Pid) -> Result<()> {
        let limits = self.tree.limits.get(&pid).map_or(&[][..], |l| &l.limits);
        for (resource, &(soft, hard)) in limits.iter().enumerate() {
            let later = resource == libc::RLIMIT_SIGPENDING as usize;
            if !later && floe_sys::get_limit(pid.0 as i32, resource as u32)? != (soft, hard) {
                floe_sys::set_limit(pid.0 as i32, resource as u32, soft, hard)?;
            }
        }
        Ok(())
    }

    /// RLIMIT_SIGPENDING, which those that wait may exceed: the process lowers it itself when they are there.
    pub(crate) fn queue_limit(&self, b: &mut Batch, pid: Pid) {
        let number = libc::RLIMIT_SIGPENDING as usize;
        let limits = self.tree.limits.get(&pid).and_then(|l| l.limits.get(number));
        if let Some((soft, hard)) = limits {
            let limit = b.bytes(&[soft.to_ne_bytes(), hard.to_ne_bytes()].concat());
            b.call(libc::SYS_prlimit64, [0.into(), number.into(), limit.into(), 0.into()]);
        }
    }
}
