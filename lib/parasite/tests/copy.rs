//! A copy of a process, which the process does not see.

mod common;

use common::Target;
use floe_parasite::{InjectedRunner, PayloadLayout, copy};
use floe_tracee::{RemoteSession, Tracee, seize_all};
use std::{fs::File, os::unix::fs::FileExt};

/// Waits for a byte, changes its memory, and says whether it has children of any kind.
const WAITS: &str = "python3 -c 'import os,time\nheld=bytearray(b\"before\"*1000)\n\
     where=(__import__(\"ctypes\").c_char*1).from_buffer(held)\n\
     print(\"ready\",flush=True)\ntime.sleep(0.1)\nprint(__import__(\"ctypes\").addressof(where),flush=True)\n\
     time.sleep(0.6)\nheld[:6]=b\"behind\"\n\
     try: os.waitpid(-1,0x40000000)\n\
     except ChildProcessError: pass\n\
     else: raise SystemExit(1)\n\
     time.sleep(1)'";

fn memory(pid: i32, at: u64) -> Vec<u8> {
    let mut bytes = vec![0; 6];
    let file = File::open(format!("/proc/{pid}/mem")).expect("mem");
    file.read_exact_at(&mut bytes, at).expect("read");
    bytes
}

fn copy_of(leader: &Tracee) -> Tracee {
    let mut session =
        RemoteSession::begin(leader, 8192, &PayloadLayout::MAPPINGS).expect("session");
    let layout = PayloadLayout::at(session.extra().expect("memory"));
    layout.fill(leader.tid()).expect("fill");
    let signal = InjectedRunner::signal(session.leader(), 0).expect("no handler");
    let copied = copy(&mut InjectedRunner::new(session.leader(), layout, signal)).expect("copy");
    session.clean_copy(&copied).expect("clean");
    session.end().expect("end");
    copied
}

#[test]
fn a_copy_stays_what_the_process_was() {
    let mut target = Target::spawn(WAITS);
    let mut line = String::new();
    let mut out = std::io::BufReader::new(target.child.stdout.take().expect("stdout"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("address");
    let at: u64 = line.trim().parse().expect("address");
    let pid = target.pid;
    let tracee = seize_all(&[pid]).remove(0).1.expect("seize");
    let copied = copy_of(&tracee);
    let other = copied.tid();
    let status = std::fs::read_to_string(format!("/proc/{other}/status")).expect("status");
    assert!(!status.contains(&format!("PPid:\t{pid}\n")), "{status}");
    assert_eq!(std::fs::read_dir(format!("/proc/{other}/fd")).expect("fd").count(), 0);
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    assert_eq!(children.expect("children"), "");
    tracee.detach().expect("detach");
    while memory(pid, at) != b"behind" {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(memory(other, at), b"before");
    target.finishes_well();
    copied.kill().expect("kill");
}
