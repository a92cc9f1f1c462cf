//! The host side of the doorbell.

use crate::{Batch, Replies, Runner, abi, batch::results};
use floe_sys::{Error, Result, read_memory, recv_fds, send_fds, wait_readable, write_memory};
use floe_tracee::{Stop, Tracee};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A planted parasite, seen from a holder of the far end of its doorbell. Whoever has that end may use it, with
/// or without tracing the target; one at a time.
#[derive(Debug)]
pub struct Agent {
    pid: i32,
    arena: u64,
    doorbell: OwnedFd,
    remote_doorbell: i32,
    /// Set in the thread that planted it: the target's tracer must pass signals on.
    pub(crate) traced: Option<Tracee>,
}

impl Agent {
    /// Takes up a parasite that another process has planted: `arena` from [`Agent::arena`], `doorbell` a
    /// duplicate of [`Agent::doorbell`] taken by pidfd_getfd.
    pub fn attach(pid: i32, arena: u64, doorbell: OwnedFd) -> Result<Self> {
        let mut head = [0; 16];
        read_memory(pid, arena, &mut head)?;
        let word = |i: usize| u64::from_ne_bytes(head.as_chunks::<8>().0[i]);
        if word(0) != abi::MAGIC {
            let what = "the arena is not one of this version";
            return Err(Error::because("take up the parasite", what).pid(pid as u32));
        }
        Ok(Self { pid, arena, doorbell, remote_doorbell: word(1) as i32, traced: None })
    }

    /// Address of the arena in the target.
    pub fn arena(&self) -> u64 {
        self.arena
    }

    /// Our end of the doorbell.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// The number of our end, for the record that tells later stages.
    pub fn doorbell_number(&self) -> i32 {
        self.doorbell.as_raw_fd()
    }

    /// The parasite's end: a descriptor of the target that is none of its own.
    pub fn remote_doorbell(&self) -> i32 {
        self.remote_doorbell
    }

    /// The process it lives in.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Gives descriptors to the target; their numbers there.
    pub fn give_fds(&mut self, fds: &[BorrowedFd<'_>]) -> Result<Vec<i32>> {
        let mut numbers = Vec::with_capacity(fds.len());
        for some in fds.chunks(floe_sys::MAX_FDS) {
            let (batch, control) = message(some.len(), None, self.remote_doorbell);
            self.ring(&batch)?;
            // The batch waits in recvmsg for this.
            send_fds(self.doorbell.as_fd(), 0, some)?;
            let replies = self.hear(&batch)?;
            let bytes = &replies.bytes(control)[CMSG_HEAD..][..some.len() * 4];
            numbers.extend(bytes.as_chunks::<4>().0.iter().map(|b| i32::from_ne_bytes(*b)));
        }
        Ok(numbers)
    }

    /// Duplicates descriptors of the target to here.
    pub fn take_fds(&mut self, numbers: &[i32]) -> Result<Vec<OwnedFd>> {
        let mut all = Vec::with_capacity(numbers.len());
        for some in numbers.chunks(floe_sys::MAX_FDS) {
            let (batch, _) = message(some.len(), Some(some), self.remote_doorbell);
            self.ring(&batch)?;
            if let Some((word, fds)) = recv_fds(self.doorbell.as_fd())?
                && word == FDS_WORD
            {
                all.extend(fds);
                self.hear(&batch)?;
            } else {
                // That was the end of the batch already, so it failed.
                self.read_back(&batch)?;
            }
        }
        Ok(all)
    }

    /// Puts a batch into the arena and starts it.
    fn ring(&self, batch: &Batch) -> Result<()> {
        let data_at = abi::ENTRIES + batch.entries.len() * abi::ENTRY;
        if data_at + batch.data.len() > abi::BATCH_END {
            let what = format!(
                "{} calls with {} bytes of data do not fit",
                batch.entries.len(),
                batch.data.len()
            );
            return Err(Error::because("run system calls", what).pid(self.pid as u32));
        }
        let base = self.arena + data_at as u64;
        let mut bytes = Vec::with_capacity(data_at - abi::BATCH + batch.data.len());
        bytes.extend_from_slice(&(batch.entries.len() as u64).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for entry in &batch.entries {
            bytes.extend_from_slice(&entry.words(base));
        }
        bytes.extend_from_slice(&batch.data_at(base));
        write_memory(self.pid, self.arena + abi::BATCH as u64, &bytes)?;
        send_fds(self.doorbell.as_fd(), 1, &[]).map_err(|e| self.named(e))
    }

    /// Waits for the end of the batch and reads what became of it.
    fn hear(&self, batch: &Batch) -> Result<Replies> {
        while !wait_readable(self.doorbell.as_fd(), 20)
            .map_err(|e| Error::new("wait for the parasite", e).pid(self.pid as u32))?
        {
            self.check_alive()?;
        }
        match recv_fds(self.doorbell.as_fd()).map_err(|e| self.named(e))? {
            Some(_) => self.read_back(batch),
            None => {
                Err(Error::because("run system calls", "the target is gone").pid(self.pid as u32))
            }
        }
    }

    fn read_back(&self, batch: &Batch) -> Result<Replies> {
        let count = batch.entries.len();
        let mut bytes = vec![0; 16 + count * abi::ENTRY + batch.data.len()];
        read_memory(self.pid, self.arena + abi::BATCH as u64, &mut bytes)?;
        let results = results(&bytes, count);
        let data = bytes.split_off(16 + count * abi::ENTRY);
        Replies::new(self.pid, batch, results, data)
    }

    /// A parasite that was stopped by something else or died will never answer.
    fn check_alive(&self) -> Result<()> {
        if let Some(tracee) = &self.traced {
            return match tracee.poll_stop()? {
                // SIGSTOP cannot be blocked. It counts, but the parasite runs on until it is lifted.
                Some(Stop::Signal(libc::SIGSTOP)) => tracee.cont_with(libc::SIGSTOP),
                Some(Stop::Group(_) | Stop::Interrupted) => tracee.cont(),
                Some(stop) => {
                    let what = format!("the parasite was stopped by {stop:?}");
                    Err(Error::because("run system calls", what).pid(self.pid as u32))
                }
                None => Ok(()),
            };
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        let state = stat.ok().and_then(|s| s.rsplit_once(") ").map(|(_, r)| r.chars().next()));
        match state.flatten() {
            Some('t' | 'T' | 'Z' | 'X') | None => {
                let what = "the target was stopped or ended meanwhile";
                Err(Error::because("run system calls", what).pid(self.pid as u32))
            }
            Some(_) => Ok(()),
        }
    }

    fn named(&self, error: Error) -> Error {
        error.pid(self.pid as u32)
    }
}

impl Runner for Agent {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        self.ring(batch)?;
        self.hear(batch)
    }

    /// Leaves space for some eight hundred calls.
    fn room(&self) -> usize {
        abi::BATCH_END - abi::ENTRIES - (64 << 10)
    }
}

/// Size of struct cmsghdr.
const CMSG_HEAD: usize = 16;
/// The word that comes with descriptors, unlike the one that ends a batch.
const FDS_WORD: u64 = 2;

/// A batch that sends or receives `count` descriptors over the doorbell, and the slot of its control data.
fn message(count: usize, send: Option<&[i32]>, doorbell: i32) -> (Batch, crate::Slot) {
    let mut batch = Batch::new();
    let mut control = vec![0; CMSG_HEAD + (count * 4).next_multiple_of(8)];
    control[..8].copy_from_slice(&((CMSG_HEAD + count * 4) as u64).to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    for (place, fd) in
        control[CMSG_HEAD..].as_chunks_mut::<4>().0.iter_mut().zip(send.unwrap_or(&[]))
    {
        *place = fd.to_ne_bytes();
    }
    let len = control.len() as u64;
    let control = batch.bytes(&control);
    let word = batch.bytes(&FDS_WORD.to_ne_bytes());
    let mut iov = [0; 16];
    iov[8..].copy_from_slice(&8u64.to_ne_bytes());
    let iov = batch.bytes(&iov);
    batch.pointer(iov, 0, word);
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
    let mut head = [0; 56];
    head[24..32].copy_from_slice(&1u64.to_ne_bytes());
    head[40..48].copy_from_slice(&len.to_ne_bytes());
    let head = batch.bytes(&head);
    batch.pointer(head, 16, iov);
    batch.pointer(head, 32, control);
    let (nr, flags) = match send {
        Some(_) => (libc::SYS_sendmsg, libc::MSG_NOSIGNAL),
        None => (libc::SYS_recvmsg, 0),
    };
    batch.call(nr, [doorbell.into(), head.into(), flags.into()]);
    (batch, control)
}
