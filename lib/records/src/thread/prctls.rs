//! Settings of prctl(2) and arch_prctl(2) that have a getter, by one table: another one is another row.

use crate::{Pid, Resource, Tid, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Settings of a thread that are not as those of a fresh process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prctls {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// Each once.
    pub values: Vec<PrctlValue>,
}

/// The value of one of [`PRCTLS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrctlValue {
    /// The option that asks for it.
    pub option: u32,
    /// Its second argument.
    pub which: u32,
    /// What it says.
    pub value: u32,
}

/// A setting: how it is asked for, and how it is set.
#[derive(Clone, Copy, Debug)]
pub struct PrctlRow {
    /// The option that asks for it.
    pub option: u32,
    /// Its second argument.
    pub which: u32,
    /// Of which call it is an option.
    pub call: PrctlCall,
    /// Whose it is.
    pub of: PrctlOwner,
    /// The arguments that set it, in front of the value.
    pub set: &'static [u32],
    /// The bit of the answer that says that it can be set, 0 where there is none. It is no part of the value.
    pub settable: u32,
    /// The value that a fresh process has.
    pub usual: u32,
}

/// The call that asks for a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrctlCall {
    /// prctl(2), which gives the value as its result.
    Result,
    /// prctl(2), which writes the value to memory.
    Memory,
    /// arch_prctl(2), which gives it as its result.
    Arch,
}

/// Whose a setting is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrctlOwner {
    /// The address space; the record of the leader has it.
    Memory,
    /// Each thread.
    Thread,
}

const fn row(option: u32, set: &'static [u32], of: PrctlOwner, usual: u32) -> PrctlRow {
    PrctlRow { option, which: 0, call: PrctlCall::Result, of, set, settable: 0, usual }
}

/// PR_GET_SPECULATION_CTRL: 1 (PR_SPEC_PRCTL) says that it can be set, 2 is PR_SPEC_ENABLE, 4 PR_SPEC_DISABLE.
const fn speculation(which: u32, set: &'static [u32], usual: u32) -> PrctlRow {
    PrctlRow { which, settable: 1, ..row(52, set, PrctlOwner::Thread, usual) }
}

/// All that are carried, in the order in which they are set.
pub const PRCTLS: &[PrctlRow] = &[
    // PR_MCE_KILL_GET: PR_MCE_KILL_DEFAULT. PR_MCE_KILL, PR_MCE_KILL_SET.
    row(34, &[33, 1], PrctlOwner::Thread, 2),
    // PR_GET_IO_FLUSHER, which needs CAP_SYS_RESOURCE.
    row(58, &[57], PrctlOwner::Thread, 0),
    // PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_L1D_FLUSH.
    speculation(0, &[53, 0], 2),
    speculation(1, &[53, 1], 2),
    speculation(2, &[53, 2], 4),
    // PR_GET_TSC: PR_TSC_ENABLE.
    PrctlRow { call: PrctlCall::Memory, ..row(25, &[26], PrctlOwner::Thread, 1) },
    // ARCH_GET_CPUID: the instruction does not fault.
    PrctlRow { call: PrctlCall::Arch, ..row(0x1011, &[0x1012], PrctlOwner::Thread, 1) },
    // PR_GET_MEMORY_MERGE.
    row(68, &[67], PrctlOwner::Memory, 0),
    // PR_GET_MDWE: from here on no mapping becomes executable.
    row(66, &[65], PrctlOwner::Memory, 0),
];

impl PrctlRow {
    /// The value in an answer; `None` for one that cannot be set.
    pub fn value(&self, answer: u64) -> Option<u32> {
        let answer = answer as u32;
        (answer & self.settable == self.settable).then_some(answer & !self.settable)
    }

    /// Whether a thread is the one that it is asked of.
    pub fn concerns(&self, pid: Pid, tid: Tid) -> bool {
        self.of == PrctlOwner::Thread || pid.0 == tid.0
    }
}

impl Prctls {
    /// The value of a setting.
    pub fn value(&self, row: &PrctlRow) -> u32 {
        let mut values = self.values.iter();
        let found = values.find(|value| (value.option, value.which) == (row.option, row.which));
        found.map_or(row.usual, |found| found.value)
    }
}

impl Resource for Prctls {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for value in &self.values {
            let key = (value.option, value.which);
            let known = PRCTLS
                .iter()
                .any(|row| (row.option, row.which) == key && row.concerns(self.pid, self.tid));
            ensure(known && seen.insert(key), "it has an unknown setting, or one of them twice")?;
        }
        Ok(())
    }
}
