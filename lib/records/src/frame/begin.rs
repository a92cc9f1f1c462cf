//! The first record of every stream.

use crate::{Bytes, Pid, Resource};
use serde::{Deserialize, Serialize};

/// Version of the stream's framing.
pub const FORMAT: u16 = 1;
/// Longest record of a stream, bytes.
pub const MAX_RECORD: usize = 16 << 20;

/// Opens a stream: who wrote it, where, and of what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// [`FORMAT`].
    pub format: u16,
    /// Architecture, `x86_64`.
    pub arch: String,
    /// Bytes, a power of two from 4096.
    pub page_size: u32,
    /// Kernel release, as uname(2) gives it.
    pub kernel: Bytes,
    /// /proc/sys/kernel/random/boot_id, without the newline.
    pub boot_id: Bytes,
    /// Program and version that wrote the record.
    pub writer: String,
    /// Root of the tree.
    pub root: Pid,
    /// The process that holds the tree stopped, in the same pid namespace as the tree.
    pub holder: Pid,
    /// Start time of the holder in clock ticks since boot (/proc/PID/stat field 22).
    pub holder_start: u64,
    /// CLOCK_REALTIME when everything stood still, nanoseconds.
    pub realtime_ns: u64,
    /// CLOCK_MONOTONIC of the tree when everything stood still, nanoseconds.
    pub monotonic_ns: u64,
    /// CLOCK_BOOTTIME of the tree when everything stood still, nanoseconds.
    pub boottime_ns: u64,
    /// XCR0: the register state components that the xstate blocks may hold.
    pub xfeatures: u64,
}

impl Resource for Begin {
    type Key = ();
    fn key(&self) {}
}
