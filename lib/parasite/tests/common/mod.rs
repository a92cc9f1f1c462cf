//! Targets to work on.
#![allow(dead_code, missing_docs)]

use floe_parasite::{Arg, Batch, Runner};
use floe_tracee::{Regs, Tracee};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Target {
    pub child: Child,
    pub pid: i32,
}

impl Target {
    /// Starts a command; one that has "ready" in it says so when it is.
    pub fn spawn(command: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let pid = child.id() as i32;
        if command.contains("ready") {
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.as_mut().expect("stdout"));
            out.read_line(&mut line).expect("ready");
            assert_eq!(line, "ready\n");
        }
        std::thread::sleep(Duration::from_millis(200));
        Self { child, pid }
    }

    pub fn sleeping() -> Self {
        Self::spawn("sleep 1.5")
    }

    /// It ends by itself and successfully.
    pub fn finishes_well(mut self) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                assert!(status.success(), "{status:?} {:?}", status.signal());
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "the target hangs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for this and that by one batch.
pub fn ask(runner: &mut dyn Runner, pid: i32) {
    let mut b = Batch::new();
    let path = b.bytes(b"/dev/null\0");
    let stat = b.zeroed(144);
    let fd = b.call(libc::SYS_open, [path.into(), Arg::Val(0)]);
    b.call(libc::SYS_fstat, [fd.into(), stat.into()]);
    b.call(libc::SYS_close, [fd.into()]);
    let own = b.call(libc::SYS_getpid, []);
    let bad = b.try_call(libc::SYS_close, [Arg::Val(9999)]);
    let r = runner.run(&b).expect("run");
    assert_eq!(r.value(own).expect("pid"), pid as u64);
    assert_eq!(r.errno(bad), Some(libc::EBADF));
    assert!(r.bytes(stat).iter().any(|&b| b != 0));
}

#[derive(PartialEq)]
pub struct State {
    regs: Regs,
    xstate: Vec<u8>,
    mask: u64,
    maps: String,
    fds: Vec<(String, String)>,
}

impl State {
    /// What is another one in `other`, for people.
    fn differences(&self, other: &Self) -> String {
        let lines = [
            (self.regs != other.regs, format!("{:?} and {:?}", self.regs, other.regs)),
            (self.xstate != other.xstate, "the extended state".to_owned()),
            (self.mask != other.mask, format!("{:x} and {:x}", self.mask, other.mask)),
            (self.maps != other.maps, format!("{} and {}", self.maps, other.maps)),
            (self.fds != other.fds, format!("{:?} and {:?}", self.fds, other.fds)),
        ];
        lines.into_iter().filter(|(differs, _)| *differs).map(|(_, line)| line + "\n").collect()
    }
}

/// Nothing has changed.
pub fn assert_same(before: &State, after: &State) {
    assert!(before == after, "{}", before.differences(after));
}

/// All that must not change.
pub fn state(tracee: &Tracee) -> State {
    let pid = tracee.tid();
    let mut fds: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("fds")
        .map(|e| e.expect("fd"))
        .map(|e| {
            let to = std::fs::read_link(e.path()).expect("link");
            (e.file_name().to_string_lossy().into_owned(), to.to_string_lossy().into_owned())
        })
        .collect();
    fds.sort();
    State {
        regs: tracee.regs().expect("regs"),
        xstate: tracee.xstate().expect("xstate"),
        mask: tracee.sigmask().expect("mask"),
        maps: std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps"),
        fds,
    }
}
