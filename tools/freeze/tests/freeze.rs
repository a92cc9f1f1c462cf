//! Real programs are frozen and live on. Needs root.

use floe_records::*;
use floe_stream::{Item, Reader};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const FREEZE: &str = env!("CARGO_BIN_EXE_freeze");

/// A program that is killed, with its process group, at the end of the test.
struct Target(Child);

impl Target {
    fn start(program: &str, args: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().expect("the program starts");
        // Each says when it is ready, but sleep, which cannot.
        if program == "sleep" {
            sleep(Duration::from_millis(200));
        } else {
            let mut line = String::new();
            let out = child.stdout.as_mut().expect("a pipe");
            BufReader::new(out).read_line(&mut line).expect("it says ready");
            sleep(Duration::from_millis(100));
        }
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn maps(&self) -> String {
        fs::read_to_string(format!("/proc/{}/maps", self.pid())).expect("it lives")
    }

    fn tracer(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it lives");
        status.lines().find_map(|l| l.strip_prefix("TracerPid:")).expect("a line").trim().to_owned()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let group = format!("-{}", self.pid());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

fn freeze(args: &[&str]) -> Output {
    Command::new(FREEZE).args(args).output().expect("freeze starts")
}

fn records(stream: &[u8]) -> Vec<floe_stream::RawRecord> {
    let mut reader = Reader::new(stream);
    let mut all = Vec::new();
    loop {
        match reader.next().expect("a sound stream") {
            Item::Record(raw) => all.push(raw),
            Item::Bulk(_) => panic!("freeze writes no bulk"),
            Item::End => return all,
        }
    }
}

fn of_kind<T: Record>(all: &[floe_stream::RawRecord]) -> Vec<T> {
    all.iter().filter(|r| r.is::<T>()).map(|r| r.decode().expect("a sound record")).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sleep_is_captured_and_sleeps_on() {
    let begin = Instant::now();
    let mut target = Target::start("sleep", &["2"]);
    let before = target.maps();
    let output = freeze(&[&target.pid()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(target.maps(), before);
    assert_eq!(target.tracer(), "0");
    let all = records(&output.stdout);
    assert_eq!(of_kind::<Begin>(&all)[0].root.0, target.0.id());
    let vmas: Vec<Vma> = of_kind::<Vmas>(&all).into_iter().flat_map(|v| v.vmas).collect();
    let ranges = |line: &str| line.split_once(' ').expect("a range").0.to_owned();
    let seen: Vec<String> =
        vmas.iter().map(|v| format!("{:08x}-{:08x}", v.start.0, v.end.0)).collect();
    assert_eq!(seen, before.lines().map(ranges).collect::<Vec<_>>());
    let thread = &of_kind::<Thread>(&all)[0];
    assert_eq!(thread.comm.0, b"sleep");
    assert_eq!(thread.regs.0.len(), 216);
    assert_eq!(of_kind::<Limits>(&all)[0].limits.len(), 16);
    assert!(target.0.wait().expect("its status").success());
    assert!(begin.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_tree_with_a_zombie_is_whole() {
    // Dead only after the exec: bash itself would wait for it.
    let script = "sleep 50 & sleep 51 & (sleep 0.3; exit 3) & echo ready; exec sleep 52";
    let target = Target::start("bash", &["-c", script]);
    let children = format!("/proc/{0}/task/{0}/children", target.pid());
    let is_dead = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(") Z ")
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&children).is_ok_and(|all| all.split(' ').any(is_dead)) {
        assert!(Instant::now() < deadline, "no child has died");
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = freeze(&[&target.pid()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let all = records(&output.stdout);
    let processes: Vec<Process> = of_kind(&all);
    assert_eq!(processes.len(), 4);
    assert_eq!(processes[0].pid.0, target.0.id());
    assert_eq!(processes.iter().filter(|p| p.state == State::Zombie(3 << 8)).count(), 1);
    assert!(processes[1..].iter().all(|p| p.ppid == processes[0].pid && p.exit_signal == 17));
    let end = TreeEnd { processes: 4, threads: 3 };
    assert_eq!(of_kind::<TreeEnd>(&all), [end]);
}

#[test]
fn threads_of_python_are_held_and_run_on() {
    let program = "import threading, time, sys\n\
        [threading.Thread(target=time.sleep, args=(50,), daemon=True).start() for _ in range(4)]\n\
        print('ready', flush=True)\ntime.sleep(50)";
    let target = Target::start("python3", &["-c", program]);
    let before = target.maps();
    let output = freeze(&[&target.pid()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let all = records(&output.stdout);
    assert_eq!(of_kind::<Thread>(&all).len(), 5);
    assert!(of_kind::<Thread>(&all).iter().all(|t| t.rseq.is_some() && t.clear_child_tid.0 != 0));
    assert_eq!(of_kind::<Creds>(&all).len(), 5);
    assert_eq!(target.maps(), before);
}

#[test]
fn the_command_decides() {
    let target = Target::start("sleep", &["50"]);
    let pid = target.pid();
    let status = |args: &[&str]| freeze(&[&["--then", "kill", &pid, "--"], args].concat()).status;
    assert_eq!(status(&["false"]).code(), Some(1));
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]).code(), Some(137));
    assert_eq!(target.tracer(), "0");
    let held = freeze(&[&pid, "--", "grep", "-q", "tracing stop", &format!("/proc/{pid}/status")]);
    assert!(held.status.success(), "{}", stderr(&held));
    let counted = freeze(&["--stream-fd", "7", &pid, "--", "sh", "-c", "wc -c <&7"]);
    let count = String::from_utf8_lossy(&counted.stdout).trim().parse::<usize>();
    assert!(count.is_ok_and(|n| n > 1000), "{}", stderr(&counted));
}

#[test]
fn kill_and_stop_are_carried_out() {
    let target = Target::start("bash", &["-c", "sleep 50 & echo ready; wait"]);
    let pid = target.pid();
    assert!(freeze(&["--then", "stop", &pid, "--", "true"]).status.success());
    // It runs no instruction of its own until it has come there.
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let stopped = || stat().contains(") T ");
    assert!(
        (0..500).any(|_| stopped() || {
            sleep(Duration::from_millis(10));
            false
        }),
        "{}",
        stat()
    );
    let child = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it lives");
    let output = freeze(&["--then", "kill", &pid, "--", "true"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[test]
fn the_target_survives_the_death_of_freeze() {
    let target = Target::start("sleep", &["50"]);
    let before = target.maps();
    let mut holder = Command::new(FREEZE)
        .args([&target.pid(), "--", "sleep", "0.7"])
        .spawn()
        .expect("freeze starts");
    sleep(Duration::from_millis(300));
    assert_eq!(target.tracer(), holder.id().to_string());
    holder.kill().expect("kill -9");
    holder.wait().expect("its status");
    assert_eq!(target.tracer(), "0");
    assert_eq!(target.maps(), before);
    assert!(freeze(&["--check", &target.pid()]).status.success());
}

#[test]
fn a_fork_storm_is_held_whole_or_refused() {
    let target = Target::start("bash", &["-c", "echo ready; while :; do /bin/true & done"]);
    let begin = Instant::now();
    let output = freeze(&[&target.pid()]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    match output.status.code() {
        Some(0) => {
            let all = records(&output.stdout);
            let end: Vec<TreeEnd> = of_kind(&all);
            assert_eq!(end.len(), 1);
            assert_eq!(of_kind::<Process>(&all).len(), end[0].processes as usize);
            assert_eq!(of_kind::<Thread>(&all).len(), end[0].threads as usize);
        }
        Some(3) => {
            let text = stderr(&output);
            assert!(text.contains("it grew faster than it could be stopped"), "{text}");
        }
        code => panic!("{code:?} {}", stderr(&output)),
    }
    assert_eq!(target.tracer(), "0");
    // It goes on: page faults of its children are added up when it waits for them (proc_pid_stat(5)).
    let faults = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", target.pid())).expect("it lives");
        let fields = stat.rsplit_once(") ").expect("a name").1;
        fields.split(' ').nth(8).expect("cminflt").parse::<u64>().expect("a number")
    };
    let before = faults();
    let deadline = Instant::now() + Duration::from_secs(20);
    while faults() == before {
        assert!(Instant::now() < deadline, "it stands still");
        sleep(Duration::from_millis(20));
    }
}

/// freeze as a parent starts it that ignores a signal.
fn freeze_ignoring(signal: &str, args: &[&str]) -> Output {
    let script = format!("trap '' {signal}; exec \"$@\"");
    Command::new("sh").args(["-c", &script, "sh", FREEZE]).args(args).output().expect("sh starts")
}

#[test]
fn the_command_hears_signals() {
    let target = Target::start("sleep", &["50"]);
    let pid = target.pid();
    let output = freeze(&[&pid, "--", "grep", "SigBlk", "/proc/self/status"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "SigBlk:\t0000000000000000\n");
    for signal in ["INT", "TERM", "HUP"] {
        let output = freeze(&[&pid, "--", "sh", "-c", &format!("kill -{signal} $$; sleep 20")]);
        assert!(matches!(output.status.code(), Some(129 | 130 | 143)), "{signal}: {output:?}");
    }
}

#[test]
fn a_signal_ends_the_stages_of_the_command() {
    let target = Target::start("sleep", &["50"]);
    for (signal, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut holder = Command::new(FREEZE)
            .args([&target.pid(), "--", "sh", "-c", "sleep 71 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("freeze starts");
        let mut stage = String::new();
        let out = holder.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut stage).expect("the pid of a stage");
        let mut kill = Command::new("kill");
        kill.args([format!("-{signal}"), holder.id().to_string()]);
        assert!(kill.status().expect("kill starts").success());
        assert_eq!(holder.wait().expect("its status").code(), Some(status));
        let stage = format!("/proc/{}", stage.trim());
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::read_to_string(format!("{stage}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "a stage runs on after SIG{signal}");
            sleep(Duration::from_millis(10));
        }
        assert_eq!(target.tracer(), "0");
    }
}

#[test]
fn signals_that_the_parent_ignores_change_nothing() {
    let target = Target::start("sleep", &["50"]);
    let pid = target.pid();
    let output = freeze_ignoring("CHLD", &[&pid, "--", "sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    // As nohup(1) starts it.
    let hangs_up = "kill -HUP $PPID; sleep 0.3; exit 5";
    let output = freeze_ignoring("HUP", &[&pid, "--", "sh", "-c", hangs_up]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn a_command_that_is_missing_is_named() {
    let target = Target::start("sleep", &["50"]);
    for more in [&[][..], &["--stream-fd", "7"]] {
        let output = freeze(&[more, &[&target.pid(), "--", "/no/such/command"]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("unable to run /no/such/command"), "{}", stderr(&output));
        assert_eq!(target.tracer(), "0");
    }
}

#[test]
fn refusals_name_all_blockers_and_touch_nothing() {
    let program = "import os, socket, time\n\
        parents = [open(f'/proc/{os.getppid()}/{name}') for name in ('stat', 'status')]\n\
        part = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); part.connect(('127.0.0.1', 9))\n\
        part.send(b'part', socket.MSG_MORE)\n\
        print('ready', flush=True); time.sleep(50)";
    let target = Target::start("python3", &["-c", program]);
    let output = freeze(&["--check", &target.pid()]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_eq!(text.lines().count(), 2, "a line for each cause: {text}");
    let [files, socket] = ["of a process outside", "a part of a datagram"]
        .map(|cause| text.lines().find(|line| line.contains(cause)).unwrap_or_default());
    assert_eq!((files.matches("/proc/").count(), socket.matches("fd ").count()), (2, 1), "{text}");
}

#[test]
fn every_wrong_target_has_its_sentence() {
    let says = |args: &[&str], code: i32, sentence: &str| {
        let output = freeze(args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?} {text}");
        assert!(text.contains(sentence), "{args:?} {text}");
    };
    says(&["4194304"], 1, "no such process");
    says(&["2"], 3, "kernel thread");
    says(&[&std::process::id().to_string()], 3, "freeze itself");
    says(&["--then", "kill", "1"], 2, "need a COMMAND");
    let mut zombie = Command::new("true").spawn().expect("true starts");
    sleep(Duration::from_millis(200));
    says(&[&zombie.id().to_string()], 3, "zombie");
    zombie.wait().expect("its status");
    let foreign = Target::start("unshare", &["-Upf", "sh", "-c", "echo ready; sleep 50"]);
    says(&[&foreign.pid()], 3, "namespace");
}

#[test]
fn without_privilege_the_capability_is_named() {
    let target = Target::start("sleep", &["50"]);
    // The binary may stand where only root comes.
    let copy = format!("/tmp/freeze-test-{}", std::process::id());
    fs::copy(FREEZE, &copy).expect("a copy");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "--bounding-set=-all", &copy, &target.pid()])
        .output()
        .expect("setpriv starts");
    fs::remove_file(&copy).expect("the copy is removed");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("CAP_SYS_PTRACE"));
}
