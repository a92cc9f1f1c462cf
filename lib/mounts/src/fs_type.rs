//! Types of file systems that are on no disk.

/// The kernel shows itself in them: each can be mounted anew.
const KERNEL: [&[u8]; 7] = [b"proc", b"sysfs", b"devpts", b"mqueue", b"cgroup", b"cgroup2", b"bpf"];
/// Likewise, and there is one for all of the system.
const GLOBAL: [&[u8]; 8] = [
    b"devtmpfs",
    b"debugfs",
    b"tracefs",
    b"securityfs",
    b"configfs",
    b"fusectl",
    b"pstore",
    b"efivarfs",
];
/// Others that each container has its own of, or none.
const OF_CONTAINERS: [&[u8]; 5] = [b"hugetlbfs", b"binfmt_misc", b"nsfs", b"autofs", b"selinuxfs"];
/// What is in them is in memory alone.
const IN_MEMORY: [&[u8]; 2] = [b"tmpfs", b"ramfs"];

/// Whether the kernel shows itself in such a file system, and another one is as good.
pub fn is_of_kernel(fs_type: &[u8]) -> bool {
    KERNEL.contains(&fs_type) || is_global(fs_type)
}

/// Whether there is one of such file systems for all of the system: its options are those of all.
pub fn is_global(fs_type: &[u8]) -> bool {
    GLOBAL.contains(&fs_type)
}

/// Whether what is in such a file system is in memory alone, as in tmpfs.
pub fn is_in_memory(fs_type: &[u8]) -> bool {
    IN_MEMORY.contains(&fs_type)
}

/// Whether such a file system is mounted anew in each container, and holds nothing that lasts.
pub(crate) fn is_passing(fs_type: &[u8]) -> bool {
    is_of_kernel(fs_type) || OF_CONTAINERS.contains(&fs_type)
}
