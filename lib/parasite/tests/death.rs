//! A tracer may be killed at any moment of a session: the process goes on with its own code, its own signal mask and its
//! own mappings.

mod common;

use common::Target;
use floe_parasite::{Batch, InjectedRunner, PayloadLayout, PtraceRunner, Runner, copy};
use floe_tracee::{RemoteSession, recover, seize_all};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const TARGET: &str = "FLOE_TEST_TARGET";
/// Computes with all registers, sleeps, and knows whether anything went wrong.
const BUSY: &str = "python3 -c 'import hashlib,os,signal,time\nprint(\"ready\",flush=True)\n\
     end=time.monotonic()+6\nh=b\"\"\nn=0\n\
     while time.monotonic()<end:\n  h=hashlib.sha256(h).digest(); n+=1\n  \
     if n%50==0: time.sleep(0.0005)\n\
     assert not signal.pthread_sigmask(signal.SIG_BLOCK,())\n\
     g=b\"\"\n\
     for i in range(n): g=hashlib.sha256(g).digest()\n\
     assert g==h\n\
     try: os.waitpid(-1,0x40000000)\n\
     except ChildProcessError: pass\n\
     else: raise SystemExit(1)'";

/// Not a test of its own: the tracer that is killed. It has one session with its target after the other.
#[test]
fn tracer() {
    let Ok(pid) = std::env::var(TARGET) else { return };
    let pid: i32 = pid.parse().expect("pid");
    loop {
        let mut tracee = seize_all(&[pid]).remove(0).1.expect("seize");
        recover(&mut tracee).expect("recover");
        let mut session =
            RemoteSession::begin(&tracee, 8192, &PayloadLayout::MAPPINGS).expect("session");
        let mut batch = Batch::new();
        for _ in 0..5 {
            batch.call(libc::SYS_getpid, []);
        }
        let scratch = session.scratch();
        PtraceRunner::within(session.leader(), scratch).run(&batch).expect("run");
        let layout = PayloadLayout::at(session.extra().expect("memory"));
        layout.fill(pid).expect("fill");
        let signal = InjectedRunner::signal(session.leader(), 0).expect("no handler");
        InjectedRunner::new(session.leader(), layout, signal).run(&batch).expect("run");
        let copied =
            copy(&mut InjectedRunner::new(session.leader(), layout, signal)).expect("copy");
        session.clean_copy(&copied).expect("clean");
        copied.kill().expect("kill");
        session.end().expect("end");
        tracee.detach().expect("detach");
    }
}

#[test]
fn a_tracer_may_die_at_any_moment() {
    let target = Target::spawn(BUSY);
    let state = || std::fs::read_to_string(format!("/proc/{}/status", target.pid)).expect("status");
    let exe = std::env::current_exe().expect("own path");
    for round in 0..120u64 {
        let mut tracer = Command::new(&exe)
            .args(["tracer", "--exact", "--nocapture"])
            .env(TARGET, target.pid.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("tracer");
        let traced = || !state().contains("TracerPid:\t0\n");
        while !traced() {
            assert!(tracer.try_wait().expect("wait").is_none(), "no session in round {round}");
        }
        std::thread::sleep(Duration::from_micros(round * 37 % 2000));
        assert!(tracer.try_wait().expect("wait").is_none(), "a session failed in round {round}");
        tracer.kill().expect("kill");
        tracer.wait().expect("wait");
        assert!(!state().contains("zombie"), "the target died in round {round}");
    }
    target.finishes_well();
}
