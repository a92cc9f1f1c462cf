//! The planted parasite: exact undoing, descriptors both ways, and the way home alone.

mod common;

use common::{Target, ask, assert_same, state};
use floe_parasite::{Agent, Arg, Batch, Runner};
use floe_tracee::{Tracee, seize_all};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    os::fd::AsFd,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Counts and checks floating point all the time, for a second and a half.
const COUNTING: &str = r#"python3 -c '
import time
print("ready", flush=True)
end, n, x = time.monotonic() + 1.5, 0, 0.5
while time.monotonic() < end:
    n += 1
    x = (x * 2.0) / 2.0
    assert x == 0.5
'"#;

/// Waits in pause() for SIGALRM or SIGUSR1 and must see it interrupted.
const PAUSING: &str = r#"python3 -c '
import signal
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
print("ready", flush=True)
signal.pause()
assert seen
'"#;

fn seized(target: &Target) -> Tracee {
    seize_all(&[target.pid]).remove(0).1.expect("seize")
}

fn plant_and_lift(command: &str, rounds: usize) {
    let target = Target::spawn(command);
    let mut tracee = seized(&target);
    let before = state(&tracee);
    let mut planted = Agent::plant(&tracee).expect("plant");
    let begin = Instant::now();
    for _ in 0..rounds {
        ask(planted.agent(), target.pid);
    }
    eprintln!("{rounds} batches in {:?}", begin.elapsed());
    planted.lift(&mut tracee).expect("lift");
    let after = state(&tracee);
    tracee.detach().expect("detach");
    assert_same(&before, &after);
    target.finishes_well();
}

#[test]
fn a_thousand_batches_leave_a_sleeper_as_it_was() {
    plant_and_lift("sleep 1.5", 1000);
}

#[test]
fn a_thousand_batches_leave_a_counter_as_it_was() {
    plant_and_lift(COUNTING, 1000);
}

#[test]
fn a_failing_call_stops_the_batch() {
    let target = Target::sleeping();
    let mut tracee = seized(&target);
    let mut planted = Agent::plant(&tracee).expect("plant");
    let mut b = Batch::new();
    b.call(libc::SYS_close, [Arg::Val(9999)]);
    b.call(libc::SYS_exit_group, [Arg::Val(3)]);
    let error = planted.agent().run(&b).expect_err("must fail");
    assert_eq!(error.errno(), Some(libc::EBADF));
    planted.lift(&mut tracee).expect("lift");
    tracee.detach().expect("detach");
    target.finishes_well();
}

#[test]
fn descriptors_travel_both_ways() {
    let target = Target::sleeping();
    let mut tracee = seized(&target);
    let before = state(&tracee);
    let mut planted = Agent::plant(&tracee).expect("plant");
    let agent = planted.agent();
    let file = File::open("/etc/passwd").expect("file");
    let given = agent.give_fds(&[file.as_fd(), file.as_fd()]).expect("give");
    assert_eq!(given.len(), 2);
    let link = std::fs::read_link(format!("/proc/{}/fd/{}", target.pid, given[1])).expect("link");
    assert_eq!(link.to_str(), Some("/etc/passwd"));
    let taken = agent.take_fds(&given).expect("take");
    let mut text = String::new();
    File::from(taken.into_iter().next().expect("one")).read_to_string(&mut text).expect("read");
    assert!(text.contains("root"));
    assert!(agent.take_fds(&[12345]).is_err());
    let mut b = Batch::new();
    for fd in given {
        b.call(libc::SYS_close, [fd.into()]);
    }
    agent.run(&b).expect("close");
    ask(agent, target.pid);
    planted.lift(&mut tracee).expect("lift");
    assert_same(&before, &state(&tracee));
    tracee.detach().expect("detach");
    target.finishes_well();
}

/// Not a test of its own: the holder that is killed.
#[test]
#[ignore = "run by the tests that kill it"]
fn holder() {
    let Ok(pid) = std::env::var("FLOE_TEST_TARGET") else { return };
    let pid: i32 = pid.parse().expect("pid");
    let tracee = seize_all(&[pid]).remove(0).1.expect("seize");
    let mut planted = Agent::plant(&tracee).expect("plant");
    println!("\nplanted");
    loop {
        ask(planted.agent(), pid);
    }
}

fn survives_the_holder(command: &str, signal: Option<i32>) -> Duration {
    let begin = Instant::now();
    let target = Target::spawn(command);
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", target.pid)).expect("fds").count();
    let before = fds();
    let mut holder = Command::new(std::env::current_exe().expect("exe"))
        .args(["--exact", "holder", "--ignored", "--nocapture"])
        .env("FLOE_TEST_TARGET", target.pid.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("holder");
    let lines = BufReader::new(holder.stdout.take().expect("stdout")).lines();
    assert!(lines.map_while(Result::ok).any(|l| l == "planted"), "the holder failed");
    std::thread::sleep(Duration::from_millis(50));
    if let Some(signal) = signal {
        let pid = nix::unistd::Pid::from_raw(target.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).expect("signal"))
            .expect("kill");
    }
    holder.kill().expect("kill");
    holder.wait().expect("wait");
    std::thread::sleep(Duration::from_millis(100));
    if signal.is_none() {
        assert_eq!(fds(), before);
    }
    target.finishes_well();
    begin.elapsed()
}

#[test]
fn a_sleeper_survives_its_holder() {
    let took = survives_the_holder("sleep 1.5", None);
    assert!(took > Duration::from_millis(1450) && took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn a_counter_survives_its_holder() {
    for _ in 0..5 {
        survives_the_holder(COUNTING, None);
    }
}

#[test]
fn a_signal_that_came_meanwhile_interrupts() {
    survives_the_holder(PAUSING, Some(libc::SIGUSR1));
}
