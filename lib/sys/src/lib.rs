//! One safe function per kernel call. All host-side `unsafe` lives here, in `lib/tracee` and in
//! `lib/parasite`.
mod anon;
mod clone;
mod doorbell;
mod error;
mod fcntl;
mod guardian;
mod kcmp;
mod limits;
mod mem;
mod own;
mod pagemap;
mod pidfd;
mod private;
mod socket;
mod stat;

pub use anon::{shared_memory, signalfd, timerfd, timerfd_count, timerfd_set, timerfd_set_ticks};
pub use clone::spawn_stub;
pub use doorbell::{MAX_FDS, recv_fds, send_fds, wait_readable};
pub use error::{Error, Result};
pub use fcntl::{
    aufs_branch_info, flock, flock_shared, memfd_create, owner_ex, owner_signal, pipe_queued,
    pipe_size, seals, set_pipe_size, start_writeback, tee, vmsplice,
};
pub use guardian::Guardian;
pub use kcmp::{Shared, kcmp_epoll, kcmp_file, kcmp_shared};
pub use limits::{
    SchedAttr, affinity, effective_capabilities, get_limit, robust_list, sched_attr, set_affinity,
    set_limit,
};
pub use mem::{read_memory, read_memory_partial, write_memory};
pub use own::{borrowed, owned};
pub use pagemap::{PageQuery, PageRegion, page_is, pagemap_scan};
pub use pidfd::{pidfd_getfd, pidfd_open, pidfd_send_signal};
pub use private::PrivateMemory;
pub use socket::{
    Peeked, accept, bind_raw, connect_raw, listen, peek, peer_name, set_socket_option, socket,
    socket_name, socket_option,
};
pub use stat::{ProcStat, proc_stat};

/// Turns the -1 convention of libc into a result with the errno.
pub(crate) fn check(result: i64) -> std::io::Result<i64> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
