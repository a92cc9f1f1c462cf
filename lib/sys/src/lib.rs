//! One safe function per kernel call. All host-side `unsafe` lives here, in `lib/tracee` and in
//! `lib/parasite`.
mod anon;
mod apart;
mod beside;
mod bpf;
mod bpf_iterator;
mod caller;
mod child;
mod clone;
mod cpu;
mod datagram;
mod descriptors;
mod ended;
mod error;
mod eventfd;
mod fanotify;
mod fcntl;
mod file_system;
mod filled;
mod guardian;
mod in_pids;
mod inotify;
mod io_uring;
mod ipc;
mod kcmp;
mod kernel_log;
mod last_write;
mod legacy_tables;
mod limits;
mod mem;
mod message;
mod message_queue;
mod mount;
mod noted_writes;
mod owned_space;
mod pagemap;
mod peek_offset;
mod pidfd;
mod placeholder;
mod poll;
mod private;
mod private_mounts;
mod segment;
mod signals;
mod socket;
mod socket_filter;
mod statmount;
mod statx;
mod task;
mod tcp_repair;
mod tty;
mod tun;
mod user_member;
mod userfaultfd;
mod watcher;
mod write_mapped;
mod xattr;

pub use anon::{shared_memory, signalfd, timerfd, timerfd_count, timerfd_set, timerfd_set_ticks};
pub use apart::{apart, apart_in};
pub use beside::{Place, Places};
pub use bpf::{BPF_MAPS, BpfMap, BpfMapInfo, bpf_map_by_id, bpf_map_info, bpf_map_is_used};
pub use bpf_iterator::{KernelTypes, iterate, load_iterator};
pub use caller::{Call, Caller, call_as};
pub use child::{child, child_apart};
pub use clone::{fork, fork_sibling, is_alone, spawn_sibling, spawn_stub};
pub use cpu::{extended_state, features, has_protection_keys, state_layout};
pub use datagram::{PeekedDatagram, peek_datagram};
pub use descriptors::{
    close_all, close_all_from, close_stdin, duplicate_from, duplicate_inherited, replace_descriptor,
};
pub use ended::{Ended, pidfds_of_ended};
pub use error::{Error, Result};
pub use eventfd::counts_down;
pub use fanotify::{fanotify, fanotify_mark};
pub use fcntl::{
    aufs_branch_info, flock, flock_shared, lease_would_be_had, memfd_create, memfd_secret,
    owner_ex, owner_signal, owner_uids, pipe_queued, pipe_size, seals, set_pipe_size,
    start_writeback, tee, unsent, vmsplice,
};
pub use file_system::{FileSystem, file_system, open_unnoticed, read_before, set_times, unnoticed};
pub use filled::Filled;
pub use guardian::Guardian;
pub use in_pids::{do_in_pids, open_in_pids};
pub use inotify::{
    handle_of, inotify, inotify_add_watch, inotify_rm_watch, inotify_set_next, open_by_handle,
};
pub use io_uring::{
    RINGS, RingAnswers, RingPlaces, SQES, io_uring_answers, io_uring_buffer_groups, io_uring_count,
    io_uring_memory, io_uring_register_files, io_uring_setup,
};
pub use ipc::{
    NewIpc, make_message_list, make_semaphores, message_list_room, messages, semaphore_values,
};
pub use kcmp::{Shared, kcmp_epoll, kcmp_file, kcmp_shared};
pub use kernel_log::read_kernel_log;
pub use last_write::LastWrite;
pub use legacy_tables::legacy_table;
pub use limits::{
    SchedAttr, affinity, effective_capabilities, get_limit, robust_list, sched_attr, set_affinity,
    set_limit,
};
pub use mem::{
    read_memory, read_memory_partial, read_memory_ranges, read_memory_ranges_partial, write_memory,
    write_memory_ranges,
};
pub use message::{Message, Peeked, peek, send_message};
pub use message_queue::{
    QueueAttributes, QueueNotification, make_queue, open_queue, queue_attributes,
    queue_notification, unlink_queue,
};
pub use mount::{
    attach_mount, attach_tree, clone_mount, clone_tree, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, join_group, make_read_only, mount_message,
    set_mount_attributes,
};
pub use noted_writes::{NOTED_WRITES_FLAGS, note_writes, notes_writes, prepare_to_note_writes};
pub use owned_space::owned_mount_namespace;
pub use pagemap::{PageQuery, PageRegion, page_is, pagemap_scan};
pub use peek_offset::{PeekOffsets, peek_offset};
pub use pidfd::{
    end_with_parent, end_with_starter, namespace_cookie, namespace_owner, namespace_owner_uid,
    namespace_parent, network_namespace, pidfd_exit_status, pidfd_getfd, pidfd_open,
    pidfd_open_thread, pidfd_send_signal,
};
pub use placeholder::Placeholder;
pub use poll::poll;
pub use private::PrivateMemory;
pub use private_mounts::{mount_proc, private_mounts};
pub use segment::{
    NewSegment, lock_segment, make_segment, open_segment, own_segment, remove_segment,
};
pub use signals::{default_action, is_ignored};
pub use socket::{
    accept, bind_raw, connect_raw, listen, peer_name, set_socket_option, short_socket_option,
    socket, socket_name, socket_option,
};
pub use socket_filter::{attach_filter, group_filter, socket_filter, socket_filter_len};
pub use statmount::{MountStatus, all_mounts};
pub use statx::{is_mount_root, stat_on_mount};
pub use task::{
    PR_SET_VMA, arch_prctl_result, core_cookie, io_priority, join_session_keyring, knows_mseal,
    memory_policy, names_memory, prctl_result, prctl_word, session_keyring,
};
pub use user_member::UserMember;
pub use userfaultfd::{MemoryEvent, NotPut, USERFAULTFD_FLAGS, Userfaultfd, may_watch_memory};

pub use tcp_repair::{Reconnection, Repair, Repairs, never_sent, set_repair};
pub use tty::{
    TerminalModes, TerminalNumber, TerminalSetting, has_locked_modes, in_survivor, may_receive,
    open_controlling, open_slave, set_terminal, set_terminal_modes, set_window_size,
    terminal_modes, terminal_number, terminal_receives, window_size,
};
pub use tun::{NewTun, make_tun};

/// Turns the -1 convention of libc into a result with the errno.
pub(crate) fn check(result: i64) -> std::io::Result<i64> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
pub use write_mapped::write_mapped;
pub use xattr::{attributes, attributes_of_path, set_attribute, set_attribute_of_path};
