//! The wrappers against the living kernel.

use floe_sys::*;
use std::{
    cmp::Ordering,
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, AsRawFd, IntoRawFd},
    path::Path,
    time::{Duration, Instant},
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
    assert!(again.to_string().contains("it is taken"), "{again}");
    pidfd_send_signal(handle.as_fd(), libc::SIGKILL).expect("kill");
    assert!(nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).is_ok());
}

#[test]
fn memory_of_our_own_is_not_written() {
    let data = [7u8; 8];
    let me = std::process::id() as i32;
    let error = write_memory(me, data.as_ptr() as u64, &[0; 8]).expect_err("it is ours");
    assert_eq!((error.errno(), data), (Some(libc::EPERM), [7; 8]));
}

#[test]
fn only_what_was_inherited_is_duplicated() {
    let ours = File::open("/dev/null").expect("open");
    let error = duplicate_inherited(ours.as_raw_fd()).expect_err("it is ours");
    assert_eq!(error.errno(), Some(libc::EBADF));
    assert!(duplicate_inherited(-1).is_err() && duplicate_inherited(1 << 20).is_err());
    // As it comes out of execve(2).
    let given = nix::unistd::dup(&ours).expect("dup").into_raw_fd();
    let copy = duplicate_inherited(given).expect("duplicate");
    assert!(copy.as_raw_fd() != given);
    let high = duplicate_from(copy.as_fd(), 500).expect("duplicate");
    assert!(high.as_raw_fd() >= 500);
}

#[test]
fn options_with_addresses_are_refused() {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0).expect("socket");
    let fd = socket.as_fd();
    assert_eq!(socket_filter_len(fd).expect("no filter"), 0);
    // Three instructions: 24 bytes, where the kernel takes a room of four for enough.
    let program = [[6u16, 0, 0, 0]; 3];
    let filter = libc::sock_fprog { len: 3, filter: program.as_ptr().cast_mut().cast() };
    let len = size_of_val(&filter) as libc::socklen_t;
    let at = (&raw const filter).cast();
    // SAFETY: filter and program live on; the kernel only reads them.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, 26, at, len) };
    assert_eq!((done, socket_filter_len(fd).expect("a filter")), (0, 3));
    let read = socket_filter(fd).expect("a filter");
    assert_eq!(read, [6, 0, 0, 0, 0, 0, 0, 0].repeat(3));
    attach_filter(fd, &read[..16]).expect("set again");
    assert_eq!(socket_filter(fd).expect("a filter"), read[..16]);
    let error = socket_option(fd, libc::SOL_SOCKET, 26, 4).expect_err("not in bytes");
    assert_eq!(error.errno(), Some(libc::EINVAL));
    let error = set_socket_option(fd, libc::SOL_SOCKET, 26, &[0; 16]).expect_err("an address");
    assert_eq!(error.errno(), Some(libc::EINVAL));
    assert_eq!(socket_option(fd, libc::SOL_SOCKET, libc::SO_TYPE, 4).expect("type"), [2, 0, 0, 0]);
}

#[test]
fn memory_of_a_dead_process_is_gone() {
    const NOBODY: i32 = 1 << 30;
    assert!(read_memory(NOBODY, 4096, &mut [0]).expect_err("dead").is_gone());
    assert!(write_memory(NOBODY, 4096, &[0]).expect_err("dead").is_gone());
}

#[test]
fn a_process_ends_as_it_is_told_to() {
    let by_signal = [libc::SIGKILL, libc::SIGTERM, libc::SIGPIPE, libc::SIGSEGV, 64];
    for status in [0, 7 << 8, 255 << 8].into_iter().chain(by_signal.map(|signal| signal as u32)) {
        let handle = pidfds_of_ended(status, &[false]).expect("a handle").remove(0);
        assert_ne!(poll(handle.as_fd(), libc::POLLIN, Some(Duration::ZERO)).expect("poll"), 0);
        let error = pidfd_send_signal(handle.as_fd(), 0).expect_err("it has ended");
        assert_eq!(error.errno(), Some(libc::ESRCH));
        match pidfd_exit_status(handle.as_fd()).expect("a status") {
            Some(known) => assert_eq!(known, status),
            None => eprintln!("SKIPPED: this kernel does not keep the status of what has ended"),
        }
    }
    for signal in [libc::SIGSTOP, libc::SIGTSTP, libc::SIGCHLD, libc::SIGCONT] {
        pidfds_of_ended(signal as u32, &[false]).expect_err("nobody ends by it");
    }
    let own = pidfd_open(std::process::id() as i32).expect("a handle");
    assert_eq!(pidfd_exit_status(own.as_fd()).expect("a status"), None);
}

#[test]
fn a_lease_is_tried() {
    let path = std::env::temp_dir().join(format!("floe-sys-lease-{}", std::process::id()));
    let file = std::fs::File::create(&path).expect("a file");
    lease_would_be_had(file.as_fd(), libc::F_WRLCK).expect("nobody else has it");
    assert_eq!(owner_ex(file.as_fd()).expect("owner").1, 0);
    assert_eq!(owner_signal(file.as_fd()).expect("signal"), 0);
    let other = std::fs::File::open(&path).expect("it is not taken any more");
    for (file, kind) in [(&file, libc::F_WRLCK), (&other, libc::F_RDLCK)] {
        let error = lease_would_be_had(file.as_fd(), kind).expect_err("it is open for writing");
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
    }
    drop(file);
    lease_would_be_had(other.as_fd(), libc::F_RDLCK).expect("it is open for reading alone");
    std::fs::remove_file(&path).expect("remove");
}

#[test]
fn a_pipe_is_waited_for() {
    let (mut reader, mut writer) = std::io::pipe().expect("pipe");
    let start = Instant::now();
    let time = Some(Duration::from_millis(20));
    assert_eq!(poll(reader.as_fd(), libc::POLLIN, time).expect("poll"), 0);
    assert!(start.elapsed() >= Duration::from_millis(20));
    writer.write_all(b"x").expect("write");
    assert_eq!(poll(reader.as_fd(), libc::POLLIN, None).expect("poll"), libc::POLLIN);
    reader.read_exact(&mut [0]).expect("read");
    drop(writer);
    assert_eq!(poll(reader.as_fd(), 0, None).expect("poll"), libc::POLLHUP);
}

#[test]
fn a_file_system_is_mounted_by_descriptors() {
    const SYS_ADMIN: u64 = 1 << 21;
    if effective_capabilities().expect("capabilities") & SYS_ADMIN == 0 {
        eprintln!("SKIPPED: a_file_system_is_mounted_by_descriptors needs CAP_SYS_ADMIN");
        return;
    }
    // In a thread and mount namespace of its own, which take the mounts with them.
    let work = || {
        use nix::{mount, sched};
        sched::unshare(sched::CloneFlags::CLONE_NEWNS).expect("unshare");
        let (none, private) = (None::<&str>, mount::MsFlags::MS_REC | mount::MsFlags::MS_PRIVATE);
        mount::mount(none, "/", none, private, none).expect("private mounts");
        let fs = fsopen(b"tmpfs").expect("fsopen");
        fsconfig_set_string(fs.as_fd(), b"size", b"64k").expect("size");
        let error = fsconfig_set_string(fs.as_fd(), b"smell", b"good").expect_err("unknown");
        assert!(error.to_string().contains("smell=good"), "{error}");
        assert!(mount_message(fs.as_fd()).expect("message").is_some_and(|m| m.contains("smell")));
        assert_eq!(mount_message(fs.as_fd()).expect("no other"), None);
        assert!(fsconfig_set_flag(fs.as_fd(), b"a\0b").is_err());
        fsconfig_create(fs.as_fd()).expect("create");
        let made = fsmount(fs.as_fd(), 0).expect("fsmount");
        attach_mount(made.as_fd(), Path::new("/mnt")).expect("attach");
        std::fs::write("/mnt/file", "text").expect("write");
        let copy = clone_mount(Path::new("/mnt")).expect("clone");
        attach_mount(copy.as_fd(), Path::new("/media")).expect("attach");
        assert_eq!(std::fs::read("/media/file").expect("read"), b"text");
    };
    std::thread::spawn(work).join().expect("the mounts");
}
