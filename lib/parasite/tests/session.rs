//! The runners of a session leave a target exactly as they found it.

mod common;

use common::{State, Target, ask, assert_same, state};
use floe_parasite::{Arg, Batch, InjectedRunner, PayloadLayout, PtraceRunner, Runner};
use floe_tracee::{RemoteSession, Tracee, seize_all};

fn often(runner: &mut dyn Runner, pid: i32) {
    (0..100).for_each(|_| ask(runner, pid));
}

/// Runs `work` in a session with a target, and compares.
fn session(target: Target, work: impl FnOnce(&mut RemoteSession, i32)) {
    let (_, tracee) = seize_all(&[target.pid]).remove(0);
    let tracee = tracee.expect("seize");
    let before: State = state(&tracee);
    let mut session =
        RemoteSession::begin(&tracee, 8192, &PayloadLayout::MAPPINGS).expect("session");
    work(&mut session, target.pid);
    session.end().expect("end");
    assert_same(&before, &state(&tracee));
    Tracee::detach(tracee).expect("detach");
    target.finishes_well();
}

fn injected(session: &mut RemoteSession, caught: u64) -> Option<InjectedRunner<'_>> {
    let layout = PayloadLayout::at(session.extra().expect("memory"));
    layout.fill(session.leader().tid()).expect("fill");
    let signal = InjectedRunner::signal(session.leader(), caught)?;
    Some(InjectedRunner::new(session.leader(), layout, signal))
}

#[test]
fn a_sleeping_target_is_left_as_it_was() {
    session(Target::sleeping(), |session, pid| {
        let scratch = session.scratch();
        often(&mut PtraceRunner::within(session.leader(), scratch), pid);
    });
}

#[test]
fn an_injected_runner_leaves_it_as_it_was() {
    session(Target::sleeping(), |session, pid| {
        often(&mut injected(session, 0).expect("a signal"), pid)
    });
}

/// Counts and checks floating point all the time, for a second and a half.
const COUNTING: &str = "python3 -c 'import time\nprint(\"ready\",flush=True)\n\
     end,n,x=time.monotonic()+1.5,0,0.5\nwhile time.monotonic()<end:\n  n+=1\n  x=(x*2.0)/2.0\n  \
     assert x==0.5'";

#[test]
fn a_computing_target_is_left_as_it_was() {
    session(Target::spawn(COUNTING), |session, pid| {
        often(&mut injected(session, 0).expect("a signal"), pid);
    });
}

#[test]
fn a_failure_ends_a_batch() {
    session(Target::sleeping(), |session, _| {
        let mut b = Batch::new();
        b.call(libc::SYS_close, [Arg::Val(9999)]);
        b.call(libc::SYS_exit_group, [Arg::Val(1)]);
        let failed = injected(session, 0).expect("a signal").run(&b);
        assert_eq!(failed.expect_err("a bad descriptor").errno(), Some(libc::EBADF));
    });
}

#[test]
fn more_calls_than_fit_run_in_pieces() {
    session(Target::sleeping(), |session, pid| {
        let mut b = Batch::new();
        let first = b.call(libc::SYS_getpid, []);
        let all: Vec<_> = (0..10_000).map(|_| b.call(libc::SYS_getpgid, [first.into()])).collect();
        let r = injected(session, 0).expect("a signal").run(&b).expect("run");
        let group = r.value(all[0]).expect("group");
        assert!(
            group != pid as u64 && all.iter().all(|call| r.value(*call).expect("group") == group)
        );
    });
}

/// Thousands of answers, as of a process with as many timers; the calls of a piece use the data of one before.
#[test]
fn more_data_than_fits_runs_in_pieces() {
    fn check(runner: &mut dyn Runner) {
        let mut b = Batch::new();
        let path = b.bytes(b"/dev/null\0");
        let stats: Vec<_> = (0..3000)
            .map(|_| {
                let stat = b.zeroed(144);
                b.call(libc::SYS_stat, [path.into(), stat.into()]);
                stat
            })
            .collect();
        let limit = b.zeroed_for::<[u64; 2]>();
        b.call(libc::SYS_prlimit64, [0.into(), 7.into(), 0.into(), limit.into()]);
        let copy = b.call(libc::SYS_prlimit64, [0.into(), 7.into(), limit.into(), 0.into()]);
        let r = runner.run(&b).expect("run");
        let first = r.bytes(stats[0]);
        assert!(first.iter().any(|byte| *byte != 0));
        assert!(stats.iter().all(|stat| r.bytes(*stat) == first));
        let [soft, hard]: [u64; 2] = r.read(limit);
        assert!(0 < soft && soft <= hard && r.value(copy).expect("set") == 0);
    }
    session(Target::sleeping(), |session, _| {
        check(&mut injected(session, 0).expect("a signal"));
        let scratch = session.scratch();
        check(&mut PtraceRunner::within(session.leader(), scratch));
    });
}

#[test]
fn one_call_with_too_much_data_is_an_error() {
    session(Target::sleeping(), |session, _| {
        let mut runner = injected(session, 0).expect("a signal");
        let (fits, too_much) = (runner.capacity() & !15, runner.capacity() + 1);
        for (len, works) in [(fits, true), (too_much, false)] {
            let mut b = Batch::new();
            let slot = b.zeroed(len);
            b.call(libc::SYS_getrandom, [slot.into(), len.into(), 0.into()]);
            let done = runner.run(&b);
            assert_eq!(done.is_ok(), works, "{len} bytes: {done:?}");
        }
    });
}

#[test]
fn signals_of_others_are_not_taken_for_the_payloads() {
    session(Target::sleeping(), |session, pid| {
        let mut runner = injected(session, 0).expect("a signal");
        let mut b = Batch::new();
        let own = b.call(libc::SYS_getpid, []);
        for _ in 0..100 {
            for signal in [libc::SIGURG, libc::SIGWINCH, libc::SIGCHLD] {
                // SAFETY: kill(2) touches no memory of ours.
                unsafe { libc::kill(pid, signal) };
            }
            assert_eq!(runner.run(&b).expect("run").value(own).expect("pid"), pid as u64);
        }
    });
}

#[test]
fn a_process_that_would_notice_gets_no_payload() {
    session(Target::sleeping(), |session, _| {
        let bit = |signal: i32| 1 << (signal - 1);
        assert!(injected(session, bit(libc::SIGURG)).is_some());
        assert!(injected(session, bit(libc::SIGWINCH)).is_some());
        assert!(injected(session, bit(libc::SIGURG) | bit(libc::SIGWINCH)).is_none());
    });
}

#[test]
fn a_killed_process_is_not_waited_for() {
    let target = Target::spawn(
        "python3 -c 'import threading,time\nfor n in range(4): threading.Thread(target=time.sleep,args=(60,)).start()\n\
         print(\"ready\",flush=True)'",
    );
    let tasks = std::fs::read_dir(format!("/proc/{}/task", target.pid)).expect("tasks");
    let tids: Vec<i32> = tasks
        .map(|task| task.expect("task").file_name().to_string_lossy().parse().expect("tid"))
        .collect();
    assert_eq!(tids.len(), 5);
    let seized = seize_all(&tids);
    let find = |(tid, _): &&(i32, _)| *tid == target.pid;
    let leader = seized.iter().find(find).expect("leader").1.as_ref().expect("seize");
    let mut session =
        RemoteSession::begin(leader, 8192, &PayloadLayout::MAPPINGS).expect("session");
    let pid = target.pid;
    let killer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        // SAFETY: kill(2) touches no memory of ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    });
    let scratch = session.scratch();
    let mut b = Batch::new();
    let minute = b.struct_of(&[60u64, 0]);
    b.call(libc::SYS_nanosleep, [minute.into(), 0.into()]);
    let failed = PtraceRunner::within(session.leader(), scratch).run(&b);
    assert!(failed.expect_err("it is dead").is_gone());
    killer.join().expect("killer");
    drop(session);
    // The leader comes last.
    for (_, tracee) in seized.into_iter().rev() {
        let _ = tracee.expect("seize").wait_end();
    }
}
