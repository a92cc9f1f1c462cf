//! A visit to a stopped process: its threads do system calls for us, and nobody is hurt if we die meanwhile.

use crate::{Home, RemoteCall, Scratch, Tracee};
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
}

impl Visit {
    /// Begins; `len` bytes of private memory are mapped, and behind them, if the process may have that, `more`: lengths
    /// and protections. All lengths are multiples of the page.
    pub fn begin(leader: &Tracee, len: usize, more: &[(usize, i32)]) -> Result<Self> {
        let pid = leader.tid();
        let home = Home::find(pid)?;
        let whole = len + more.iter().map(|(len, _)| len).sum::<usize>();
        let range = Scratch { addr: free_range(pid, whole as u64)?, len: whole };
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
        let mut behind = range.addr + len as u64;
        let mut lend = |&(len, prot): &(usize, i32)| {
            let piece = Scratch { addr: behind, len };
            behind += len as u64;
            map(&mut remote, piece, prot).is_ok()
        };
        let more =
            (!more.is_empty() && more.iter().all(&mut lend)).then_some(range.addr + len as u64);
        Ok(Self { home, leader: remote, range, scratch, more, away: false })
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

    /// Has another thread do something, and puts it back.
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
        let done = work(&mut remote);
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
