//! A session with a stopped process: its threads make system calls for us, and it comes to no harm if we die meanwhile.

use crate::{
    RemoteCall, Scratch, Tracee,
    reaper::Reaper,
    trampoline::{ReturnPath, Trampoline},
};
use floe_proc::Mapping;
use floe_sys::{Error, Result};
use std::io;

/// Distance of our memory to the target's mappings, so that none of them merges or grows into it.
const DISTANCE: u64 = 1 << 20;
/// The first address that is surely not reserved (vm.mmap_min_addr).
const LOW: u64 = 1 << 20;
const HIGH: u64 = 0x7fff_0000_0000;

/// A session. Until [`RemoteSession::end`] the leader is on its return path, and [`RemoteSession::scratch`] is mapped.
#[derive(Debug)]
pub struct RemoteSession {
    trampoline: Trampoline,
    leader: RemoteCall,
    /// All that was mapped.
    range: Scratch,
    scratch: Scratch,
    extra: Option<u64>,
    /// A thread may still be on the other return path.
    away: bool,
    _reaper: Reaper,
}

impl RemoteSession {
    /// Begins; `len` bytes of private memory are mapped, and behind them, if the process may have that, `extra`: lengths
    /// and protections. All lengths are multiples of the page size.
    pub fn begin(leader: &Tracee, len: usize, extra: &[(usize, i32)]) -> Result<Self> {
        let mappings = floe_proc::mappings(leader.tid() as u32)?;
        Self::begin_among(leader, &mappings, len, extra)
    }

    /// The same where the mappings of the process are known; of names, those of the vdso and the vsyscall page suffice.
    pub fn begin_among(
        leader: &Tracee,
        mappings: &[Mapping],
        len: usize,
        extra: &[(usize, i32)],
    ) -> Result<Self> {
        let pid = leader.tid();
        let trampoline = Trampoline::find(pid, mappings)?;
        let whole = len + extra.iter().map(|(len, _)| len).sum::<usize>();
        let range = Scratch { addr: free_range(pid, mappings, whole as u64)?, len: whole };
        let reaper = Reaper::watch(pid)?;
        let mut remote = RemoteCall::begin_on(leader, &trampoline, ReturnPath::Leader)?;
        let scratch = Scratch { len, ..range };
        // The path unmaps the range before it is known what was mapped: it was free, so that is harmless.
        let mapped = trampoline
            .set_scratch(ReturnPath::Leader, Some(range))
            .and_then(|()| map_all(&mut remote, scratch, extra));
        match mapped {
            Ok(extra) => Ok(Self {
                trampoline,
                leader: remote,
                range,
                scratch,
                extra,
                away: false,
                _reaper: reaper,
            }),
            Err(error) => {
                remote.abandon();
                Err(error)
            }
        }
    }

    /// Writes to memory of the target, where it need not be writable.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.trampoline.write(at, bytes)
    }

    /// Takes the trampoline out of the memory of a copy of the process.
    pub fn clean_copy(&self, copy: &Tracee) -> Result<()> {
        self.trampoline.remove_of(copy.tid())
    }

    /// Memory of the target for the data of calls.
    pub fn scratch(&self) -> Scratch {
        self.scratch
    }

    /// The address of the extra memory, if the process could have all of it.
    pub fn extra(&self) -> Option<u64> {
        self.extra
    }

    /// The leader.
    pub fn leader(&mut self) -> &mut RemoteCall {
        &mut self.leader
    }

    /// Makes another thread do `work`, and puts it back. It may run code in the extra memory, as the leader may: if we
    /// die meanwhile, this thread unmaps that on its return path, and not the leader, which waits elsewhere.
    pub fn thread<T>(
        &mut self,
        tracee: &Tracee,
        work: impl FnOnce(&mut RemoteCall) -> Result<T>,
    ) -> Result<T> {
        if self.away {
            let what = "another thread has not returned";
            return Err(Error::because("borrow a thread", what).pid(tracee.tid() as u32));
        }
        self.away = true;
        let mut remote = RemoteCall::begin_on(tracee, &self.trampoline, ReturnPath::Thread)?;
        // At each moment at least one of the paths unmaps it, and both only while no thread runs in it.
        self.trampoline.set_scratch(ReturnPath::Thread, Some(self.range))?;
        self.trampoline.set_scratch(ReturnPath::Leader, None)?;
        let done = work(&mut remote);
        let back = self.put_back(remote);
        // Of two failures, the first tells what went wrong.
        let done = done?;
        back.map(|()| done)
    }

    fn put_back(&mut self, mut remote: RemoteCall) -> Result<()> {
        remote.park()?;
        self.trampoline.set_scratch(ReturnPath::Leader, Some(self.range))?;
        remote.finish()?;
        self.away = false;
        Ok(())
    }

    /// Puts the process back as it was. Where that fails, its threads return by themselves when they are let go: then
    /// the trampoline stays.
    pub fn end(mut self) -> Result<()> {
        let Scratch { addr, len } = self.range;
        let args = [addr, len as u64, 0, 0, 0, 0];
        match self.leader.last_call(libc::SYS_munmap, args) {
            Ok(0) => self.leader.finish()?,
            Ok(value) => {
                self.leader.abandon();
                let cause = io::Error::from_raw_os_error(-value as i32);
                return Err(Error::new("unmap memory of the session", cause));
            }
            Err(error) => {
                self.leader.abandon();
                return Err(error);
            }
        }
        if self.away { Ok(()) } else { self.trampoline.remove() }
    }
}

/// Maps `scratch`, and behind it the pieces of `extra` side by side; gives their address if the process may have them all.
fn map_all(
    remote: &mut RemoteCall,
    scratch: Scratch,
    extra: &[(usize, i32)],
) -> Result<Option<u64>> {
    const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
    let [(first, READ_WRITE), rest @ ..] = extra else {
        map(remote, scratch, READ_WRITE)?;
        return map_extra(remote, scratch.addr + scratch.len as u64, 0, extra);
    };
    // The first piece comes with the scratch memory: each call is two stops.
    let both = Scratch { len: scratch.len + first, ..scratch };
    if may_have(map(remote, both, READ_WRITE))? {
        map_extra(remote, scratch.addr + scratch.len as u64, *first, rest)
    } else {
        map(remote, scratch, READ_WRITE).map(|()| None)
    }
}

/// Maps pieces side by side behind `done` bytes at `addr`; gives `addr` if the process may have them all.
fn map_extra(
    remote: &mut RemoteCall,
    addr: u64,
    done: usize,
    extra: &[(usize, i32)],
) -> Result<Option<u64>> {
    let mut at = addr + done as u64;
    for &(len, prot) in extra {
        if !may_have(map(remote, Scratch { addr: at, len }, prot))? {
            return Ok(None);
        }
        at += len as u64;
    }
    Ok((at > addr).then_some(addr))
}

/// False for memory that is denied to the process.
fn may_have(mapped: Result<()>) -> Result<bool> {
    const DENIED: [i32; 4] = [libc::ENOMEM, libc::EAGAIN, libc::EACCES, libc::EPERM];
    match mapped {
        Err(error) if error.errno().is_some_and(|errno| DENIED.contains(&errno)) => Ok(false),
        other => other.map(|()| true),
    }
}

fn map(remote: &mut RemoteCall, scratch: Scratch, prot: i32) -> Result<()> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
    let args = [scratch.addr, scratch.len as u64, prot as u64, flags, u64::MAX, 0];
    let value = remote.call(libc::SYS_mmap, args, &mut |_| Ok(()))?;
    if (-4095..0).contains(&value) {
        let cause = io::Error::from_raw_os_error(-value as i32);
        return Err(Error::new("map memory into it", cause).pid(remote.tid() as u32));
    }
    Ok(())
}

/// The start of a range of `len` bytes that is far from every mapping.
fn free_range(pid: i32, mappings: &[Mapping], len: u64) -> Result<u64> {
    let need = len + 2 * DISTANCE;
    let mut free = LOW;
    for Mapping { start, end, .. } in mappings {
        if *start >= free + need {
            break;
        }
        free = free.max(*end);
    }
    if free + need > HIGH {
        return Err(
            Error::because("map memory into it", "its address space is full").pid(pid as u32)
        );
    }
    Ok((free + DISTANCE).next_multiple_of(4096))
}
