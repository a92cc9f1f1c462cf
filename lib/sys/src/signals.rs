//! What this process does with a signal (sigaction(2)).

use crate::{Error, Result, check};
use std::{mem::MaybeUninit, ptr};

/// Resets a signal to its default action: a parent may have left it ignored, which execve(2) keeps.
pub fn default_action(signal: i32) -> Result<()> {
    // SAFETY: zeros are a valid `sigaction`: SIG_DFL, no flags, an empty mask.
    let action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the action is valid, and the old one is not asked for.
    check(i64::from(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) }))
        .map_err(|e| Error::new(format!("reset the action of signal {signal}"), e))
        .map(drop)
}

/// Whether a signal is ignored, as nohup(1) and the background jobs of some shells want it.
pub fn is_ignored(signal: i32) -> Result<bool> {
    // SAFETY: zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: nothing is set, and the kernel writes one `sigaction`.
    check(i64::from(unsafe { libc::sigaction(signal, ptr::null(), &mut action) }))
        .map_err(|e| Error::new(format!("read the action of signal {signal}"), e))?;
    Ok(action.sa_sigaction == libc::SIG_IGN)
}
