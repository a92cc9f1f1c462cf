//! Planting the parasite into a stopped thread, and taking it out again.

use crate::{Agent, Room, abi};
use floe_sys::{Error, Result, pidfd_getfd, pidfd_open, read_memory, write_memory};
use floe_tracee::{Home, Regs, RemoteCall, Tracee};
use std::{io, os::fd::AsFd};

/// Where the doorbell should lie, out of the way of the low numbers that the target gives out next.
const HIGH_FD: u64 = 900;
const SIGPIPE_BIT: u64 = 1 << (libc::SIGPIPE - 1);

/// A parasite that this thread planted; [`Planted::lift`] takes it out. If that never happens because this process
/// dies, the parasite goes home by itself.
#[derive(Debug)]
pub struct Planted {
    agent: Agent,
    image: u64,
    regs: Regs,
    xstate: Vec<u8>,
    mask: u64,
}

impl Agent {
    /// Plants the parasite into a process whose leader is `tracee` (stopped), and lets it run there.
    pub fn plant(tracee: &Tracee) -> Result<Planted> {
        let pid = tracee.tid();
        let regs = tracee.regs_outside_rseq()?;
        if !regs.is_64bit() {
            let what = "its leader runs 32-bit code";
            return Err(Error::because("plant the parasite", what).pid(pid as u32));
        }
        let (xstate, mask) = (tracee.xstate()?, tracee.sigmask()?);
        if xstate.len() > abi::XSTATE_MAX {
            let what = "its extended registers are too long";
            return Err(Error::because("plant the parasite", what).pid(pid as u32));
        }
        let home = Home::find(pid)?;
        let mut remote = RemoteCall::begin_as(tracee, &home, 0, &regs, mask)?;
        let mut made = Made::default();
        let agent = settle_in(&mut remote, pid, &mut made);
        match agent.and_then(|a| head(tracee, &a, &regs, &xstate, mask).map(|()| a)) {
            Ok(mut agent) => {
                agent.traced = Some(tracee.clone());
                remote.hand_over(&begin(&regs, made.arena, made.image))?;
                home.clear()?;
                tracee.cont()?;
                Ok(Planted { agent, image: made.image, regs, xstate, mask })
            }
            Err(error) => {
                made.undo(&mut remote, pid)?;
                remote.finish()?;
                home.clear()?;
                Err(error)
            }
        }
    }
}

/// What has been made in the target so far.
#[derive(Default)]
struct Made {
    arena: u64,
    image: u64,
    fds: Vec<u64>,
}

impl Made {
    fn undo(&self, remote: &mut RemoteCall, pid: i32) -> Result<()> {
        for &fd in &self.fds {
            ask(remote, pid, libc::SYS_close, [fd, 0, 0, 0, 0, 0], "close the doorbell")?;
        }
        for (addr, len) in [(self.arena, Room::ARENA), (self.image, Room::IMAGE)] {
            if addr != 0 {
                let args = [addr, len as u64, 0, 0, 0, 0];
                ask(remote, pid, libc::SYS_munmap, args, "unmap the parasite")?;
            }
        }
        Ok(())
    }
}

/// Mappings and doorbell.
fn settle_in(remote: &mut RemoteCall, pid: i32, made: &mut Made) -> Result<Agent> {
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let mut map = |len: usize, prot: i32, doing: &str| {
        let args = [0, len as u64, prot as u64, anonymous, u64::MAX, 0];
        ask(remote, pid, libc::SYS_mmap, args, doing)
    };
    made.arena = map(Room::ARENA, libc::PROT_READ | libc::PROT_WRITE, "map the arena")?;
    // Executable from the start and never writable: some processes may not change that later.
    made.image = map(Room::IMAGE, libc::PROT_READ | libc::PROT_EXEC, "map the parasite")?;
    Room { image: made.image, arena: made.arena }.fill(pid)?;

    let family = libc::AF_UNIX as u64;
    let kind = (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC) as u64;
    let pair = [family, kind, 0, made.arena, 0, 0];
    ask(remote, pid, libc::SYS_socketpair, pair, "make the doorbell")?;
    let mut ends = [0; 8];
    read_memory(pid, made.arena, &mut ends)?;
    let [near, far] =
        [0, 4].map(|i| u64::from(u32::from_ne_bytes([0, 1, 2, 3].map(|j| ends[i + j]))));
    made.fds = vec![near, far];
    let doorbell = pidfd_getfd(pidfd_open(pid)?.as_fd(), far as i32);
    ask(remote, pid, libc::SYS_close, [far, 0, 0, 0, 0, 0], "close the doorbell")?;
    made.fds.pop();
    let doorbell = doorbell.map_err(|e| e.pid(pid as u32))?;
    let dup = [near, libc::F_DUPFD_CLOEXEC as u64, HIGH_FD, 0, 0, 0];
    // A low limit of descriptors is no failure: then it stays where it is.
    let near = match ask(remote, pid, libc::SYS_fcntl, dup, "move the doorbell") {
        Ok(high) => {
            ask(remote, pid, libc::SYS_close, [near, 0, 0, 0, 0, 0], "close the doorbell")?;
            high
        }
        Err(_) => near,
    };
    made.fds = vec![near];
    let mut head = [0; 16];
    head[..8].copy_from_slice(&abi::MAGIC.to_ne_bytes());
    head[8..].copy_from_slice(&near.to_ne_bytes());
    write_memory(pid, made.arena, &head)?;
    Agent::attach(pid, made.arena, doorbell)
}

/// What the parasite needs to go home alone.
fn head(tracee: &Tracee, agent: &Agent, regs: &Regs, xstate: &[u8], mask: u64) -> Result<()> {
    let pid = tracee.tid();
    let own = (tracee.queued(false)?.iter().chain(&tracee.queued(true)?))
        .any(|info| info[..4] == libc::SIGPIPE.to_ne_bytes());
    let blocked = mask & SIGPIPE_BIT != 0;
    let words = [mask, u64::from(own && blocked)];
    let words: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    write_memory(pid, agent.arena() + abi::MASK as u64, &words)?;
    write_memory(pid, agent.arena() + abi::REGS as u64, &regs.to_bytes())?;
    write_memory(pid, agent.arena() + abi::XSTATE as u64, xstate)
}

/// The registers the parasite begins with.
fn begin(regs: &Regs, arena: u64, image: u64) -> Regs {
    let mut begin = *regs;
    Room { image, arena }.enter(&mut begin, abi::SERVE);
    begin
}

impl Planted {
    /// The runner.
    pub fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// The registers the target will go on with.
    pub fn regs(&self) -> &Regs {
        &self.regs
    }

    /// The extended state the target will go on with.
    pub fn xstate(&self) -> &[u8] {
        &self.xstate
    }

    /// The signal mask the target will go on with.
    pub fn sigmask(&self) -> u64 {
        self.mask
    }

    /// The two mappings of the parasite: they are none of the target's own.
    pub fn mappings(&self) -> [std::ops::Range<u64>; 2] {
        let arena = self.agent.arena();
        [arena..arena + Room::ARENA as u64, self.image..self.image + Room::IMAGE as u64]
    }

    /// Interrupts the parasite, takes it out, and leaves the thread stopped just as it was found.
    pub fn lift(self, tracee: &mut Tracee) -> Result<()> {
        let pid = tracee.tid();
        tracee.interrupt()?;
        tracee.wait_interrupted()?;
        let home = Home::find(pid)?;
        tracee.set_xstate(&self.xstate)?;
        let mut remote = RemoteCall::begin_as(tracee, &home, 0, &self.regs, self.mask)?;
        let made = Made {
            arena: self.agent.arena(),
            image: self.image,
            fds: vec![self.agent.remote_doorbell() as u64],
        };
        let undone = made.undo(&mut remote, pid);
        remote.finish()?;
        home.clear()?;
        undone
    }
}

/// One remote call, its failure as a sentence.
fn ask(remote: &mut RemoteCall, pid: i32, nr: i64, args: [u64; 6], doing: &str) -> Result<u64> {
    let value = remote.call(nr, args, &mut |_| Ok(()))?;
    if (-4095..0).contains(&value) {
        let cause = io::Error::from_raw_os_error(-value as i32);
        return Err(Error::new(doing, cause).pid(pid as u32));
    }
    Ok(value as u64)
}
