//! What a plan must know of this machine and of restore itself.

use crate::{maps::own_ranges, process::limits::allow_many_files};
use floe_plan::Machine;
use floe_sys::{Error, Result};

/// As a restore by this process would find it now; its limit of open files is raised first, as far as it may be.
///
/// # Errors
/// Where /proc cannot be read.
pub fn machine() -> Result<Machine> {
    let path = "/proc/sys/kernel/pid_max";
    let fail = |e| Error::new(format!("read {path}"), e);
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let number = |e| Error::because(format!("read {path}"), format!("{e}"));
    let pid_max = text.trim().parse().map_err(number)?;
    allow_many_files()?;
    let (_, hard) = floe_sys::get_limit(0, libc::RLIMIT_NOFILE)?;
    let (xfeatures, xstate_len) = floe_sys::extended_state();
    let descriptors = u32::try_from(hard).unwrap_or(u32::MAX);
    Ok(Machine { taken: own_ranges()?, xfeatures, xstate_len, pid_max, descriptors })
}
