//! Pages of hugetlbfs (Documentation/admin-guide/mm/hugetlbpage.rst of the kernel).

use crate::ensure;
use serde::{Deserialize, Serialize};

/// That a mapping or file is of such pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HugePages {
    /// Bytes of a page: a power of two, larger than an ordinary page.
    pub size: u64,
    /// How many of them it had when it was captured. Others may be reserved for it.
    pub present: u64,
}

impl HugePages {
    /// What mmap(2), memfd_create(2) and shmget(2) want among their flags for pages of this size.
    pub fn flags(self) -> u32 {
        self.size.trailing_zeros() << 26
    }

    /// Pages that it takes to hold this many bytes.
    pub fn count(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.size)
    }

    pub(crate) fn check(self) -> Result<(), String> {
        // The shift has six bits, and a mapping ends within user space.
        let sane = self.size.is_power_of_two() && (1 << 13..1 << 47).contains(&self.size);
        ensure(sane && self.present <= 1 << 35, "its huge pages have an impossible size")
    }
}
