//! What this processor keeps for a thread beside its general registers.

use std::{
    arch::x86_64::{__cpuid, __cpuid_count, _xgetbv},
    sync::OnceLock,
};

/// CPUID: extended state.
const STATE: u32 = 0xd;

/// XCR0, and the bytes that XSAVE needs for all of its components in the standard form: the length of an NT_X86_XSTATE
/// block. Where the kernel does not use XSAVE, what FXSAVE has.
pub fn extended_state() -> (u64, usize) {
    /// CPUID 1, ECX: the kernel has set CR4.OSXSAVE.
    const OSXSAVE: u32 = 1 << 27;
    // A virtual machine leaves this instruction to its host, which takes as long as ten system calls.
    static FOUND: OnceLock<(u64, usize)> = OnceLock::new();
    *FOUND.get_or_init(|| {
        if __cpuid(0).eax < STATE || __cpuid(1).ecx & OSXSAVE == 0 {
            return (3, 512);
        }
        (xcr0(), __cpuid_count(STATE, 0).ebx as usize)
    })
}

/// Where the components of the extended state are that XCR0 names, in a block of the standard form: number, offset and size in
/// bytes. The first two, x87 and SSE, have fixed places.
pub fn state_layout() -> Vec<(u8, u32, u32)> {
    let (features, _) = extended_state();
    let components = (2..63u8).filter(|number| features >> number & 1 == 1);
    let layout = components.map(|number| {
        let about = __cpuid_count(STATE, number.into());
        (number, about.ebx, about.eax)
    });
    layout.collect()
}

/// Registers that CPUID fills with features: leaf and subleaf, the register (0 to 3 for EAX, EBX, ECX, EDX), and its bits.
/// Ascending.
pub fn features() -> Vec<((u32, u32), u8, u32)> {
    /// Leaves that have features in every register that is named here.
    const LEAVES: [((u32, u32), &[u8]); 7] = [
        ((1, 0), &[2, 3]),
        ((7, 0), &[1, 2, 3]),
        ((7, 1), &[0, 1, 2, 3]),
        ((7, 2), &[3]),
        ((STATE, 1), &[0]),
        ((0x8000_0001, 0), &[2, 3]),
        ((0x8000_0008, 0), &[1]),
    ];
    let mut all = Vec::new();
    for ((leaf, sub), registers) in LEAVES {
        let last_leaf = __cpuid(leaf & 0x8000_0000).eax;
        let has_sub = leaf != 7 || sub == 0 || sub <= __cpuid_count(7, 0).eax;
        let there = leaf <= last_leaf && has_sub;
        let about = __cpuid_count(leaf, sub);
        let bits = [about.eax, about.ebx, about.ecx, about.edx];
        let bits = |register: u8| if there { bits[usize::from(register)] } else { 0 };
        all.extend(registers.iter().map(|register| ((leaf, sub), *register, bits(*register))));
    }
    all
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
    fn the_layout_is_what_the_length_says() {
        let (features, len) = extended_state();
        let layout = state_layout();
        let end = layout.iter().map(|(_, offset, size)| (offset + size) as usize).max();
        assert_eq!(end.unwrap_or(len), len, "{layout:?}");
        assert_eq!(layout.len() as u32, (features >> 2).count_ones());
        let sse2 =
            self::features().iter().any(|it| it.0 == (1, 0) && it.1 == 3 && it.2 >> 26 & 1 == 1);
        assert!(sse2, "every x86_64 has SSE2");
    }

    #[test]
    fn legacy_state_is_always_there() {
        let (features, len) = extended_state();
        assert_eq!(features & 3, 3, "x87 and SSE");
        assert!(len >= 512 && (features & 4 == 0 || len >= 832), "{len} bytes for {features:#x}");
    }
}
