//! What restore would need a capability for that it does not have.

use super::Found;
use crate::Machine;
use floe_records::*;

const HINT: &str = "give restore CAP_SYS_RESOURCE";

/// Number of the capability.
const SYS_ADMIN: u32 = 21;

pub(super) fn check(tree: &Tree, machine: &Machine, found: &mut Found) {
    for creds in tree.all::<Creds>() {
        match tree.id_maps(creds.pid) {
            // Who makes a user namespace has them all in it.
            Some(maps) => ids(maps, creds, found),
            None => capabilities(creds, machine, found),
        }
    }
    seccomp(tree, machine, found);
    of_the_system(tree, machine, found);
    for limits in tree.all::<Limits>() {
        crate::limits::refuse(limits, machine, found);
    }
    for s in tree.all::<Settings>().iter().filter(|s| s.oom_score_adj < machine.oom_score_adj) {
        let problem = format!(
            "it was {}, and cannot be set below {} here without CAP_SYS_RESOURCE",
            s.oom_score_adj, machine.oom_score_adj
        );
        found.add(|| Finding::of(s.pid, "oom_score_adj", "plan.oom", problem).hint(HINT));
    }
    for data in tree.all::<PipeData>().iter().filter(|data| data.capacity > machine.pipe) {
        let problem = format!(
            "it has room for {} bytes, and {} are the most here without CAP_SYS_RESOURCE",
            data.capacity, machine.pipe
        );
        let object = format!("pipe {}", data.id.ino);
        let hint = "give restore CAP_SYS_RESOURCE, or raise fs.pipe-max-size (sysctl(8))";
        found.add(|| Finding::about(object, "plan.pipe", problem).hint(hint));
    }
}

/// Filters of system calls are inherited, and only who is free of them can set those of others aside while it works.
fn seccomp(tree: &Tree, machine: &Machine, found: &mut Found) {
    if machine.filtered {
        let problem = "the system calls of restore are restricted, which the tree would inherit";
        let hint = "run restore outside of every sandbox";
        found.add(|| Finding::about("seccomp", "plan.seccomp", problem).hint(hint));
    }
    if machine.capabilities >> SYS_ADMIN & 1 == 0 {
        for one in tree.all::<Seccomp>().iter().filter(|one| !one.is_free()) {
            let object = format!("seccomp of thread {}", one.tid);
            let problem =
                "its system calls are restricted, which restore needs CAP_SYS_ADMIN to set";
            found.add(|| {
                Finding::of(one.pid, object, "plan.seccomp", problem).hint("run restore as root")
            });
        }
    }
}

/// Groups of fanotify are told of what others do; maps of BPF are the system's. A pid namespace is made with the rights in the user
/// namespace that is to own it.
fn of_the_system(tree: &Tree, machine: &Machine, found: &mut Found) {
    if machine.capabilities >> SYS_ADMIN & 1 == 0 {
        let awaiting = |all: &&Namespaces| all.awaits_init() && tree.id_maps(all.pid).is_none();
        for all in tree.all::<Namespaces>().iter().filter(awaiting) {
            let problem = "it awaits its first process, and restore needs CAP_SYS_ADMIN to make it";
            let object = "pid_for_children namespace";
            found.add(|| {
                Finding::of(all.pid, object, "plan.admin", problem).hint("run restore as root")
            });
        }
        let groups = tree.all::<Fanotify>().iter().map(|one| one.file);
        for file in groups.chain(tree.all::<BpfMap>().iter().map(|one| one.file)) {
            let problem = "restore needs CAP_SYS_ADMIN to make it";
            found.add(|| {
                let object = tree.describe(file);
                Finding::about(object, "plan.admin", problem).hint("run restore as root")
            });
        }
    }
}

/// Who a thread is must have a name where it is.
fn ids(maps: &IdMaps, creds: &Creds, found: &mut Found) {
    if let Some(id) = maps.nameless(&creds.uids, &creds.gids, &creds.groups) {
        let problem = format!("user or group {id} has no name in its user namespace");
        found.add(|| Finding::of(creds.pid, "credentials", "plan.ids", problem));
    }
}

/// Nobody can give what he does not have.
fn capabilities(creds: &Creds, machine: &Machine, found: &mut Found) {
    let [inheritable, permitted, effective, _, ambient] = creds.caps;
    let lacking = (inheritable | permitted | effective | ambient) & !machine.capabilities;
    if lacking != 0 {
        let names: Vec<String> = (0..64).filter(|n| lacking >> n & 1 != 0).map(name).collect();
        let problem = format!("it holds {}, which restore has not", names.join(", "));
        let object = format!("capabilities of thread {}", creds.tid);
        let hint = "run restore with these capabilities";
        found.add(|| Finding::of(creds.pid, object, "plan.capabilities", problem).hint(hint));
    }
}

/// The name of a capability (include/uapi/linux/capability.h).
fn name(number: usize) -> String {
    CAPABILITIES.get(number).map_or_else(|| format!("capability {number}"), |n| format!("CAP_{n}"))
}

const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
