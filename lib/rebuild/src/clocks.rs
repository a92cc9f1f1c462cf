//! Clocks of the tree that go on where they were, in a time namespace (time_namespaces(7)).

use floe_proc::ClockOffsets;
use floe_records::Tree;
use floe_sys::{Error, Result};
use nix::{
    sched::{CloneFlags, unshare},
    time::{ClockId, clock_gettime},
};

/// Of clone(2), in no release of nix yet.
const CLONE_NEWTIME: i32 = 0x80;

/// Makes a time namespace for every process that the calling one makes from now on, in which CLOCK_MONOTONIC and
/// CLOCK_BOOTTIME say what they said to the tree when it stood still. The calling thread must be the main one.
///
/// # Errors
/// Where that is not permitted (CAP_SYS_ADMIN, CAP_SYS_TIME), or the kernel has no time namespaces.
pub fn continue_clocks(tree: &Tree) -> Result<()> {
    const DOING: &str = "continue the clocks of the tree (--timens)";
    let Some(begin) = tree.begin() else { return Ok(()) };
    let ours = ClockOffsets::of(std::process::id())?;
    unshare(CloneFlags::from_bits_retain(CLONE_NEWTIME)).map_err(|e| Error::new(DOING, e))?;
    let offset = |clock, was: u64, ours: i128| Ok::<_, Error>(i128::from(was) - now(clock)? + ours);
    let offsets = ClockOffsets {
        monotonic_ns: offset(ClockId::CLOCK_MONOTONIC, begin.monotonic_ns, ours.monotonic_ns)?,
        boottime_ns: offset(ClockId::CLOCK_BOOTTIME, begin.boottime_ns, ours.boottime_ns)?,
    };
    std::fs::write("/proc/self/timens_offsets", offsets.to_text()).map_err(|e| Error::new(DOING, e))
}

/// By how many seconds CLOCK_MONOTONIC would jump back for the tree where it is not continued.
///
/// # Errors
/// Where the clock cannot be read.
pub fn jump_back(tree: &Tree) -> Result<Option<u64>> {
    let was = tree.begin().map_or(0, |begin| i128::from(begin.monotonic_ns));
    let back = (was - now(ClockId::CLOCK_MONOTONIC)?) / 1_000_000_000;
    Ok(u64::try_from(back).ok().filter(|seconds| *seconds > 0))
}

fn now(clock: ClockId) -> Result<i128> {
    let time = clock_gettime(clock).map_err(|e| Error::new("read a clock", e))?;
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}
