//! Settings of the calling thread, and what may be asked of another one.

use crate::{Error, Result, check};
use std::ffi::CStr;

/// IOPRIO_WHO_PROCESS: a single thread.
const WHO: i32 = 1;
/// Of `PR_SCHED_CORE`.
const SCHED_CORE_GET: u64 = 0;
/// A single thread (PIDTYPE_PID of the kernel).
const ONE_THREAD: u64 = 0;
/// Bits of the mask of nodes; at least as many as the kernel may have (MAX_NUMNODES).
const NODES: usize = 1024;

/// The session keyring of the calling thread (KEYCTL_GET_KEYRING_ID of keyctl(2)); `None` on a kernel without keyrings.
pub fn session_keyring() -> Option<u32> {
    let (get, session) = (libc::KEYCTL_GET_KEYRING_ID, libc::KEY_SPEC_SESSION_KEYRING);
    // SAFETY: numbers only.
    let id = check(unsafe { libc::syscall(libc::SYS_keyctl, get, session, 0) });
    id.ok().map(|id| id as u32)
}

/// Has the calling thread join the session keyring of a name, which ends with a zero byte, or a new one that has none
/// (KEYCTL_JOIN_SESSION_KEYRING), and gives that its owner, its group (where they are known) and its permissions.
///
/// # Errors
/// Those of keyctl(2).
pub fn join_session_keyring(
    name: Option<&[u8]>,
    owner: Option<u32>,
    group: Option<u32>,
    permissions: u32,
) -> Result<()> {
    let name = name.map(CStr::from_bytes_with_nul).transpose();
    let name = name.map_err(|_| Error::because("join a session keyring", "its name has no end"))?;
    let at = name.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the name, where there is one, ends with a zero byte, and outlives the call.
    let id =
        check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, at) });
    let id = id.map_err(|e| Error::new("join a session keyring", e))?;
    let (owner, group) = (owner.unwrap_or(u32::MAX), group.unwrap_or(u32::MAX));
    // SAFETY: numbers only; -1 leaves what there is.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_CHOWN, id, owner, group) })
        .map_err(|e| Error::new("set the owner of a session keyring", e))?;
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, id, permissions) })
        .map_err(|e| Error::new("set the permissions of a session keyring", e))?;
    Ok(())
}

/// A prctl(2) that gives a number as its result.
pub fn prctl_result(option: u32, which: u32) -> Result<u64> {
    let (zero, which) = (0u64, u64::from(which));
    // SAFETY: numbers only; options that take an address find none at so small a one.
    check(unsafe { libc::prctl(option as i32, which, zero, zero, zero) }.into())
        .map(|value| value as u64)
        .map_err(|e| Error::new(format!("ask for the setting {option} of prctl(2)"), e))
}

/// A prctl(2) that writes an `int` to memory.
pub fn prctl_word(option: u32) -> Result<u32> {
    // The longest that any option writes.
    let mut word = [0u32; 4];
    let (zero, at) = (0u64, word.as_mut_ptr());
    // SAFETY: the kernel writes at most 16 bytes (PR_GET_NAME) to the exclusively borrowed `word`.
    check(unsafe { libc::prctl(option as i32, at, zero, zero, zero) }.into())
        .map(|_| word[0])
        .map_err(|e| Error::new(format!("ask for the setting {option} of prctl(2)"), e))
}

/// An arch_prctl(2) that gives a number as its result.
pub fn arch_prctl_result(option: u32, which: u32) -> Result<u64> {
    // SAFETY: numbers only; options that take an address find none at so small a one.
    check(unsafe { libc::syscall(libc::SYS_arch_prctl, u64::from(option), u64::from(which)) })
        .map(|value| value as u64)
        .map_err(|e| Error::new(format!("ask for the setting {option} of arch_prctl(2)"), e))
}

/// ioprio_get(2) of a thread; 0 stands for our own.
pub fn io_priority(tid: i32) -> Result<u32> {
    // SAFETY: numbers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_get, WHO, tid) })
        .map(|value| value as u32)
        .map_err(|e| Error::new("read the I/O priority", e).pid(tid as u32))
}

/// The mode of our own memory policy (get_mempolicy(2)); 0 on a kernel without policies.
pub fn memory_policy() -> Result<u32> {
    let (mut mode, mut nodes) = (0i32, [0u64; NODES / 64]);
    let (at, mask) = (std::ptr::from_mut(&mut mode), nodes.as_mut_ptr());
    // SAFETY: the kernel writes an `int` to `mode` and at most `NODES` bits to `nodes`, both exclusively borrowed.
    match check(unsafe { libc::syscall(libc::SYS_get_mempolicy, at, mask, NODES, 0u64, 0u64) }) {
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => Ok(0),
        done => done.map(|_| mode as u32).map_err(|e| Error::new("read the memory policy", e)),
    }
}

/// The core-scheduling cookie of a thread (`PR_SCHED_CORE` of prctl(2)), 0 for none; 0 stands for our own tid. `None`
/// where the kernel or the machine has no such thing.
pub fn core_cookie(tid: i32) -> Result<Option<u64>> {
    let mut cookie = 0u64;
    let (at, tid_arg) = (std::ptr::from_mut(&mut cookie), tid as u64);
    // SAFETY: the kernel writes one word to the exclusively borrowed `cookie`.
    let done = unsafe { libc::prctl(libc::PR_SCHED_CORE, SCHED_CORE_GET, tid_arg, ONE_THREAD, at) };
    match check(done.into()) {
        Ok(_) => Ok(Some(cookie)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENODEV)) => Ok(None),
        Err(e) => Err(Error::new("read the core-scheduling cookie", e).pid(tid as u32)),
    }
}

/// PR_SET_VMA of prctl(2), whose only kind is 0, PR_SET_VMA_ANON_NAME.
pub const PR_SET_VMA: i32 = 0x5356_4d41;

/// Whether the kernel lets anonymous memory have names (CONFIG_ANON_VMA_NAME).
pub fn names_memory() -> bool {
    // SAFETY: nothing is named where the length is 0.
    unsafe { libc::prctl(PR_SET_VMA, 0, 0, 0, 0) == 0 }
}

/// Whether the kernel has mseal(2) (Linux 6.10).
pub fn knows_mseal() -> bool {
    // SAFETY: nothing is sealed where the length is 0.
    unsafe { libc::syscall(libc::SYS_mseal, 0, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let no_new_privs = prctl_result(libc::PR_GET_NO_NEW_PRIVS as u32, 0).unwrap();
        assert!(no_new_privs <= 1);
        assert_eq!(prctl_word(libc::PR_GET_TSC as u32).unwrap(), libc::PR_TSC_ENABLE as u32);
        assert!(prctl_result(0xffff, 0).is_err() && prctl_word(0xffff).is_err());
        assert_eq!(io_priority(0).unwrap(), io_priority(std::process::id() as i32).unwrap());
        assert!(io_priority(1 << 30).unwrap_err().is_gone());
        assert!(memory_policy().unwrap() < 1 << 16);
        assert!(matches!(core_cookie(0).unwrap(), None | Some(0)), "the tests have no cookie");
    }
}
