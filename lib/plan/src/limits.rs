//! Hard limits that restore cannot set: they are refused, or lowered where the user allows it.

use crate::{Machine, check::Found};
use floe_records::*;

/// By number, as /proc/PID/limits orders them by name (include/uapi/asm-generic/resource.h).
const LIMITS: [&str; 16] = [
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

/// A hard limit of a process that is above what can be set here.
struct Beyond {
    number: usize,
    was: u64,
    most: u64,
}

fn beyond<'a>(limits: &'a Limits, machine: &'a Machine) -> impl Iterator<Item = Beyond> + 'a {
    let both = limits.limits.iter().zip(&machine.limits).enumerate().take(LIMITS.len());
    both.filter(|(_, ((_, hard), most))| hard > most).map(|(number, ((_, hard), most))| Beyond {
        number,
        was: *hard,
        most: *most,
    })
}

impl Beyond {
    fn finding(&self, pid: Pid, problem: &str) -> Finding {
        let was = if self.was == u64::MAX { "unlimited".into() } else { self.was.to_string() };
        let object = format!("limit RLIMIT_{}", LIMITS[self.number]);
        Finding::of(pid, object, "plan.limit", format!("it was {was}, and {problem}"))
    }
}

/// Notes those of a process.
pub(crate) fn refuse(limits: &Limits, machine: &Machine, found: &mut Found) {
    for beyond in beyond(limits, machine) {
        let hint = "raise the hard limit of restore, give it CAP_SYS_RESOURCE, or --allow limits";
        let problem = format!("cannot be raised above {} here", beyond.most);
        found.add(|| beyond.finding(limits.pid, &problem).hint(hint));
    }
}

/// The same tree with the limits that can be had here, and what has become of which.
///
/// # Errors
/// None that a tree has which could be read.
pub fn lower_limits(tree: Tree, machine: &Machine) -> Result<(Tree, Vec<Finding>), Duplicate> {
    let mut lost = Vec::new();
    let tree = tree.map(|limits: &mut Limits| {
        for beyond in beyond(&limits.clone(), machine) {
            let (soft, hard) = &mut limits.limits[beyond.number];
            (*soft, *hard) = ((*soft).min(beyond.most), beyond.most);
            lost.push(beyond.finding(limits.pid, &format!("becomes {}", beyond.most)));
        }
    })?;
    Ok((tree, lost))
}
