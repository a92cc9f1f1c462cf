//! Stubs: processes that hold nothing but the hole.

use crate::{maps, open::Opened};
use floe_parasite::{Arg, Batch, Inside, PtraceRunner, Room, Runner};
use floe_plan::{Step, Tree};
use floe_records::*;
use floe_sys::Result;
use floe_tracee::{OPTIONS, RemoteCall, Tracee, find_syscall_insn, seize_all_with};
use nix::sys::{
    signal::{Signal, kill},
    wait::{WaitPidFlag, WaitStatus, waitpid},
};
use std::collections::{BTreeMap, BTreeSet};

const TRACE: i32 = OPTIONS
    | libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK;
const PAGE: u64 = 4096;
/// In the hole: a `syscall` instruction, the payload, its arena, and what of the vdso is parked.
const IMAGE: u64 = PAGE;
const ARENA: u64 = 0x8000;
const PARK: u64 = 0x60000;
const _: () = assert!(IMAGE + Room::IMAGE as u64 <= ARENA && ARENA + Room::ARENA as u64 <= PARK);
/// What a stub blocks: everything but the breakpoint of its payload.
const MASK: u64 = !(1 << (libc::SIGTRAP - 1));

/// A restore under way. Dropped before the release, it kills what it made.
pub struct Work<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) open: &'a Opened<'a>,
    pub(crate) hole: u64,
    pub(crate) tasks: BTreeMap<i32, Tracee>,
    /// Parked vdso and its kin: name, where, length; the same in all, for all are forked from the root.
    pub(crate) parked: Vec<(String, u64, u64)>,
    pub(crate) released: bool,
}

impl<'a> Work<'a> {
    /// Begins; nothing is made yet.
    pub fn new(tree: &'a Tree, open: &'a Opened<'a>, hole: u64) -> Self {
        Self { tree, open, hole, tasks: BTreeMap::new(), parked: Vec::new(), released: false }
    }

    /// Does one step.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Create(pid, None) => self.create_root(pid),
            Step::Create(pid, Some(parent)) => {
                let signal =
                    self.tree.processes.iter().find(|p| p.pid == pid).map_or(17, |p| p.exit_signal);
                self.clone(parent.0 as i32, pid.0 as i32, 0, u64::from(signal))
            }
            Step::Session(pid) => self.one(pid.0, libc::SYS_setsid, &[]).map(drop),
            Step::Group(pid, group) => {
                self.one(pid.0, libc::SYS_setpgid, &[0, u64::from(group.0)]).map(drop)
            }
            Step::Leader(group, by) => {
                self.clone(by.0 as i32, group.0 as i32, 0, 0)?;
                self.one(group.0, libc::SYS_setpgid, &[0, 0]).map(drop)
            }
            Step::Dismiss(group, by) => self.dismiss(group, by),
            Step::Map(pid) => self.map(pid),
            Step::Descriptors(pid) => self.descriptors(pid),
            Step::Thread(pid, tid) => {
                let flags = libc::CLONE_VM
                    | libc::CLONE_FS
                    | libc::CLONE_FILES
                    | libc::CLONE_SIGHAND
                    | libc::CLONE_THREAD
                    | libc::CLONE_SYSVSEM;
                self.clone(pid.0 as i32, tid.0 as i32, flags as u64, 0)
            }
            Step::Settings(pid) => self.settings(pid),
            Step::Fill => Ok(()),
            Step::Finish(pid) => self.finish(pid),
            Step::Release => self.release(),
        }
    }

    /// Runs batches in a stub; its signals must be blocked as in [`MASK`].
    pub(crate) fn runner(&self, tid: i32) -> Inside {
        Inside::new(&self.tasks[&tid], self.room())
    }

    /// Runs calls one by one, which works whatever its signals are.
    pub(crate) fn slow_runner(&self, tid: i32) -> PtraceRunner<'static> {
        PtraceRunner::new(tid, self.hole, self.hole + ARENA, Room::ARENA)
    }

    fn room(&self) -> Room {
        Room { image: self.hole + IMAGE, arena: self.hole + ARENA }
    }

    pub(crate) fn one(&self, tid: u32, nr: i64, args: &[u64]) -> Result<u64> {
        let mut all = [Arg::Val(0); 6];
        for (to, from) in all.iter_mut().zip(args) {
            *to = Arg::Val(*from);
        }
        let mut b = Batch::new();
        let call = b.call(nr, all);
        self.runner(tid as i32).run(&b)?.value(call)
    }

    fn dismiss(&mut self, group: Pid, by: Pid) -> Result<()> {
        let Some(tracee) = self.tasks.remove(&(group.0 as i32)) else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(group.0 as i32);
        kill(pid, Signal::SIGKILL)
            .map_err(|e| floe_sys::Error::new("end a leader", e).pid(group.0))?;
        while tracee.wait_stop().is_ok_and(|stop| !stop.is_end()) {}
        let all = libc::__WALL as u64;
        self.one(by.0, libc::SYS_wait4, &[u64::from(group.0), 0, all, 0]).map(drop)
    }

    fn create_root(&mut self, pid: Pid) -> Result<()> {
        let tid = floe_sys::spawn_stub(&[pid.0 as i32], 0, libc::SIGCHLD)?;
        let tracee = seize_all_with(&[tid], TRACE).remove(0).1.inspect_err(|_| {
            // Nobody else would ever end it.
            let stub = nix::unistd::Pid::from_raw(tid);
            let _ = kill(stub, Signal::SIGKILL);
            let _ = waitpid(stub, None);
        })?;
        tracee.set_sigmask(MASK)?;
        let rseq = tracee.rseq()?;
        self.tasks.insert(tid, tracee);
        let insn = find_syscall_insn(tid)?;
        let mut remote = RemoteCall::begin(tid, insn)?;
        let mut call = |nr, args: [u64; 6]| -> Result<()> {
            let value = remote.call(nr, args, &mut |_| Ok(()))?;
            if value < 0 && value > -4096 {
                let cause = std::io::Error::from_raw_os_error(-value as i32);
                return Err(
                    floe_sys::Error::new(format!("prepare it (call {nr})"), cause).pid(pid.0)
                );
            }
            Ok(())
        };
        if let Some(area) = rseq {
            call(
                libc::SYS_rseq,
                [area.addr, u64::from(area.size), 1, u64::from(area.signature), 0, 0],
            )?;
        }
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
        call(libc::SYS_mmap, [self.hole, PARK, 3, flags, u64::MAX, 0])?;
        floe_sys::write_memory(tid, self.hole, &[0x0f, 0x05, 0xcc])?;
        self.room().fill(tid)?;
        call(libc::SYS_mprotect, [self.hole, ARENA, 5, 0, 0, 0])?;
        remote.finish()?;
        self.park(tid)
    }

    /// Moves the vdso into the hole and unmaps all the rest.
    fn park(&mut self, tid: i32) -> Result<()> {
        let mut at = self.hole + PARK;
        for (start, end, name) in maps::ranges(&tid.to_string())? {
            if name.starts_with("[vdso") || name.starts_with("[vvar") {
                let len = end - start;
                self.one(tid as u32, libc::SYS_mremap, &[start, len, len, 3, at])?;
                self.parked.push((name.trim_matches(['[', ']']).to_owned(), at, len));
                at += len;
            }
        }
        self.one(tid as u32, libc::SYS_munmap, &[0, self.hole])?;
        let high = self.hole + floe_plan::HOLE;
        self.one(tid as u32, libc::SYS_munmap, &[high, 0x7fff_ffff_f000 - high]).map(drop)
    }

    fn clone(&mut self, parent: i32, tid: i32, flags: u64, signal: u64) -> Result<()> {
        let mut b = Batch::new();
        let ids = b.bytes(&tid.to_ne_bytes());
        let mut args = [0u64; 11];
        (args[0], args[4], args[9]) = (flags, signal, 1);
        let bytes: Vec<u8> = args.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let slot = b.bytes(&bytes);
        b.pointer(slot, 64, ids);
        let call = b.call(libc::SYS_clone3, [slot.into(), Arg::Val(88)]);
        self.runner(parent).run(&b)?.value(call)?;
        let tracee = Tracee::adopt(tid)?;
        tracee.set_sigmask(MASK)?;
        self.tasks.insert(tid, tracee);
        Ok(())
    }

    /// Writes pages into place.
    pub fn pages(&self, pages: &Pages, bytes: &[u8]) -> Result<()> {
        floe_sys::write_memory_ranges(pages.pid.0 as i32, pages.ranges.as_slice(), bytes)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.released {
            for &tid in self.tasks.keys() {
                let _ = kill(nix::unistd::Pid::from_raw(tid), Signal::SIGKILL);
            }
            // The end of a leader is told only when its other threads have been waited for, and there may be one
            // that we have not come to know yet.
            let is_leader = |tid: &i32| self.tree.processes.iter().any(|p| p.pid.0 as i32 == *tid);
            let mut leaders: BTreeSet<i32> = self.tasks.keys().copied().filter(is_leader).collect();
            while !leaders.is_empty() {
                match waitpid(None, Some(WaitPidFlag::__WALL)) {
                    Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                        leaders.remove(&pid.as_raw());
                    }
                    Ok(_) | Err(nix::Error::EINTR) => {}
                    Err(_) => break,
                }
            }
        }
    }
}
