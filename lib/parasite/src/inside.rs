//! Runs batches by the payload in a traced stub: one stop for each batch, however many calls are in it.
//!
//! A stub has nothing of its own to go back to and dies with its tracer, so there is neither a doorbell nor a way
//! home: it is set at the payload, runs through its batch, and stops at a breakpoint.

use crate::{
    Arg, Batch, Call, Replies, Runner, abi, batch,
    plant::{ENTRY_POINT, IMAGE},
};
use floe_sys::{Error, Result, read_memory, write_memory};
use floe_tracee::{Stop, Tracee};

/// Where in a stub the payload and its arena are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Address of the payload, page aligned.
    pub image: u64,
    /// Address of the arena, page aligned and writable.
    pub arena: u64,
}

impl Room {
    /// Bytes to be mapped for the payload.
    pub const IMAGE: usize = IMAGE.len().next_multiple_of(4096);
    /// Bytes to be mapped for the arena.
    pub const ARENA: usize = abi::STACK_TOP;

    /// Puts the payload into a stopped process, where it need not be writable.
    pub fn fill(self, pid: i32) -> Result<()> {
        write_memory(pid, self.image, IMAGE)
    }
}

/// A runner over a stopped stub. Of its signals SIGTRAP must not be blocked or ignored (the kernel would reset it), and
/// all others be blocked. The registers of the stub are not kept.
#[derive(Debug)]
pub struct Inside {
    tracee: Tracee,
    room: Room,
}

impl Inside {
    /// `tracee` shares the memory in which `room` is.
    pub fn new(tracee: &Tracee, room: Room) -> Self {
        Self { tracee: tracee.clone(), room }
    }

    /// Calls from `from` on, as many as fit beside the data at `data_at`; gives their results.
    fn piece(&self, batch: &Batch, known: &[i64], data_at: u64) -> Result<Vec<i64>> {
        let pid = self.tracee.tid();
        let most = (data_at - self.room.arena) as usize - abi::ENTRIES;
        let entries = batch.entries[known.len()..].iter().take(most / abi::ENTRY);
        let count = entries.len();
        let mut bytes = [count as u64, 0].map(u64::to_ne_bytes).concat();
        for entry in entries {
            let mut entry = *entry;
            // Results of earlier pieces are not in the arena any more.
            for arg in &mut entry.args {
                if let Arg::Result(Call(n)) = *arg {
                    *arg = match known.get(n) {
                        Some(value) => Arg::Val(*value as u64),
                        None => Arg::Result(Call(n - known.len())),
                    };
                }
            }
            bytes.extend(entry.words(data_at));
        }
        write_memory(pid, self.room.arena + abi::BATCH as u64, &bytes)?;
        self.go()?;
        read_memory(pid, self.room.arena + abi::BATCH as u64, &mut bytes)?;
        Ok(batch::results(&bytes, count))
    }

    /// Lets it run to the breakpoint.
    fn go(&self) -> Result<()> {
        let mut regs = self.tracee.regs()?;
        regs.set_rip(self.room.image + ENTRY_POINT).set_rdi(self.room.arena).set_rsi(abi::ONCE);
        regs.set_rsp(self.room.arena + abi::STACK_TOP as u64);
        regs.set_orig_rax(u64::MAX).set_eflags(0x202);
        self.tracee.set_regs(&regs)?;
        loop {
            self.tracee.cont()?;
            match self.tracee.wait_stop()? {
                Stop::Signal(libc::SIGTRAP) => return Ok(()),
                // A new child or thread, which is traced as well.
                Stop::Event(_) | Stop::Interrupted => {}
                stop => {
                    let what = format!("it stopped by {stop:?}");
                    return Err(
                        Error::because("run system calls", what).pid(self.tracee.tid() as u32)
                    );
                }
            }
        }
    }
}

impl Runner for Inside {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        let pid = self.tracee.tid();
        if batch.data_len() > self.room() {
            let what = format!("{} bytes of data, {} of room", batch.data_len(), self.room());
            return Err(Error::because("run system calls", what).pid(pid as u32));
        }
        // At the end, so that the pieces of a long batch find it in one place.
        let data_at = self.room.arena + ((abi::BATCH_END - batch.data_len()) & !15) as u64;
        let mut data = batch.data_at(data_at);
        write_memory(pid, data_at, &data)?;
        let mut results: Vec<i64> = Vec::with_capacity(batch.entries.len());
        while results.len() < batch.entries.len() {
            let new = self.piece(batch, &results, data_at)?;
            let failed = new.last().is_some_and(|value| (-4095..0).contains(value));
            results.extend(new);
            if failed && batch.entries[results.len() - 1].must {
                break;
            }
        }
        read_memory(pid, data_at, &mut data)?;
        Replies::new(pid, batch, results, data)
    }

    /// Leaves space for some eight hundred calls at a time.
    fn room(&self) -> usize {
        abi::BATCH_END - abi::ENTRIES - (64 << 10)
    }
}
