//! Where in a process the payload and its arena are, and how a batch goes through the arena.

use crate::{
    Batch, Replies, abi,
    split::{self, Piece, Value},
};
use floe_sys::{Result, read_memory, write_memory};
use floe_tracee::Regs;
use zerocopy::IntoBytes;

include!(concat!(env!("OUT_DIR"), "/payload.rs"));
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payload.bin"));

/// Bytes for the entries and data of a piece.
const ROOM: usize = abi::BATCH_END - abi::ENTRIES;

/// Where in a process the payload and its arena are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLayout {
    /// Address of the payload, page aligned.
    pub image: u64,
    /// Address of the arena, page aligned and writable.
    pub arena: u64,
}

impl PayloadLayout {
    /// Bytes to be mapped for the payload.
    pub const IMAGE: usize = IMAGE.len().next_multiple_of(4096);
    /// Bytes to be mapped for the arena.
    pub const ARENA: usize = abi::STACK_TOP;
    /// Both, the arena first: lengths and protections.
    pub const MAPPINGS: [(usize, i32); 2] = [
        (Self::ARENA, libc::PROT_READ | libc::PROT_WRITE),
        // Executable from the start and never writable: some processes may not change that later.
        (Self::IMAGE, libc::PROT_READ | libc::PROT_EXEC),
    ];
    /// Bytes of data that a single call may use.
    pub const CAPACITY: usize = ROOM - abi::ENTRY;

    /// [`PayloadLayout::MAPPINGS`], mapped at `addr`.
    pub fn at(addr: u64) -> Self {
        Self { arena: addr, image: addr + Self::ARENA as u64 }
    }

    /// Writes the payload into a stopped process, where it need not be writable.
    pub fn fill(self, pid: i32) -> Result<()> {
        write_memory(pid, self.image, IMAGE)
    }

    /// The same by `write`, which is given an address and the bytes that belong there.
    pub fn fill_by(self, write: impl FnOnce(u64, &[u8]) -> Result<()>) -> Result<()> {
        write(self.image, IMAGE)
    }

    /// The registers to enter the payload with; not in a system call, no flag set that could disturb it.
    pub(crate) fn enter(self, regs: &mut Regs, mode: u64) {
        regs.set_rip(self.image + ENTRY_POINT).set_rdi(self.arena).set_rsi(mode);
        regs.set_rsp(self.arena + abi::STACK_TOP as u64);
        regs.set_orig_rax(u64::MAX).set_rax(0).set_eflags(0x202);
    }

    /// Runs a batch; `go` lets the payload run what is in the arena.
    pub(crate) fn run(
        self,
        pid: i32,
        batch: &Batch,
        go: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Replies> {
        let fits = |calls: usize, bytes: usize| {
            let entries = calls.checked_mul(abi::ENTRY);
            entries.and_then(|e| e.checked_add(bytes)).is_some_and(|all| all <= ROOM)
        };
        split::run(pid, batch, fits, |piece, known, data| self.piece(pid, piece, known, data, go))
    }

    /// Entries first, then the data: one write for both, one read.
    fn piece(
        self,
        pid: i32,
        piece: &Piece<'_>,
        known: &[i64],
        data: &mut [u8],
        go: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<i64>> {
        let at = self.arena + abi::BATCH as u64;
        let entries = abi::ENTRIES - abi::BATCH + piece.count() * abi::ENTRY;
        let base = at + entries as u64;
        let mut bytes = Vec::with_capacity(entries + piece.data_len());
        bytes.extend_from_slice([piece.count() as u64, 0].as_bytes());
        for call in piece.calls(base, known) {
            bytes.extend_from_slice(entry(&call).as_bytes());
        }
        bytes.extend_from_slice(&piece.load(data, base));
        write_memory(pid, at, &bytes)?;
        go()?;
        read_memory(pid, at, &mut bytes)?;
        piece.store(&bytes[entries..], data);
        Ok(results(&bytes, piece.count()))
    }
}

// Slots keep their alignment behind the entries.
const _: () = assert!(abi::ENTRIES.is_multiple_of(16) && abi::ENTRY.is_multiple_of(16));

/// A call as it stands in the arena.
fn entry((nr, must, args): &(i64, bool, [Value; 6])) -> [u64; abi::ENTRY_WORDS] {
    let mut words = [0; abi::ENTRY_WORDS];
    words[0] = *nr as u64;
    words[abi::ENTRY_MUST] = u64::from(*must);
    for (i, arg) in args.iter().enumerate() {
        words[abi::ENTRY_ARGS + i] = match *arg {
            Value::Known(value) => value,
            Value::Result(n) => {
                words[abi::ENTRY_KINDS] |= 1 << (8 * i);
                n as u64
            }
        };
    }
    words
}

/// The results of the calls that ran, from what the arena holds at BATCH after a batch of `count` calls.
fn results(bytes: &[u8], count: usize) -> Vec<i64> {
    let words = bytes.as_chunks::<8>().0;
    let word = |i: usize| u64::from_ne_bytes(words[i]);
    let done = (word(1) as usize).min(count);
    (0..done).map(|i| word(2 + i * abi::ENTRY_WORDS + abi::ENTRY_RESULT) as i64).collect()
}
