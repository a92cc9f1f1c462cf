//! What restore needs: stubs, children and threads made inside them, all traced from their first moment.

mod common;

use common::Target;
use floe_parasite::{Batch, PayloadLayout, PtraceRunner, Runner, StubRunner};
use floe_sys::spawn_stub;
use floe_tracee::{
    OPTIONS, RemoteCall, RemoteSession, Scratch, Tracee, find_syscall_insn, seize_all,
    seize_all_with,
};
use std::time::Duration;

const TRACE: i32 = OPTIONS
    | libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK;

fn stub() -> Tracee {
    let pid = spawn_stub(&[], 0, libc::SIGCHLD).expect("stub");
    seize_all_with(&[pid], TRACE).remove(0).1.expect("seize")
}

fn kill(pid: i32) {
    send(pid, libc::SIGKILL);
}

fn send(pid: i32, signal: i32) {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "signal {signal} was not sent");
}

fn clone3(flags: u64, signal: u64, stack: u64) -> (Batch, floe_parasite::Call) {
    let mut args = [0u64; 11];
    (args[0], args[4], args[5], args[6]) =
        (flags, signal, stack, if stack == 0 { 0 } else { 4096 });
    let mut b = Batch::new();
    let slot = b.struct_of(&args);
    let call = b.call(libc::SYS_clone3, [slot.into(), size_of_val(&args).into()]);
    (b, call)
}

#[test]
fn children_and_threads_are_caught() {
    let stub = stub();
    let insn = find_syscall_insn(stub.tid()).expect("syscall");
    let mut remote = RemoteCall::begin(stub.tid(), insn).expect("begin");
    let args = [0, 16384, 3, 0x22, u64::MAX, 0];
    let addr = remote.call(libc::SYS_mmap, args, &mut |_| Ok(())).expect("mmap") as u64;
    remote.finish().expect("finish");
    let scratch = Scratch { addr, len: 16384 };
    let mut caught = Vec::new();
    let thread =
        (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_FS) as u64;
    for (flags, signal, stack) in [(0, libc::SIGCHLD as u64, 0), (thread, 0, scratch.addr + 8192)] {
        let (batch, call) = clone3(flags, signal, stack);
        let mut new = Vec::new();
        let mut runner =
            PtraceRunner::new(stub.tid(), insn, scratch.addr, 8192).on_event(|event| {
                new.push(event);
                Ok(())
            });
        let replies = runner.run(&batch).expect("clone3");
        drop(runner);
        assert_eq!(new.len(), 1);
        let child = replies.value(call).expect("child") as i32;
        assert_eq!(new[0].message, child as u64);
        caught.push(Tracee::adopt(child).expect("adopt"));
    }
    for child in &caught {
        let regs = child.regs().expect("regs");
        assert_eq!((regs.rip(), regs.rax()), (insn + 2, 0));
        child.set_sigmask(u64::MAX).expect("mask");
        let mut b = Batch::new();
        let tid = b.call(libc::SYS_gettid, []);
        let r = PtraceRunner::new(child.tid(), insn, scratch.addr, 8192).run(&b).expect("run");
        assert_eq!(r.value(tid).expect("tid"), child.tid() as u64);
    }
    kill(caught[0].tid());
    kill(stub.tid());
}

#[test]
fn a_stub_runs_batches_however_large() {
    let stub = stub();
    let mut session = RemoteSession::begin(&stub, 4096, &PayloadLayout::MAPPINGS).expect("session");
    let layout = PayloadLayout::at(session.extra().expect("memory"));
    layout.fill(stub.tid()).expect("fill");
    let blocked = !(1 << (libc::SIGTRAP - 1));
    session.leader().tracee().set_sigmask(blocked).expect("mask");
    let mut b = Batch::new();
    let pid = b.call(libc::SYS_getpid, []);
    // More data than the arena holds, and more calls.
    let stats: Vec<_> = (0..5000)
        .map(|n| {
            let (path, stat) = (b.bytes(b"/dev/null\0"), b.zeroed(144));
            b.call(libc::SYS_stat, [path.into(), stat.into()]);
            (n, stat)
        })
        .collect();
    let replies = StubRunner::new(&stub, layout).run(&b).expect("run");
    assert_eq!(replies.value(pid).expect("pid"), stub.tid() as u64);
    let first = replies.bytes(stats[0].1);
    assert!(first.iter().any(|byte| *byte != 0));
    assert!(stats.iter().all(|(_, stat)| replies.bytes(*stat) == first));
    kill(stub.tid());
}

/// Signals a process in the midst of a session.
fn interrupted(tracee: &Tracee, meanwhile: impl FnOnce()) {
    let mut session = RemoteSession::begin(tracee, 4096, &[]).expect("session");
    meanwhile();
    let scratch = session.scratch();
    let mut runner = PtraceRunner::within(session.leader(), scratch);
    let mut b = Batch::new();
    b.call(libc::SYS_getpid, []);
    for _ in 0..3 {
        runner.run(&b).expect("run");
    }
    drop(runner);
    session.end().expect("end");
}

#[test]
fn a_stop_signal_that_comes_meanwhile_counts_at_the_end() {
    let target = Target::spawn("sleep 1");
    let tracee = seize_all(&[target.pid]).remove(0).1.expect("seize");
    interrupted(&tracee, || send(target.pid, libc::SIGSTOP));
    tracee.detach().expect("detach");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(state_letter(target.pid), b'T');
    send(target.pid, libc::SIGCONT);
    target.finishes_well();
}

fn state_letter(pid: i32) -> u8 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    stat.rsplit_once(") ").expect("a state").1.as_bytes()[0]
}

#[test]
fn a_job_that_was_stopped_stays_stopped() {
    let target = Target::spawn("sleep 1");
    send(target.pid, libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(50));
    let tracee = seize_all(&[target.pid]).remove(0).1.expect("seize");
    assert_eq!(tracee.stopped_by(), Some(libc::SIGSTOP));
    interrupted(&tracee, || ());
    tracee.detach().expect("detach");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(state_letter(target.pid), b'T');
    send(target.pid, libc::SIGCONT);
    target.finishes_well();
}

#[test]
fn no_signal_is_lost_in_a_storm() {
    // The wake-up pipe gets a byte from every run of the handler.
    let target = Target::spawn(
        "python3 -c 'import signal,time,os\nr,w=os.pipe()\nos.set_blocking(w,False)\n\
         signal.signal(signal.SIGRTMIN, lambda *_: None)\nsignal.set_wakeup_fd(w)\n\
         print(\"ready\",flush=True)\n\
         end=time.monotonic()+2\nwhile time.monotonic()<end: time.sleep(0.001)\n\
         assert len(os.read(r,65536))==400'",
    );
    let signal = || send(target.pid, libc::SIGRTMIN());
    for _ in 0..200 {
        signal();
        let tracee = seize_all(&[target.pid]).remove(0).1.expect("seize");
        interrupted(&tracee, signal);
        tracee.detach().expect("detach");
    }
    target.finishes_well();
}

#[test]
fn a_thread_that_is_gone_is_an_error_of_its_own() {
    let results = seize_all(&[999_999_999, 1 << 21]);
    assert!(results.iter().all(|(_, r)| r.as_ref().is_err_and(|e| e.is_gone())));
}
