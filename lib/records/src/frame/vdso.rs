//! The code that the kernel gives to every process (vdso(7)).

use crate::{Bytes, Resource, ensure};
use serde::{Deserialize, Serialize};

/// The vdso of the kernel that the tree ran on. Processes have it at addresses of their own; [`Mm`](crate::Mm) says who has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vdso {
    /// XXH3-64 of it.
    pub hash: u64,
    /// All of its pages: an ELF file.
    pub code: Bytes,
}

impl Resource for Vdso {
    type Key = ();
    fn key(&self) {}

    fn check(&self) -> Result<(), String> {
        let whole = self.code.0.len().is_multiple_of(4096);
        ensure(whole && self.code.0.len() <= 1 << 16, "it has an impossible length")
    }
}
