//! The wrappers against the living kernel.

use floe_sys::*;
use std::{
    cmp::Ordering,
    fs::File,
    os::fd::{AsFd, AsRawFd},
};

#[test]
fn mappings_and_pages() {
    let me = std::process::id() as i32;
    let data = vec![7u8; 1 << 16];
    let addr = data.as_ptr() as u64;
    let pagemap = File::open("/proc/self/pagemap").expect("pagemap");
    let mut out = [PageRegion::default(); 8];
    let query =
        PageQuery { any: page_is::PRESENT, report: page_is::PRESENT, ..PageQuery::default() };
    let start = addr & !4095;
    let (n, end) =
        pagemap_scan(pagemap.as_fd(), start, start + 8192, query, &mut out).expect("scan");
    assert_eq!((n, end, out[0].start), (1, start + 8192, start));
    let mut copy = vec![0; data.len()];
    read_memory(me, addr, &mut copy).expect("read");
    assert_eq!(copy, data);
    assert!(read_memory(me, 0, &mut copy).is_err());
}

#[test]
fn descriptors_and_limits() {
    let me = std::process::id() as i32;
    let a = memfd_create(c"x", 0).expect("memfd");
    let pidfd = pidfd_open(me).expect("pidfd");
    let b = pidfd_getfd(pidfd.as_fd(), a.as_raw_fd()).expect("getfd");
    let order = kcmp_file(me, a.as_raw_fd(), me, b.as_raw_fd()).expect("kcmp");
    assert_eq!(order, Ordering::Equal);
    assert_eq!(kcmp_shared(me, me, Shared::Vm).expect("kcmp"), Ordering::Equal);
    assert_eq!(owner_ex(a.as_fd()).expect("owner").1, 0);
    assert!(get_limit(me, libc::RLIMIT_NOFILE).expect("limit").0 > 0);
    assert!(robust_list(0).expect("robust").1 > 0);
    assert_eq!(sched_attr(0).expect("sched").policy, 0);
    assert!(affinity(0).expect("affinity").iter().any(|&b| b != 0));
}

#[test]
fn a_stub_has_the_chosen_pid() {
    let pid = (20_000..30_000).rev().find(|p| File::open(format!("/proc/{p}/stat")).is_err());
    let pid = pid.expect("a free pid");
    assert_eq!(spawn_stub(&[pid], 0, libc::SIGCHLD).expect("clone3"), pid);
    let handle = pidfd_open(pid).expect("pidfd");
    let again = spawn_stub(&[pid], 0, libc::SIGCHLD).expect_err("the pid is taken");
    assert_eq!(again.errno(), Some(libc::EEXIST));
    pidfd_send_signal(handle.as_fd(), libc::SIGKILL).expect("kill");
    assert!(nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).is_ok());
}
