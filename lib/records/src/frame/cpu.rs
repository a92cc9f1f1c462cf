//! What the processor tells programs of itself, and how it keeps their extended state.

use crate::{Resource, ensure};
use serde::{Deserialize, Serialize};

/// Bits of a register that CPUID fills.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuidWord {
    /// EAX and ECX that it was asked with.
    pub leaf: (u32, u32),
    /// 0 to 3 for EAX, EBX, ECX, EDX.
    pub register: u8,
    /// What it holds.
    pub bits: u32,
}

/// A component of the extended state in an XSAVE block of the standard form (CPUID leaf 13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateComponent {
    /// Its bit in XCR0: 2 to 62.
    pub number: u8,
    /// Bytes from the start of the block.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// A processor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Registers with features, ascending.
    pub words: Vec<CpuidWord>,
    /// Where the components of the state are that XCR0 names, ascending; makers of processors have different places.
    pub layout: Vec<StateComponent>,
}

impl Resource for Cpu {
    type Key = ();
    fn key(&self) {}

    fn check(&self) -> Result<(), String> {
        ensure(self.words.len() <= 256, "it has too many words of features")?;
        ensure(
            self.words.is_sorted_by_key(|word| (word.leaf, word.register)),
            "they are mixed up",
        )?;
        ensure(self.words.iter().all(|word| word.register < 4), "a register in it is none")?;
        let sane = |it: &StateComponent| {
            (2..63).contains(&it.number) && it.offset <= 1 << 20 && it.size <= 1 << 20
        };
        ensure(self.layout.iter().all(sane), "a state component in it is none")?;
        let ascending = self.layout.is_sorted_by(|a, b| a.number < b.number);
        ensure(ascending, "its state components are mixed up")
    }
}
