//! What this processor keeps for a thread beside its general registers.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// XCR0, and the bytes that XSAVE needs for all of its components in the standard form: the length of an NT_X86_XSTATE
/// block. Where the kernel does not use XSAVE, what FXSAVE has.
pub fn extended_state() -> (u64, usize) {
    /// CPUID 1, ECX: the kernel has set CR4.OSXSAVE.
    const OSXSAVE: u32 = 1 << 27;
    /// CPUID: extended state.
    const STATE: u32 = 0xd;
    if __cpuid(0).eax < STATE || __cpuid(1).ecx & OSXSAVE == 0 {
        return (3, 512);
    }
    (xcr0(), __cpuid_count(STATE, 0).ebx as usize)
}

/// Whether the kernel and this processor have protection keys (pkeys(7)).
pub fn has_protection_keys() -> bool {
    /// Component of the extended state.
    const PKRU: u32 = 9;
    extended_state().0 >> PKRU & 1 == 1
}

fn xcr0() -> u64 {
    #[target_feature(enable = "xsave")]
    fn read() -> u64 {
        // SAFETY: register 0 exists wherever XGETBV does.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: the caller has seen OSXSAVE, with which XGETBV exists.
    unsafe { read() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_state_is_always_there() {
        let (features, len) = extended_state();
        assert_eq!(features & 3, 3, "x87 and SSE");
        assert!(len >= 512 && (features & 4 == 0 || len >= 832), "{len} bytes for {features:#x}");
    }
}
