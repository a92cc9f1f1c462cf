//! What a restore finds on its machine. The caller looks it up; this crate asks nobody.

use floe_records::Cpu;

/// The machine, and what restore has there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// Ranges of addresses that the hole must not be in: those of restore itself.
    pub taken: Vec<(u64, u64)>,
    /// XCR0: components of the extended state that threads can have.
    pub xfeatures: u64,
    /// Bytes of an NT_X86_XSTATE block. The kernel takes no other.
    pub xstate_len: usize,
    /// What the processor tells programs of itself, and where it keeps components of the extended state.
    pub cpu: Cpu,
    /// First number that is no process id any more (/proc/sys/kernel/pid_max).
    pub pid_max: u32,
    /// First number that no descriptor of restore can have: its hard RLIMIT_NOFILE.
    pub descriptors: u32,
    /// Effective capabilities of restore, bit n for capability n.
    pub capabilities: u64,
    /// Whether the system calls of restore are restricted (seccomp(2)): the tree would inherit that.
    pub filtered: bool,
    /// The highest hard limit that restore can set, at the number of each.
    pub limits: Vec<u64>,
    /// The lowest oom_score_adj that it can set.
    pub oom_score_adj: i32,
    /// The largest pipe that it can make, bytes.
    pub pipe: u32,
}

/// What limits, large pipes and low values of oom_score_adj need.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// How much of the metadata is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// What `freeze` writes: no descriptors and no objects yet.
    Frozen,
    /// All of it.
    Whole,
}
