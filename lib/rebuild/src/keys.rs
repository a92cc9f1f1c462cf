//! Protection keys (pkeys(7)).
//!
//! A stub allocates them all before anything is mapped, and frees those that its process had not when all have their keys: memory
//! keeps a key that was freed. Memory that can only be executed gets a key from the kernel, the lowest that is free; where the
//! process has such a key, it is the only one that is.

use crate::script::Script;
use floe_parasite::Arg;
use floe_records::{Mm, PROTECTION_KEYS, Pid, Tree, Vma};

/// PROT_EXEC alone.
const EXECUTE: u8 = 4;

/// The keys of a process, where it has any.
pub(crate) struct Keys {
    has: bool,
    allocated: u16,
    /// What the kernel has given to memory that can only be executed.
    execute: Option<u8>,
}

impl Keys {
    /// Those in the records.
    pub fn of(tree: &Tree, pid: Pid) -> Self {
        let allocated = tree.get::<Mm>(pid).map_or(0, |mm| mm.keys);
        let of_kernel =
            |vma: &&Vma| vma.key != 0 && vma.prot == EXECUTE && allocated >> vma.key & 1 == 0;
        let execute = tree.vmas(pid).find(of_kernel).map(|vma| vma.key);
        let has = allocated != 0 || tree.vmas(pid).any(|vma| vma.key != 0);
        Self { has, allocated, execute }
    }

    /// All of them, but for the one that the kernel is to find.
    pub fn allocate(&self, b: &mut Script<'_>) {
        if self.has {
            for _ in PROTECTION_KEYS {
                b.call(libc::SYS_pkey_alloc, [Arg::Val(0), Arg::Val(0)]);
            }
            self.execute.into_iter().for_each(|key| free(key, b));
        }
    }

    /// Whether the key of a mapping has to be set; otherwise mprotect(2) does what there is to do.
    pub fn sets(&self, vma: &Vma) -> bool {
        vma.key != 0 && !(vma.prot == EXECUTE && self.execute == Some(vma.key))
    }

    /// Those that the process has not.
    pub fn free(&self, b: &mut Script<'_>) {
        let has = |key: &u8| self.allocated >> key & 1 == 1 || self.execute == Some(*key);
        let others = PROTECTION_KEYS.filter(|key| !has(key));
        if self.has {
            others.for_each(|key| free(key, b));
        }
    }
}

fn free(key: u8, b: &mut Script<'_>) {
    b.call(libc::SYS_pkey_free, [Arg::Val(key.into())]);
}
