//! Properties of cgroups that travel with a tree: files that are read by freeze, and written in a cgroup that restore has made.

/// When a property is set in a cgroup that restore has made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropertyTurn {
    /// Before anything is in it: nothing may be in it otherwise, or its descendants need it.
    Early,
    /// Before the tree is let go: what limits it would limit restore.
    Late,
}

/// How the content of a property is written again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropertyForm {
    /// Line by line.
    Lines,
    /// Its first word.
    Word,
    /// Its first word, if that is `threaded`: all other types come by themselves.
    Type,
    /// Each word with a `+` in front.
    Controllers,
    /// The number of its first line.
    Number,
    /// Nothing but these lines, written to devices.allow.
    Devices,
}

/// A property that is carried: its name, in which a `*` stands for any bytes, and how it is set.
pub type CgroupProperty = (&'static str, PropertyTurn, PropertyForm);

use PropertyForm::{Controllers, Devices, Lines, Number, Type, Word};
use PropertyTurn::{Early, Late};

/// All that are carried, in the order in which they are set: one may be no larger than another one.
pub const CGROUP_PROPERTIES: [CgroupProperty; 67] = [
    ("cgroup.type", Early, Type),
    ("cgroup.clone_children", Early, Lines),
    ("cpuset.cpus", Early, Lines),
    ("cpuset.mems", Early, Lines),
    ("cgroup.subtree_control", Early, Controllers),
    // The kernel denies everything only where there are no cgroups below, which have what their parents have.
    ("devices.list", Early, Devices),
    // Without time for it nothing with a real-time policy may be in it.
    ("cpu.rt_period_us", Early, Lines),
    ("cpu.rt_runtime_us", Early, Lines),
    ("notify_on_release", Late, Lines),
    ("cgroup.max.depth", Late, Lines),
    ("cgroup.max.descendants", Late, Lines),
    ("cgroup.pressure", Late, Lines),
    ("cpuset.cpus.exclusive", Late, Lines),
    ("cpuset.cpus.partition", Late, Word),
    ("cpuset.cpu_exclusive", Late, Lines),
    ("cpuset.mem_exclusive", Late, Lines),
    ("cpuset.mem_hardwall", Late, Lines),
    ("cpuset.memory_migrate", Late, Lines),
    ("cpuset.memory_spread_page", Late, Lines),
    ("cpuset.memory_spread_slab", Late, Lines),
    ("cpuset.sched_load_balance", Late, Lines),
    ("cpuset.sched_relax_domain_level", Late, Lines),
    ("cpu.idle", Late, Lines),
    ("cpu.weight", Late, Lines),
    ("cpu.shares", Late, Lines),
    ("cpu.max", Late, Lines),
    ("cpu.max.burst", Late, Lines),
    ("cpu.cfs_period_us", Late, Lines),
    ("cpu.cfs_quota_us", Late, Lines),
    ("cpu.cfs_burst_us", Late, Lines),
    ("cpu.uclamp.min", Late, Lines),
    ("cpu.uclamp.max", Late, Lines),
    ("cpu.uclamp.latency_sensitive", Late, Lines),
    ("memory.min", Late, Lines),
    ("memory.low", Late, Lines),
    ("memory.high", Late, Lines),
    ("memory.max", Late, Lines),
    ("memory.swap.high", Late, Lines),
    ("memory.swap.max", Late, Lines),
    ("memory.zswap.max", Late, Lines),
    ("memory.zswap.writeback", Late, Lines),
    ("memory.oom.group", Late, Lines),
    ("memory.limit_in_bytes", Late, Lines),
    ("memory.memsw.limit_in_bytes", Late, Lines),
    ("memory.soft_limit_in_bytes", Late, Lines),
    ("memory.kmem.tcp.limit_in_bytes", Late, Lines),
    ("memory.swappiness", Late, Lines),
    ("memory.oom_control", Late, Number),
    ("pids.max", Late, Lines),
    ("io.max", Late, Lines),
    ("io.latency", Late, Lines),
    ("io.weight", Late, Lines),
    ("io.bfq.weight", Late, Lines),
    ("io.prio.class", Late, Lines),
    ("blkio.bfq.weight*", Late, Lines),
    ("blkio.weight*", Late, Lines),
    ("blkio.throttle.*_device", Late, Lines),
    ("blkio.prio.class", Late, Lines),
    ("hugetlb.*.max", Late, Lines),
    ("hugetlb.*.limit_in_bytes", Late, Lines),
    ("rdma.max", Late, Lines),
    ("dmem.min", Late, Lines),
    ("dmem.low", Late, Lines),
    ("dmem.max", Late, Lines),
    ("misc.max", Late, Lines),
    ("net_cls.classid", Late, Lines),
    ("net_prio.ifpriomap", Late, Lines),
];

/// How a file of this name is carried, and its place in [`CGROUP_PROPERTIES`].
pub fn cgroup_property(name: &[u8]) -> Option<(usize, CgroupProperty)> {
    let is = |pattern: &str| match pattern.split_once('*') {
        None => name == pattern.as_bytes(),
        Some((head, tail)) => {
            let long = name.len() >= head.len() + tail.len();
            long && name.starts_with(head.as_bytes()) && name.ends_with(tail.as_bytes())
        }
    };
    CGROUP_PROPERTIES.iter().copied().enumerate().find(|(_, (pattern, ..))| is(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_by_name() {
        let at = |name: &str| cgroup_property(name.as_bytes()).map(|(_, (pattern, ..))| pattern);
        assert_eq!(at("pids.max"), Some("pids.max"));
        assert_eq!(at("hugetlb.2MB.rsvd.max"), Some("hugetlb.*.max"));
        assert_eq!(at("blkio.throttle.read_bps_device"), Some("blkio.throttle.*_device"));
        for other in
            ["cgroup.kill", "cgroup.procs", "memory.reclaim", "release_agent", "memory.max2", ""]
        {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
