//! One CPU for restore and its stubs, which inherit it: a system call in a stub is two changes between tracer and
//! tracee, and to wake an idle CPU for each of them costs several times as much as the call. The stubs get the
//! affinity of their threads when they are finished.

use floe_plan::Tree;
use floe_sys::{affinity, current_cpu, set_affinity};

/// From so many system calls on it pays; with fewer, two CPUs that share the work are faster.
const MANY: usize = 2000;

/// Keeps the calling thread on the CPU that it is on, while it lives.
pub struct Pin {
    before: Vec<u8>,
}

impl Pin {
    /// For a tree that takes many calls; `None` for a small one, and where it cannot be had.
    pub fn for_tree(tree: &Tree) -> Option<Self> {
        let calls = tree.fds.values().map(Vec::len).chain(tree.vmas.values().map(Vec::len));
        if calls.sum::<usize>() < MANY {
            return None;
        }
        let before = affinity(0).ok()?;
        let mut one = vec![0; before.len()];
        let cpu = current_cpu()?;
        *one.get_mut(cpu / 8)? = 1 << (cpu % 8);
        set_affinity(0, &one).ok()?;
        Some(Self { before })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // It was allowed a moment ago.
        let _ = set_affinity(0, &self.before);
    }
}
