//! A batch of system calls as data.

use crate::names::call_name;
use floe_sys::{Error, Result};
use std::{collections::BTreeMap, io};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A range of the data of a batch. It is in the target's memory while a call that uses it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

impl Slot {
    /// Its length.
    pub fn len(self) -> usize {
        self.len
    }

    /// True when it has no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A system call of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(pub(crate) usize);

/// An argument of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// A number.
    Val(u64),
    /// The address, in the target, of a byte of a slot.
    Slot(Slot, u64),
    /// What an earlier call returned.
    Result(Call),
}

impl From<Slot> for Arg {
    fn from(slot: Slot) -> Self {
        Arg::Slot(slot, 0)
    }
}

impl From<Call> for Arg {
    fn from(call: Call) -> Self {
        Arg::Result(call)
    }
}

impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Arg::Val(value)
    }
}

impl From<i32> for Arg {
    fn from(value: i32) -> Self {
        Arg::Val(value as i64 as u64)
    }
}

impl From<usize> for Arg {
    fn from(value: usize) -> Self {
        Arg::Val(value as u64)
    }
}

/// One call: number, arguments, and whether its failure stops the batch.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The system call's number.
    pub nr: i64,
    /// Its arguments.
    pub args: [Arg; 6],
    /// Failure stops the batch.
    pub must: bool,
}

/// Whether the raw result of a system call is an errno.
pub(crate) fn is_error(result: i64) -> bool {
    (-4095..0).contains(&result)
}

/// System calls and the data they work on.
///
/// Runners that have not enough memory for all of it run it in pieces, so a slot may lie elsewhere for the next call: the
/// kernel must not keep addresses of slots. Only the data of a single call has to fit ([`crate::Runner::capacity`]).
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) data: Vec<u8>,
    /// The slots that pointers point to, by the place of the pointer in the data.
    pub(crate) pointers: BTreeMap<usize, Slot>,
    /// What calls are made for, by the first of them.
    labels: BTreeMap<usize, String>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// True when there is no call in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes of data it has so far.
    pub fn data_len(&self) -> usize {
        self.data.len()
    }

    /// `len` zero bytes, 16-aligned.
    pub fn zeroed(&mut self, len: usize) -> Slot {
        let at = self.data.len().next_multiple_of(16);
        self.data.resize(at + len, 0);
        Slot { at, len }
    }

    /// A copy of `bytes`, 16-aligned.
    pub fn bytes(&mut self, bytes: &[u8]) -> Slot {
        let slot = self.zeroed(bytes.len());
        self.data[slot.at..].copy_from_slice(bytes);
        slot
    }

    /// A copy of a kernel structure, or of a slice of them, 16-aligned.
    pub fn struct_of<T: IntoBytes + Immutable + ?Sized>(&mut self, value: &T) -> Slot {
        self.bytes(value.as_bytes())
    }

    /// Zero bytes for a kernel structure that a call fills in, for [`Replies::read`].
    pub fn zeroed_for<T: FromBytes>(&mut self) -> Slot {
        self.zeroed(size_of::<T>())
    }

    /// Puts the address that `to` will have in the target into `slot` at `offset`.
    ///
    /// # Panics
    /// When the eight bytes are not within the slot.
    pub fn pointer(&mut self, slot: Slot, offset: usize, to: Slot) {
        assert!(offset + 8 <= slot.len, "a pointer outside of its slot");
        self.pointers.insert(slot.at + offset, to);
    }

    /// A call that must succeed: its failure stops the batch and is the error of the run.
    pub fn call<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Call {
        self.push(nr, &args, true)
    }

    /// A call that may fail.
    pub fn try_call<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Call {
        self.push(nr, &args, false)
    }

    /// Copies the process, by an injected payload alone, and waits for the helper that has made the copy.
    pub(crate) fn copy(&mut self) {
        let helper = self.push(crate::abi::COPY as i64, &[], true);
        let args = [helper.into(), Arg::Val(0), libc::__WALL.into(), Arg::Val(0)];
        self.push(libc::SYS_wait4, &args, true);
    }

    /// Says what the calls from here on are made for: `label` completes "unable to" in the error of one that fails.
    pub fn label(&mut self, label: impl Into<String>) {
        self.labels.insert(self.entries.len(), label.into());
    }

    /// The label of the calls that come next, if any has been set.
    pub fn last_label(&self) -> Option<&str> {
        self.labels.last_key_value().map(|(_, label)| label.as_str())
    }

    /// What a call is made for, and its name.
    pub(crate) fn doing(&self, call: usize) -> String {
        let name = self.entries.get(call).map_or_else(|| "nothing".to_owned(), |e| call_name(e.nr));
        match self.labels.range(..=call).next_back() {
            Some((_, label)) => format!("{label}: {name}"),
            None => format!("run {name}"),
        }
    }

    fn push(&mut self, nr: i64, given: &[Arg], must: bool) -> Call {
        assert!(given.len() <= 6, "a system call has six arguments at most");
        let mut args = [Arg::Val(0); 6];
        args[..given.len()].copy_from_slice(given);
        self.entries.push(Entry { nr, args, must });
        Call(self.entries.len() - 1)
    }
}

/// The results of a batch.
#[derive(Debug, Clone)]
pub struct Replies {
    pub(crate) pid: i32,
    /// What failed calls were made for.
    failed: BTreeMap<usize, String>,
    /// The call that a batch would have gone on with, where it ended before.
    missing: String,
    pub(crate) results: Vec<i64>,
    pub(crate) data: Vec<u8>,
}

impl Replies {
    /// The results of the calls that ran, in order; an error when a call that had to succeed did not.
    pub(crate) fn new(pid: i32, batch: &Batch, results: Vec<i64>, data: Vec<u8>) -> Result<Self> {
        let failed = results.iter().enumerate().filter(|(_, result)| is_error(**result));
        let failed = failed.map(|(call, _)| (call, batch.doing(call))).collect();
        let missing = batch.doing(results.len());
        let replies = Self { pid, failed, missing, results, data };
        for (i, entry) in batch.entries.iter().enumerate() {
            if entry.must {
                replies.value(Call(i))?;
            }
        }
        Ok(replies)
    }

    /// The value a call returned, or its errno as an error.
    pub fn value(&self, call: Call) -> Result<u64> {
        let error = match self.results.get(call.0) {
            Some(&value) if is_error(value) => {
                let doing = self.failed.get(&call.0).cloned().unwrap_or_default();
                Error::new(doing, io::Error::from_raw_os_error(-value as i32))
            }
            Some(&value) => return Ok(value as u64),
            None => Error::because(self.missing.as_str(), "the batch ended before it"),
        };
        Err(error.pid(self.pid as u32))
    }

    /// The errno of a call that failed.
    pub fn errno(&self, call: Call) -> Option<i32> {
        let value = *self.results.get(call.0)?;
        is_error(value).then_some(-value as i32)
    }

    /// The bytes of a slot after the run.
    pub fn bytes(&self, slot: Slot) -> &[u8] {
        &self.data[slot.at..slot.at + slot.len]
    }

    /// The kernel structure in a slot after the run.
    ///
    /// # Panics
    /// When the slot has another size.
    pub fn read<T: FromBytes>(&self, slot: Slot) -> T {
        match T::read_from_bytes(self.bytes(slot)) {
            Ok(value) => value,
            Err(_) => panic!("a slot of {} bytes read as {}", slot.len, size_of::<T>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_says_what_it_was_for() {
        let mut b = Batch::new();
        b.call(libc::SYS_umask, [Arg::Val(0)]);
        b.label("set the credentials of thread 12");
        b.call(libc::SYS_setgroups, [Arg::Val(0)]);
        let failed = b.call(libc::SYS_capset, [Arg::Val(0)]);
        b.label("start timers");
        let tried = b.try_call(libc::SYS_timer_create, [Arg::Val(0)]);
        let run = |results: &[i64]| Replies::new(12, &b, results.to_vec(), Vec::new());
        let eperm = -i64::from(libc::EPERM);
        let told =
            "pid 12: unable to set the credentials of thread 12: capset: Operation not permitted";
        assert!(run(&[0, 0, eperm]).unwrap_err().to_string().starts_with(told));
        assert!(run(&[eperm]).unwrap_err().to_string().contains("unable to run umask:"));
        let short = run(&[0, 0]).unwrap_err().to_string();
        assert!(short.contains("capset: the batch ended before it"), "{short}");
        let replies = run(&[0, 0, 7, eperm]).unwrap();
        assert_eq!((replies.value(failed).unwrap(), replies.errno(tried)), (7, Some(libc::EPERM)));
        assert!(
            replies.value(tried).unwrap_err().to_string().contains("start timers: timer_create")
        );
    }
}
