//! A visit to a stopped process: its threads do system calls for us, and nobody is hurt if we die meanwhile.

use crate::{Home, RemoteCall, Scratch, Tracee, undertaker::Undertaker};
use floe_sys::{Error, Result};
use std::io;

/// Distance of borrowed memory to the target's mappings, so that none of them merges or grows into it.
const DISTANCE: u64 = 1 << 20;
/// The first address that is surely not reserved (vm.mmap_min_addr).
const LOW: u64 = 1 << 20;
const HIGH: u64 = 0x7fff_0000_0000;

/// A visit. The leader is away from its code until [`Visit::end`], with [`Visit::scratch`] mapped.
#[derive(Debug)]
pub struct Visit {
    home: Home,
    leader: RemoteCall,
    /// All that was lent.
    range: Scratch,
    scratch: Scratch,
    more: Option<u64>,
    /// A thread may be on the second way home.
    away: bool,
    _undertaker: Undertaker,
}

impl Visit {
    /// Begins; `len` bytes of private memory are mapped, and behind them, if the process may have that, `more`: lengths
    /// and protections. All lengths are multiples of the page.
    pub fn begin(leader: &Tracee, len: usize, more: &[(usize, i32)]) -> Result<Self> {
        let pid = leader.tid();
        let home = Home::find(pid)?;
        let whole = len + more.iter().map(|(len, _)| len).sum::<usize>();
        let range = Scratch { addr: free_range(pid, whole as u64)?, len: whole };
        let undertaker = Undertaker::start(pid)?;
        let mut remote = RemoteCall::begin_safely(leader, &home, 0)?;
        let scratch = Scratch { len, ..range };
        // The way home unmaps the range before it is known what was mapped: it was free, so that harms nobody.
        let mapped = home
            .set_scratch(0, Some(range))
            .and_then(|()| map(&mut remote, scratch, libc::PROT_READ | libc::PROT_WRITE));
        if let Err(error) = mapped {
            remote.leave();
            return Err(error);
        }
        match map_more(&mut remote, range.addr + len as u64, more) {
            Ok(more) => Ok(Self {
                home,
                leader: remote,
                range,
                scratch,
                more,
                away: false,
                _undertaker: undertaker,
            }),
            Err(error) => {
                remote.leave();
                Err(error)
            }
        }
    }

    /// Memory of the target for the data of calls.
    pub fn scratch(&self) -> Scratch {
        self.scratch
    }

    /// The address of what it was asked for beyond that, if it could have all of it.
    pub fn more(&self) -> Option<u64> {
        self.more
    }

    /// The leader.
    pub fn leader(&mut self) -> &mut RemoteCall {
        &mut self.leader
    }

    /// Has another thread do something, and puts it back. It may run code in what was lent, as the leader may: if we
    /// die meanwhile, it is this thread that unmaps that on its way home, and not the leader, which waits elsewhere.
    pub fn thread<T>(
        &mut self,
        tracee: &Tracee,
        work: impl FnOnce(&mut RemoteCall) -> Result<T>,
    ) -> Result<T> {
        if self.away {
            let what = "another thread has not come back";
            return Err(Error::because("borrow a thread", what).pid(tracee.tid() as u32));
        }
        self.away = true;
        let mut remote = RemoteCall::begin_safely(tracee, &self.home, 1)?;
        // At each moment at least one of them unmaps it, and both only when nobody is in there.
        self.home.set_scratch(1, Some(self.range))?;
        self.home.set_scratch(0, None)?;
        let done = work(&mut remote);
        remote.turn_home()?;
        self.home.set_scratch(0, Some(self.range))?;
        remote.finish()?;
        self.away = false;
        done
    }

    /// Puts the process back as it was. Where that fails, it goes home by itself when it is let go: then the ways
    /// stay.
    pub fn end(mut self) -> Result<()> {
        let Scratch { addr, len } = self.range;
        let args = [addr, len as u64, 0, 0, 0, 0];
        match self.leader.call(libc::SYS_munmap, args, &mut |_| Ok(())) {
            Ok(0) => self.leader.finish()?,
            Ok(value) => {
                self.leader.leave();
                let cause = io::Error::from_raw_os_error(-value as i32);
                return Err(Error::new("unmap borrowed memory", cause));
            }
            Err(error) => {
                self.leader.leave();
                return Err(error);
            }
        }
        if self.away { Ok(()) } else { self.home.clear() }
    }
}

/// Maps pieces side by side from `addr` on; gives `addr` back if the process may have them all.
fn map_more(remote: &mut RemoteCall, addr: u64, more: &[(usize, i32)]) -> Result<Option<u64>> {
    const DENIED: [i32; 4] = [libc::ENOMEM, libc::EAGAIN, libc::EACCES, libc::EPERM];
    let mut at = addr;
    for &(len, prot) in more {
        match map(remote, Scratch { addr: at, len }, prot) {
            Err(error) if error.errno().is_some_and(|errno| DENIED.contains(&errno)) => {
                return Ok(None);
            }
            other => other?,
        }
        at += len as u64;
    }
    Ok((at > addr).then_some(addr))
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
fn free_range(pid: i32, len: u64) -> Result<u64> {
    let need = len + 2 * DISTANCE;
    let mut free = LOW;
    for (start, end, _) in crate::memory::ranges(pid)? {
        if start >= free + need {
            break;
        }
        free = free.max(end);
    }
    if free + need > HIGH {
        return Err(Error::because("map memory into it", "it has no room").pid(pid as u32));
    }
    Ok((free + DISTANCE).next_multiple_of(4096))
}
