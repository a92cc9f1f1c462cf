//! Stubs: processes that hold nothing but the hole.

use crate::{
    maps::own_vdso,
    script::{Newborn, Script},
    vdso::{self, BEHIND_HOLE},
};
use floe_parasite::{Arg, Batch, PayloadLayout, PtraceRunner, Runner, StubRunner};
use floe_records::{Mm, Pid, Tid, Tree, Vdso};
use floe_sys::{Error, Result};
use floe_tracee::{OPTIONS, RemoteCall, Tracee, find_syscall_insn, seize_all_with};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Uid, getresuid},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

/// Those that a stub makes get these options from it.
const TRACE: i32 = OPTIONS | libc::PTRACE_O_EXITKILL;
const PAGE: u64 = 4096;
/// The first process of a pid namespace, which is there before any other.
const INIT: i32 = 1;
/// In the hole: a `syscall` instruction, the payload, its arena, and the parked vdso.
const IMAGE: u64 = PAGE;
const ARENA: u64 = 0x8000;
const PARK: u64 = 0x60000;
const _: () = assert!(IMAGE + PayloadLayout::IMAGE as u64 <= ARENA);
const _: () = assert!(ARENA + PayloadLayout::ARENA as u64 <= PARK);
/// What a stub blocks: everything but the breakpoint of its payload.
const MASK: u64 = !(1 << (libc::SIGTRAP - 1));

/// The processes of a tree until they are let go. Dropped before that, they are killed.
pub(crate) struct Stubs {
    pub hole: u64,
    pub tasks: BTreeMap<i32, Tracee>,
    /// Parked vdso and its kin: name, where, length; the same in all, for all are forked from the root.
    pub parked: Vec<(String, u64, u64)>,
    /// Where in the vdso a `syscall` instruction is.
    pub insn_in_vdso: Option<u64>,
    /// The vdso of this kernel.
    own_vdso: Option<Vdso>,
    pub released: bool,
    /// What stubs have from restore.
    pub inherited: Inherited,
    leaders: BTreeSet<i32>,
    /// How many filters of system calls all threads of a process have in common.
    pub filters: OnceLock<BTreeMap<Pid, usize>>,
}

/// What every stub has from restore, for it is forked from it.
pub(crate) struct Inherited {
    /// Effective capabilities.
    pub capabilities: u64,
    /// Real, effective and saved user.
    pub uids: [u32; 3],
    /// Soft and hard limits at their numbers.
    pub limits: Vec<(u64, u64)>,
    pub oom_score_adj: i32,
    /// /proc/PID/loginuid.
    pub login_uid: Option<u32>,
    /// /proc/PID/coredump_filter.
    pub dump_filter: Option<u64>,
    /// ioprio_get(2).
    pub io_priority: u32,
    /// Mode of get_mempolicy(2).
    pub memory_policy: u32,
    /// Settings in the order of [`floe_records::PRCTLS`].
    pub prctls: Vec<Option<u32>>,
}

impl Inherited {
    fn now() -> Result<Self> {
        let numbers = 0..floe_proc::LIMITS as u32;
        let users = getresuid().map_err(|e| Error::new("read our user ids", e))?;
        Ok(Self {
            uids: [users.real, users.effective, users.saved].map(Uid::as_raw),
            capabilities: floe_sys::effective_capabilities()?,
            limits: numbers.map(|number| floe_sys::get_limit(0, number)).collect::<Result<_>>()?,
            oom_score_adj: floe_proc::oom_score_adj(std::process::id())?,
            login_uid: floe_proc::login_uid(std::process::id())?,
            dump_filter: floe_proc::core_dump_filter(std::process::id())?,
            io_priority: floe_sys::io_priority(0)?,
            memory_policy: floe_sys::memory_policy()?,
            prctls: crate::thread::prctls::own(),
        })
    }
}

impl Stubs {
    /// Nothing is made yet.
    pub fn new(hole: u64) -> Result<Self> {
        let (tasks, parked, leaders) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let (insn_in_vdso, released) = (None, false);
        let own_vdso = own_vdso()?;
        let inherited = Inherited::now()?;
        let filters = OnceLock::new();
        Ok(Self {
            hole,
            tasks,
            parked,
            insn_in_vdso,
            own_vdso,
            released,
            inherited,
            leaders,
            filters,
        })
    }

    /// A stopped thread.
    pub fn tracee(&self, tid: i32) -> Result<&Tracee> {
        let none = || Error::because("work on it", "it was not made").pid(tid as u32);
        self.tasks.get(&tid).ok_or_else(none)
    }

    /// A stopped thread that is to run.
    pub fn tracee_mut(&mut self, tid: i32) -> Result<&mut Tracee> {
        let none = || Error::because("work on it", "it was not made").pid(tid as u32);
        self.tasks.get_mut(&tid).ok_or_else(none)
    }

    /// One that is to end: only its parent in the tree has to do with it any more.
    pub fn end(&mut self, pid: Pid) -> Option<Tracee> {
        self.leaders.remove(&(pid.0 as i32));
        self.tasks.remove(&(pid.0 as i32))
    }

    /// Runs batches in a stub; its signals must be blocked as in [`MASK`].
    pub fn runner(&self, tid: i32) -> Result<StubRunner<'_>> {
        Ok(StubRunner::new(self.tracee(tid)?, self.layout()))
    }

    /// Runs calls one by one, which works whatever its signals are.
    pub fn slow_runner(&self, tid: i32) -> PtraceRunner<'static> {
        PtraceRunner::new(tid, self.hole, self.hole + ARENA, PayloadLayout::ARENA)
    }

    fn layout(&self) -> PayloadLayout {
        PayloadLayout { image: self.hole + IMAGE, arena: self.hole + ARENA }
    }

    /// Has a stub make one call.
    pub fn one(&self, tid: u32, nr: i64, args: &[u64]) -> Result<u64> {
        let mut all = [Arg::Val(0); 6];
        for (to, from) in all.iter_mut().zip(args) {
            *to = Arg::Val(*from);
        }
        let mut b = Batch::new();
        let call = b.call(nr, all);
        self.runner(tid as i32)?.run(&b)?.value(call)
    }

    /// Waits for one that a stub has made. Its signals are blocked as those of its maker.
    pub fn adopt(&mut self, newborn: Newborn) -> Result<()> {
        let tid = newborn.tid.0 as i32;
        self.tasks.insert(tid, Tracee::adopt(tid)?);
        if newborn.is_process {
            self.leaders.insert(tid);
        }
        Ok(())
    }

    /// A leader for a process group whose own has ended.
    pub fn leader(&mut self, tree: &Tree, group: Pid, by: Pid) -> Result<()> {
        let newborn = Newborn { tid: Tid(group.0), is_process: true };
        let none = || Error::because("make a leader", "the group has no number there").pid(by.0);
        let names = tree.names_from(tree.pid_space(by), group.0).ok_or_else(none)?;
        let mut script = Script::new(self, Tid(by.0));
        script.clone(newborn, &names, 0, 0);
        script.run()?;
        self.adopt(newborn)?;
        self.one(group.0, libc::SYS_setpgid, &[0, 0]).map(drop)
    }

    /// Ends such a leader.
    pub fn dismiss(&mut self, tree: &Tree, group: Pid, by: Pid) -> Result<()> {
        let Some(tracee) = self.tasks.remove(&(group.0 as i32)) else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(group.0 as i32);
        kill(pid, Signal::SIGKILL).map_err(|e| Error::new("end a leader", e).pid(group.0))?;
        // Where this fails, so does the wait of its parent.
        let _ = tracee.wait_end();
        self.leaders.remove(&(group.0 as i32));
        let (all, called) = (libc::__WALL as u64, tree.seen_by(by, group.0).unwrap_or(group.0));
        self.one(by.0, libc::SYS_wait4, &[u64::from(called), 0, all, 0]).map(drop)
    }

    /// The root of the tree. One that is pid 1 of our pid namespace is there already, as a stub, and has its table of
    /// descriptors in common with us. `sibling`: it is a child of our parent.
    pub fn create_root(&mut self, pid: Pid, sibling: bool) -> Result<()> {
        let tid = match pid.0 as i32 {
            INIT => INIT,
            pid if sibling => {
                let own = floe_sys::pidfd_open(std::process::id() as i32)?;
                floe_sys::spawn_sibling(&[pid], 0, own)?
            }
            pid => floe_sys::spawn_stub(&[pid], 0, libc::SIGCHLD)?,
        };
        let tracee = seize_all_with(&[tid], TRACE).remove(0).1.inspect_err(|_| {
            // Nobody else would ever end it.
            let stub = nix::unistd::Pid::from_raw(tid);
            let _ = kill(stub, Signal::SIGKILL);
            let _ = waitpid(stub, None);
        })?;
        tracee.suspend_seccomp(TRACE)?;
        tracee.set_sigmask(MASK)?;
        let rseq = tracee.rseq()?;
        self.tasks.insert(tid, tracee);
        self.leaders.insert(tid);
        let insn = find_syscall_insn(tid)?;
        let mut remote = RemoteCall::begin(tid, insn)?;
        let mut call = |what: &str, nr, args: [u64; 6]| -> Result<()> {
            let value = remote.call(nr, args, &mut |_| Ok(()))?;
            if value < 0 && value > -4096 {
                let cause = std::io::Error::from_raw_os_error(-value as i32);
                return Err(Error::new(format!("prepare a stub: {what}"), cause).pid(pid.0));
            }
            Ok(())
        };
        if tid == INIT {
            call("unshare", libc::SYS_unshare, [libc::CLONE_FILES as u64, 0, 0, 0, 0, 0])?;
        }
        if let Some(area) = rseq {
            let (size, signature) = (u64::from(area.size), u64::from(area.signature));
            call("rseq", libc::SYS_rseq, [area.addr, size, 1, signature, 0, 0])?;
        }
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
        call("mmap", libc::SYS_mmap, [self.hole, PARK, 3, flags, u64::MAX, 0])?;
        floe_sys::write_memory(tid, self.hole, &[0x0f, 0x05, 0xcc])?;
        self.layout().fill(tid)?;
        call("mprotect", libc::SYS_mprotect, [self.hole, ARENA, 5, 0, 0, 0])?;
        remote.finish()?;
        self.park(tid, insn)?;
        self.reset_signals(tid)
    }

    /// Signals that restore ignores would be ignored by all that is forked from the root.
    fn reset_signals(&self, tid: i32) -> Result<()> {
        let mut b = Batch::new();
        b.label("reset the signal actions of restore");
        let default = b.zeroed(32);
        for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
            let args = [signal.into(), default.into(), Arg::Val(0), Arg::Val(8)];
            b.call(libc::SYS_rt_sigaction, args);
        }
        self.runner(tid)?.run(&b).map(drop)
    }

    /// The vdso of another kernel, where a process has one.
    pub fn foreign_vdso<'t>(&self, tree: &'t Tree, pid: Pid) -> Option<&'t Vdso> {
        let own = self.own_vdso.as_ref().map_or(0, |own| own.hash);
        let hash = tree.get::<Mm>(pid)?.vdso_hash;
        tree.all::<Vdso>().iter().find(|vdso| vdso.hash == hash && hash != 0 && hash != own)
    }

    /// Where what is parked goes in such a process, in the order and at the distances that it has.
    pub fn place_behind(&self, parked: u64) -> u64 {
        let first = self.parked.first().map_or(parked, |first| first.1);
        self.hole + floe_plan::HOLE + BEHIND_HOLE + (parked - first)
    }

    /// What takes the place of the vdso of another kernel.
    pub fn stand_in(&self, was: &Vdso) -> Result<Vec<u8>> {
        let none = || Error::because("find the vdso of this kernel", "it has none");
        let own = self.own_vdso.as_ref().ok_or_else(none)?;
        let parked = self.parked.iter().find(|parked| parked.0 == "vdso").ok_or_else(none)?;
        vdso::stand_in(was, &own.code.0, self.place_behind(parked.1))
    }

    /// Moves the vdso into the hole and unmaps all the rest. `insn` is a `syscall` instruction, best of the vdso.
    fn park(&mut self, tid: i32, insn: u64) -> Result<()> {
        let mut at = self.hole + PARK;
        let mut b = Batch::new();
        b.label("unmap the memory of restore");
        for map in floe_proc::mappings(tid as u32)? {
            if map.name.starts_with(b"[vdso") || map.name.starts_with(b"[vvar") {
                let (start, len) = (map.start, map.size());
                if let Some(offset) = insn.checked_sub(start).filter(|offset| *offset < len) {
                    self.insn_in_vdso = Some(offset);
                }
                b.call(libc::SYS_mremap, [start, len, len, 3, at].map(Arg::Val));
                let name = String::from_utf8_lossy(&map.name);
                self.parked.push((name.trim_matches(['[', ']']).to_owned(), at, len));
                at += len;
            }
        }
        let high = self.hole + floe_plan::HOLE;
        b.call(libc::SYS_munmap, [0, self.hole].map(Arg::Val));
        b.call(libc::SYS_munmap, [high, 0x7fff_ffff_f000 - high].map(Arg::Val));
        self.runner(tid)?.run(&b).map(drop)
    }
}

impl Drop for Stubs {
    fn drop(&mut self) {
        if !self.released {
            for &tid in self.tasks.keys() {
                let _ = kill(nix::unistd::Pid::from_raw(tid), Signal::SIGKILL);
            }
            // The end of a leader is told only when its other threads have been waited for, and there may be one
            // that we have not come to know yet.
            let mut leaders = std::mem::take(&mut self.leaders);
            // No signal from inside of its namespace ends it, but the end of its tracer does.
            leaders.remove(&INIT);
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
