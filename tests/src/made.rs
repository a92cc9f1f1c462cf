//! Streams of processes that never lived.

use floe_records::*;
use floe_stream::Writer;

/// Larger than any pid.
pub const NOBODY: Pid = Pid(4_194_303);

/// The first record.
pub fn begin() -> Begin {
    Begin {
        format: FORMAT,
        arch: "x86_64".into(),
        page_size: 4096,
        kernel: "6.1".into(),
        boot_id: "x".into(),
        writer: "test".into(),
        root: NOBODY,
        holder: Pid(4_194_302),
        holder_start: 9,
        realtime_ns: 1,
        monotonic_ns: 2,
        boottime_ns: 3,
        xfeatures: 7,
    }
}

/// A process with nothing special.
pub fn process(pid: Pid) -> Process {
    Process {
        pid,
        ppid: Pid(1),
        maker: Tid(1),
        shares: Shares::none(pid),
        pgid: pid,
        sid: pid,
        start_time: 5,
        state: State::Alive,
        exit_signal: 17,
        tty_nr: 0,
        tty_pgrp: -1,
    }
}

/// A thread with nothing special, and without extended registers.
pub fn thread(pid: Pid, tid: Tid) -> Thread {
    Thread {
        pid,
        tid,
        comm: "made".into(),
        regs: vec![0; 216].into(),
        xstate: Bytes::default(),
        robust_list: (Addr(0), 0),
        clear_child_tid: Addr(0),
        rseq: None,
        pdeath_signal: 0,
    }
}

/// A file by its path.
pub fn file(path: &[u8]) -> FileRef {
    FileRef { path: path.into(), outside: false, dev: 1, ino: 2, mnt_id: None, deleted: false }
}

/// An open file of ten bytes that changed at no time.
pub fn regular(file: FileId, pid: Pid, name: FileRef) -> Regular {
    Regular { file, pid, name, size: 10, mtime_ns: 0, ctime_ns: 0, tail: None }
}

/// A private mapping of a file.
pub fn mapping(start: u64, end: u64, path: &[u8]) -> Vma {
    Vma {
        start: Addr(start),
        end: Addr(end),
        prot: 5,
        shared: false,
        kind: VmaKind::File,
        offset: 0,
        file: Some(file(path)),
        name: Some(path.into()),
        flags: "rdexmrmwme".into(),
        guards: Vec::new(),
        opened_to_write: false,
        collapsed: Vec::new(),
        huge: None,
        key: 0,
    }
}

/// A stream of processes that have only mappings, then `behind`.
pub fn stream<W: std::io::Write>(
    out: W,
    processes: &[(Pid, Vec<Vma>)],
    behind: &[AnyRecord],
) -> floe_stream::Result<W> {
    let mut out = Writer::new(out);
    out.record(&begin())?;
    for (pid, vmas) in processes {
        out.record(&process(*pid))?;
        for vmas in vmas.chunks(1024) {
            out.record(&Vmas { pid: *pid, vmas: vmas.to_vec() })?;
        }
    }
    out.record(&TreeEnd { processes: processes.len() as u32, threads: 0 })?;
    for record in behind {
        out.any(record)?;
    }
    out.end()
}

/// A stream socket without a name, with this inode number.
pub fn unix(file: FileId, pid: Pid, ino: u64, peer: Option<u64>) -> UnixSocket {
    UnixSocket {
        file,
        pid,
        ino,
        sock_type: 1,
        name: Bytes::default(),
        peer,
        peer_name: Bytes::default(),
        node: None,
        links: Vec::new(),
        backlog: None,
        waiting: Vec::new(),
        shutdown: 0,
        options: Vec::new(),
    }
}

/// An io_uring instance with room for two, which has taken five requests.
pub fn ring(file: FileId) -> IoUring {
    IoUring {
        file,
        ring: ObjectId { dev: 0, ino: 7 },
        flags: 0,
        sq_entries: 2,
        cq_entries: 4,
        taken: 5,
        sq_tail: 5,
        cq_head: 3,
        cq_flags: 0,
        sqes: vec![0; 128].into(),
        cqes: vec![0; 64].into(),
        array: vec![0; 8].into(),
        places: 0,
        files: Vec::new(),
        buffers: Vec::new(),
    }
}
