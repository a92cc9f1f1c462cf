//! The runners of a visit leave a target exactly as they found it.

mod common;

use common::{State, Target, ask, assert_same, state};
use floe_parasite::{Arg, Batch, Guest, PtraceRunner, Room, Runner};
use floe_tracee::{Tracee, Visit, seize_all};

fn often(runner: &mut dyn Runner, pid: i32) {
    (0..100).for_each(|_| ask(runner, pid));
}

/// Has `visitor` do something to a target, and compares.
fn visit(target: Target, visitor: impl FnOnce(&mut Visit, i32)) {
    let (_, tracee) = seize_all(&[target.pid]).remove(0);
    let tracee = tracee.expect("seize");
    let before: State = state(&tracee);
    let mut visit = Visit::begin(&tracee, 8192, &Room::NEED).expect("visit");
    visitor(&mut visit, target.pid);
    visit.end().expect("end");
    assert_same(&before, &state(&tracee));
    Tracee::detach(tracee).expect("detach");
    target.finishes_well();
}

fn guest(visit: &mut Visit, caught: u64) -> Option<Guest<'_>> {
    let room = Room::at(visit.more().expect("room"));
    room.fill(visit.leader().tid()).expect("fill");
    let signal = Guest::signal(visit.leader(), caught)?;
    Some(Guest::new(visit.leader(), room, signal))
}

#[test]
fn a_sleeping_target_is_left_as_it_was() {
    visit(Target::sleeping(), |visit, pid| {
        let scratch = visit.scratch();
        often(&mut PtraceRunner::within(visit.leader(), scratch), pid);
    });
}

#[test]
fn a_guest_leaves_it_as_it_was() {
    visit(Target::sleeping(), |visit, pid| often(&mut guest(visit, 0).expect("room"), pid));
}

#[test]
fn a_failure_ends_a_batch_of_a_guest() {
    visit(Target::sleeping(), |visit, _| {
        let mut b = Batch::new();
        b.call(libc::SYS_close, [Arg::Val(9999)]);
        b.call(libc::SYS_exit_group, [Arg::Val(1)]);
        let failed = guest(visit, 0).expect("room").run(&b);
        assert_eq!(failed.expect_err("a bad descriptor").errno(), Some(libc::EBADF));
    });
}

#[test]
fn more_calls_than_fit_run_in_pieces() {
    visit(Target::sleeping(), |visit, pid| {
        let mut b = Batch::new();
        let first = b.call(libc::SYS_getpid, []);
        let all: Vec<_> = (0..10_000).map(|_| b.call(libc::SYS_getpgid, [first.into()])).collect();
        let r = guest(visit, 0).expect("room").run(&b).expect("run");
        let group = r.value(all[0]).expect("group");
        assert!(
            group != pid as u64 && all.iter().all(|call| r.value(*call).expect("group") == group)
        );
    });
}

#[test]
fn the_signals_of_others_are_not_taken_for_the_guests() {
    visit(Target::sleeping(), |visit, pid| {
        let mut guest = guest(visit, 0).expect("room");
        let mut b = Batch::new();
        let own = b.call(libc::SYS_getpid, []);
        for _ in 0..100 {
            for signal in [libc::SIGURG, libc::SIGWINCH, libc::SIGCHLD] {
                // SAFETY: kill(2) touches no memory of ours.
                unsafe { libc::kill(pid, signal) };
            }
            assert_eq!(guest.run(&b).expect("run").value(own).expect("pid"), pid as u64);
        }
    });
}

#[test]
fn a_process_that_would_notice_gets_no_guest() {
    visit(Target::sleeping(), |visit, _| {
        let bit = |signal: i32| 1 << (signal - 1);
        assert!(guest(visit, bit(libc::SIGURG)).is_some());
        assert!(guest(visit, bit(libc::SIGWINCH)).is_some());
        assert!(guest(visit, bit(libc::SIGURG) | bit(libc::SIGWINCH)).is_none());
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
    let leader = seized.iter().find(|(tid, _)| *tid == target.pid).expect("leader");
    let leader = leader.1.as_ref().expect("seize");
    let mut visit = Visit::begin(leader, 8192, &Room::NEED).expect("visit");
    let pid = target.pid;
    let killer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        // SAFETY: kill(2) touches no memory of ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    });
    let scratch = visit.scratch();
    let mut b = Batch::new();
    let minute = b.bytes(&[60u64, 0].map(u64::to_ne_bytes).concat());
    b.call(libc::SYS_nanosleep, [minute.into(), 0.into()]);
    let failed = PtraceRunner::within(visit.leader(), scratch).run(&b);
    assert_eq!(failed.expect_err("it is dead").errno(), Some(libc::ESRCH));
    killer.join().expect("killer");
    drop(visit);
    // The leader comes last.
    for (_, tracee) in seized.iter().rev() {
        let _ = tracee.as_ref().expect("seize").wait_stop();
    }
}
