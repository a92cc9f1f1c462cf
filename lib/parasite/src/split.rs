//! Cuts a batch into pieces that fit in the memory that a target has for them.

use crate::{
    Batch, Replies,
    batch::{Arg, Call, Slot, is_error},
};
use floe_sys::{Error, Result};
use std::{collections::BTreeMap, ops::Range};

/// Slots lie at multiples of this, also in the target.
const ALIGN: usize = 16;

/// Calls that run together, and the slots that they use, side by side.
#[derive(Debug)]
pub(crate) struct Piece<'b> {
    batch: &'b Batch,
    calls: Range<usize>,
    /// Where in the data of the piece each slot lies.
    places: BTreeMap<Slot, usize>,
    len: usize,
}

/// An argument as it is given to the target.
pub(crate) enum Value {
    /// A number or address.
    Known(u64),
    /// What the call with this number, counted within the piece, returns.
    Result(usize),
}

/// Runs a batch in as few pieces as `fits` allows: it is asked for a number of calls and of bytes of data. `run` runs one
/// piece with the results that are known so far, updates the data, and gives the results of the calls that ran.
pub(crate) fn run(
    pid: i32,
    batch: &Batch,
    fits: impl Fn(usize, usize) -> bool,
    mut run: impl FnMut(&Piece<'_>, &[i64], &mut [u8]) -> Result<Vec<i64>>,
) -> Result<Replies> {
    let mut data = batch.data.clone();
    let mut results: Vec<i64> = Vec::with_capacity(batch.entries.len());
    while results.len() < batch.entries.len() {
        let piece = Piece::cut(batch, results.len(), &fits);
        if piece.calls.is_empty() {
            let doing = batch.doing(results.len());
            let what = "its data is larger than the memory for it";
            return Err(Error::because(doing, what).pid(pid as u32));
        }
        let new = run(&piece, &results, &mut data)?;
        let complete = new.len() == piece.calls.len();
        results.extend(new);
        let stopped = results.last().is_some_and(|last| is_error(*last))
            && batch.entries[results.len() - 1].must;
        if stopped || !complete {
            break;
        }
    }
    Replies::new(pid, batch, results, data)
}

impl<'b> Piece<'b> {
    /// As many calls as fit, from call `first` on.
    fn cut(batch: &'b Batch, first: usize, fits: impl Fn(usize, usize) -> bool) -> Self {
        let mut piece = Self { batch, calls: first..first, places: BTreeMap::new(), len: 0 };
        for call in first..batch.entries.len() {
            let new = piece.missing(call);
            let len =
                new.iter().fold(piece.len, |len, slot| len.next_multiple_of(ALIGN) + slot.len);
            if !fits(call + 1 - first, len) {
                break;
            }
            for slot in new {
                let at = piece.len.next_multiple_of(ALIGN);
                piece.places.insert(slot, at);
                piece.len = at + slot.len;
            }
            piece.calls.end = call + 1;
        }
        piece
    }

    /// The slots that a call uses, and those that they point to, but for those that the piece has already.
    fn missing(&self, call: usize) -> Vec<Slot> {
        let args = self.batch.entries[call].args.iter();
        let mut open: Vec<Slot> = args
            .filter_map(|arg| if let Arg::Slot(slot, _) = arg { Some(*slot) } else { None })
            .collect();
        let mut new = Vec::new();
        while let Some(slot) = open.pop() {
            if self.places.contains_key(&slot) || new.contains(&slot) {
                continue;
            }
            new.push(slot);
            open.extend(self.batch.pointers.range(slot.at..slot.at + slot.len).map(|(_, to)| *to));
        }
        new
    }

    /// Bytes of its data.
    pub fn data_len(&self) -> usize {
        self.len
    }

    /// The number of its calls.
    pub fn count(&self) -> usize {
        self.calls.len()
    }

    /// Its calls: number, whether failure stops the batch, and arguments, when the data of the piece lies at `base` and
    /// `known` are the results of the calls before it.
    pub fn calls(&self, base: u64, known: &[i64]) -> impl Iterator<Item = (i64, bool, [Value; 6])> {
        self.batch.entries[self.calls.clone()].iter().map(move |entry| {
            let args = entry.args.map(|arg| match arg {
                Arg::Val(value) => Value::Known(value),
                Arg::Slot(slot, offset) => Value::Known(base + self.places[&slot] as u64 + offset),
                Arg::Result(Call(n)) => match known.get(n) {
                    Some(value) => Value::Known(*value as u64),
                    None => Value::Result(n - known.len()),
                },
            });
            (entry.nr, entry.must, args)
        })
    }

    /// Its data as it must stand in the target at `base`, from that of the batch.
    pub fn load(&self, data: &[u8], base: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        for (slot, &at) in &self.places {
            bytes[at..at + slot.len].copy_from_slice(&data[slot.at..slot.at + slot.len]);
            for (pointer, to) in self.batch.pointers.range(slot.at..slot.at + slot.len) {
                let at = at + pointer - slot.at;
                let address = base + self.places[to] as u64;
                bytes[at..at + 8].copy_from_slice(&address.to_ne_bytes());
            }
        }
        bytes
    }

    /// Takes its data, as the target has left it, into that of the batch.
    pub fn store(&self, bytes: &[u8], data: &mut [u8]) {
        for (slot, &at) in &self.places {
            data[slot.at..slot.at + slot.len].copy_from_slice(&bytes[at..at + slot.len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs pieces in a target whose memory lies at `BASE`: call 0 copies its second slot over its first one, call 1 adds
    /// one to its argument, call 2 returns the address in its slot.
    fn simulate(piece: &Piece<'_>, known: &[i64], data: &mut [u8]) -> Vec<i64> {
        let mut memory = piece.load(data, BASE);
        let mut results: Vec<i64> = Vec::new();
        for (nr, _, args) in piece.calls(BASE, known) {
            let args = args.map(|arg| match arg {
                Value::Known(value) => value,
                Value::Result(n) => results[n] as u64,
            });
            let at = |address: u64| (address - BASE) as usize;
            results.push(match nr {
                0 => {
                    let (to, from, len) = (at(args[0]), at(args[1]), args[2] as usize);
                    memory.copy_within(from..from + len, to);
                    0
                }
                1 => args[0] as i64 + 1,
                _ => {
                    let place = at(args[0]);
                    let address = u64::from_ne_bytes(memory[place..place + 8].try_into().unwrap());
                    i64::from(memory[at(address)])
                }
            });
        }
        piece.store(&memory, data);
        results
    }

    const BASE: u64 = 0x7000;

    fn run_with(batch: &Batch, calls: usize, bytes: usize) -> (Result<Replies>, usize) {
        let mut pieces = 0;
        let fits = |c, b| c <= calls && b <= bytes;
        let done = run(1, batch, fits, |piece, known, data| {
            assert!(piece.count() <= calls && piece.data_len() <= bytes);
            pieces += 1;
            Ok(simulate(piece, known, data))
        });
        (done, pieces)
    }

    /// A chain: each call copies the slot that the one before has filled.
    fn chain(len: usize) -> (Batch, Vec<Slot>, Vec<Call>) {
        let mut b = Batch::new();
        let mut slots = vec![b.bytes(&[7; 100])];
        let mut counts: Vec<Call> = Vec::new();
        for _ in 0..len {
            let next = b.zeroed(100);
            let from = slots[slots.len() - 1];
            b.call(0, [next.into(), from.into(), Arg::Val(100)]);
            slots.push(next);
            let before = counts.last().map_or(Arg::Val(0), |call| (*call).into());
            counts.push(b.call(1, [before]));
        }
        (b, slots, counts)
    }

    #[test]
    fn pieces_see_data_and_results_of_those_before() {
        let (batch, slots, counts) = chain(50);
        for (calls, bytes, most) in
            [(1000, 1 << 20, 1), (7, 1 << 20, 15), (1000, 1000, 8), (1, 212, 100)]
        {
            let (done, pieces) = run_with(&batch, calls, bytes);
            let done = done.unwrap();
            assert!(pieces <= most, "{pieces} pieces for {calls} calls and {bytes} bytes");
            assert!(slots.iter().all(|slot| done.bytes(*slot) == [7; 100]));
            assert_eq!(done.value(counts[49]).unwrap(), 50);
        }
    }

    #[test]
    fn pointed_data_comes_along() {
        let mut b = Batch::new();
        let targets: Vec<Slot> = (0..20u8).map(|n| b.bytes(&[n; 64])).collect();
        let calls: Vec<Call> = targets
            .iter()
            .map(|target| {
                let list = b.zeroed(16);
                b.pointer(list, 0, *target);
                b.call(2, [list.into()])
            })
            .collect();
        let (done, pieces) = run_with(&b, 1000, 256);
        let done = done.unwrap();
        assert!(pieces > 1);
        assert!(calls.iter().zip(0..).all(|(call, n)| done.value(*call).unwrap() == n));
    }

    #[test]
    fn a_call_that_does_not_fit_is_an_error() {
        let (batch, ..) = chain(1);
        let (done, pieces) = run_with(&batch, 10, 199);
        assert!(done.unwrap_err().to_string().contains("larger than the memory"));
        assert_eq!(pieces, 0);
    }

    #[test]
    fn an_empty_batch_runs_nothing() {
        let mut batch = Batch::new();
        let slot = batch.bytes(b"abc");
        let (done, pieces) = run_with(&batch, 0, 0);
        assert_eq!((done.unwrap().bytes(slot), pieces), (&b"abc"[..], 0));
    }
}
