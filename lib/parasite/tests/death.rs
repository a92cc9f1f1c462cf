//! Whoever visits a process may be killed at any moment: the process goes on with its own code, its own signal
//! mask and its own mappings.

mod common;

use common::Target;
use floe_parasite::{Agent, Batch, Guest, PtraceRunner, Room, Runner};
use floe_tracee::{Visit, come_home, seize_all};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const VICTIM: &str = "FLOE_TEST_VICTIM";
/// Computes with all registers, sleeps, and knows whether anything went wrong.
const BUSY: &str = "python3 -c 'import hashlib,signal,time\nprint(\"ready\",flush=True)\n\
     end=time.monotonic()+6\nh=b\"\"\nn=0\n\
     while time.monotonic()<end:\n  h=hashlib.sha256(h).digest(); n+=1\n  \
     if n%50==0: time.sleep(0.0005)\n\
     assert not signal.pthread_sigmask(signal.SIG_BLOCK,())\n\
     g=b\"\"\n\
     for i in range(n): g=hashlib.sha256(g).digest()\n\
     assert g==h'";

/// Not a test of its own: the process that is killed. Visits its victim again and again.
#[test]
fn visitor() {
    let Ok(pid) = std::env::var(VICTIM) else { return };
    let pid: i32 = pid.parse().expect("pid");
    loop {
        let mut tracee = seize_all(&[pid]).remove(0).1.expect("seize");
        come_home(&mut tracee).expect("come home");
        let mut visit = Visit::begin(&tracee, 8192, &Room::NEED).expect("visit");
        let mut batch = Batch::new();
        for _ in 0..5 {
            batch.call(libc::SYS_getpid, []);
        }
        let scratch = visit.scratch();
        PtraceRunner::within(visit.leader(), scratch).run(&batch).expect("run");
        let room = Room::at(visit.more().expect("room"));
        room.fill(pid).expect("fill");
        let signal = Guest::signal(visit.leader(), 0).expect("no handler");
        Guest::new(visit.leader(), room, signal).run(&batch).expect("run");
        visit.end().expect("end");
        let planted = Agent::plant(&tracee).expect("plant");
        planted.lift(&mut tracee).expect("lift");
        tracee.detach().expect("detach");
    }
}

#[test]
fn a_visitor_may_die_at_any_moment() {
    let target = Target::spawn(BUSY);
    let state = || std::fs::read_to_string(format!("/proc/{}/status", target.pid)).expect("status");
    let exe = std::env::current_exe().expect("own path");
    for round in 0..120u64 {
        let mut visitor = Command::new(&exe)
            .args(["visitor", "--exact", "--nocapture"])
            .env(VICTIM, target.pid.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("visitor");
        let traced = || !state().contains("TracerPid:\t0\n");
        while !traced() && visitor.try_wait().expect("wait").is_none() {}
        std::thread::sleep(Duration::from_micros(round * 37 % 2000));
        visitor.kill().expect("kill");
        visitor.wait().expect("wait");
        assert!(!state().contains("zombie"), "the target died in round {round}");
    }
    target.finishes_well();
}
