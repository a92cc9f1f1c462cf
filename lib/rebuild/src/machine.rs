//! What a plan must know of this machine and of restore itself.

use crate::maps::own_ranges;
use floe_plan::{CAP_SYS_RESOURCE, Machine};
use floe_records::{Cpu, CpuidWord, StateComponent};
use floe_sys::{Error, Result};
use std::fs;

/// As a restore by this process would find it now.
///
/// # Errors
/// Where /proc cannot be read.
pub fn machine() -> Result<Machine> {
    let capabilities = floe_sys::effective_capabilities()?;
    let limits = limits()?;
    let (xfeatures, xstate_len) = floe_sys::extended_state();
    let descriptors = limits.get(libc::RLIMIT_NOFILE as usize).copied().unwrap_or(0);
    let pipe = match capabilities >> CAP_SYS_RESOURCE & 1 {
        0 => number("/proc/sys/fs/pipe-max-size")?,
        // The kernel makes none larger.
        _ => 1 << 31,
    };
    Ok(Machine {
        taken: own_ranges()?,
        xfeatures,
        xstate_len,
        cpu: cpu(),
        pid_max: number("/proc/sys/kernel/pid_max")?,
        descriptors: u32::try_from(descriptors).unwrap_or(u32::MAX),
        capabilities,
        filtered: floe_tracee::is_filtered()?,
        limits,
        oom_score_adj: lowest_oom_score_adj()?,
        pipe,
    })
}

/// All capabilities that this kernel knows: those of who makes a user namespace, in it.
pub(crate) fn all_capabilities() -> Result<u64> {
    let last: u32 = number("/proc/sys/kernel/cap_last_cap")?;
    Ok((1 << (last + 1).min(63)) - 1)
}

/// The processor that we run on.
pub fn cpu() -> Cpu {
    let words = floe_sys::features().into_iter();
    let layout = floe_sys::state_layout().into_iter();
    Cpu {
        words: words.map(|(leaf, register, bits)| CpuidWord { leaf, register, bits }).collect(),
        layout: layout
            .map(|(number, offset, size)| StateComponent { number, offset, size })
            .collect(),
    }
}

/// The highest hard limit that can be set of each resource. Whether one can be raised is tried: CAP_SYS_RESOURCE counts only in the
/// first user namespace.
fn limits() -> Result<Vec<u64>> {
    let mut all = Vec::with_capacity(floe_proc::LIMITS);
    for resource in 0..floe_proc::LIMITS as u32 {
        let (soft, hard) = floe_sys::get_limit(0, resource)?;
        let most = match resource {
            libc::RLIMIT_NOFILE => number("/proc/sys/fs/nr_open")?.into(),
            _ => u64::MAX,
        };
        let raised = most > hard && floe_sys::set_limit(0, resource, soft, most).is_ok();
        if raised {
            floe_sys::set_limit(0, resource, soft, hard)?;
        }
        all.push(if raised { most } else { hard });
    }
    Ok(all)
}

/// The lowest oom_score_adj that can be set, which without CAP_SYS_RESOURCE is one that is kept nowhere to be read: it is tried, and
/// put back.
fn lowest_oom_score_adj() -> Result<i32> {
    let path = "/proc/self/oom_score_adj";
    let now = floe_proc::oom_score_adj(std::process::id())?;
    let can_be = |value: i32| fs::write(path, value.to_string()).is_ok();
    let (mut too_low, mut lowest) = (-1001, now);
    while lowest - too_low > 1 {
        let middle = if too_low == -1001 { -1000 } else { too_low.midpoint(lowest) };
        if can_be(middle) { lowest = middle } else { too_low = middle }
    }
    fs::write(path, now.to_string()).map_err(|e| Error::new(format!("write {path}"), e))?;
    Ok(lowest)
}

/// The number in a file of /proc.
pub(crate) fn number(path: &str) -> Result<u32> {
    let fail = |e| Error::new(format!("read {path}"), e);
    let text = fs::read_to_string(path).map_err(fail)?;
    let number = |e| Error::because(format!("read {path}"), format!("{e}"));
    text.trim().parse().map_err(number)
}
