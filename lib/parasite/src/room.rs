//! Where in a process the payload and its arena are, and how a batch goes through the arena.

use crate::{Arg, Batch, Call, Replies, abi, batch};
use floe_sys::{Error, Result, read_memory, write_memory};
use floe_tracee::Regs;

include!(concat!(env!("OUT_DIR"), "/payload.rs"));
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payload.bin"));

/// Where in a process the payload and its arena are.
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
    /// Both, the arena first: lengths and protections.
    pub const NEED: [(usize, i32); 2] = [
        (Self::ARENA, libc::PROT_READ | libc::PROT_WRITE),
        // Executable from the start and never writable: some processes may not change that later.
        (Self::IMAGE, libc::PROT_READ | libc::PROT_EXEC),
    ];
    /// Bytes of data that a batch may have: leaves space for some eight hundred calls at a time.
    pub const DATA: usize = abi::BATCH_END - abi::ENTRIES - (64 << 10);

    /// [`Room::NEED`], mapped at `addr`.
    pub fn at(addr: u64) -> Self {
        Self { arena: addr, image: addr + Self::ARENA as u64 }
    }

    /// Puts the payload into a stopped process, where it need not be writable.
    pub fn fill(self, pid: i32) -> Result<()> {
        write_memory(pid, self.image, IMAGE)
    }

    /// The registers to enter the payload with; not in a system call, no flag set that could disturb it.
    pub(crate) fn enter(self, regs: &mut Regs, mode: u64) {
        regs.set_rip(self.image + ENTRY_POINT).set_rdi(self.arena).set_rsi(mode);
        regs.set_rsp(self.arena + abi::STACK_TOP as u64);
        regs.set_orig_rax(u64::MAX).set_rax(0).set_eflags(0x202);
    }

    /// Has `go` run a batch, in as many pieces as it takes.
    pub(crate) fn run(
        self,
        pid: i32,
        batch: &Batch,
        go: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Replies> {
        if batch.data_len() > Self::DATA {
            let what = format!("{} bytes of data, {} of room", batch.data_len(), Self::DATA);
            return Err(Error::because("run system calls", what).pid(pid as u32));
        }
        // At the end, so that the pieces of a long batch find it in one place.
        let data_at = self.arena + ((abi::BATCH_END - batch.data_len()) & !15) as u64;
        let mut data = batch.data_at(data_at);
        write_memory(pid, data_at, &data)?;
        let mut results: Vec<i64> = Vec::with_capacity(batch.entries.len());
        while results.len() < batch.entries.len() {
            let new = self.piece(pid, batch, &results, data_at, go)?;
            let failed = new.last().is_some_and(|value| (-4095..0).contains(value));
            results.extend(new);
            if failed && batch.entries[results.len() - 1].must {
                break;
            }
        }
        read_memory(pid, data_at, &mut data)?;
        Replies::new(pid, batch, results, data)
    }

    /// Calls behind those whose results are known, as many as fit beside the data at `data_at`; gives their results.
    fn piece(
        self,
        pid: i32,
        batch: &Batch,
        known: &[i64],
        data_at: u64,
        go: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<i64>> {
        let most = (data_at - self.arena) as usize - abi::ENTRIES;
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
        write_memory(pid, self.arena + abi::BATCH as u64, &bytes)?;
        go()?;
        read_memory(pid, self.arena + abi::BATCH as u64, &mut bytes)?;
        Ok(batch::results(&bytes, count))
    }
}
