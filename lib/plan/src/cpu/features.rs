//! Features of processors by their bits in CPUID, named as /proc/cpuinfo names them
//! (arch/x86/include/asm/cpufeatures.h; Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E).

use floe_records::CpuidWord;

/// What is known of a register.
struct Register {
    leaf: (u32, u32),
    register: u8,
    /// What programs can use.
    used: &'static [(u8, &'static str)],
    /// What only the kernel uses or sees, what is a hint, and what is told in another register as well.
    unused: u32,
}

const ECX: u8 = 2;
const EDX: u8 = 3;

const fn bits(all: &[u8]) -> u32 {
    let (mut mask, mut at) = (0, 0);
    while at < all.len() {
        mask |= 1 << all[at];
        at += 1;
    }
    mask
}

#[rustfmt::skip]
const KNOWN: [Register; 11] = [
    Register {
        leaf: (1, 0), register: ECX,
        used: &[(0, "pni"), (1, "pclmulqdq"), (9, "ssse3"), (12, "fma"), (13, "cx16"), (19, "sse4_1"), (20, "sse4_2"),
            (22, "movbe"), (23, "popcnt"), (25, "aes"), (26, "xsave"), (28, "avx"), (29, "f16c"), (30, "rdrand")],
        // dtes64, monitor, ds_cpl, vmx, smx, est, tm2, cnxt_id, sdbg, xtpr, pdcm, pcid, dca, x2apic, tsc_deadline_timer,
        // osxsave (seen by way of the state), hypervisor.
        unused: bits(&[2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 16, 17, 18, 21, 24, 27, 31]),
    },
    Register {
        leaf: (1, 0), register: EDX,
        used: &[(0, "fpu"), (4, "tsc"), (8, "cx8"), (15, "cmov"), (19, "clflush"), (23, "mmx"), (24, "fxsr"), (25, "sse"),
            (26, "sse2")],
        // vme, de, pse, msr, pae, mce, apic, sep (32-bit), mtrr, pge, mca, pat, pse36, pn, dts, acpi, ss, ht, tm, ia64, pbe.
        unused: bits(&[1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 21, 22, 27, 28, 29, 30, 31]),
    },
    Register {
        leaf: (7, 0), register: 1,
        used: &[(0, "fsgsbase"), (3, "bmi1"), (5, "avx2"), (8, "bmi2"), (11, "rtm"), (16, "avx512f"), (17, "avx512dq"),
            (18, "rdseed"), (19, "adx"), (21, "avx512ifma"), (23, "clflushopt"), (24, "clwb"), (26, "avx512pf"),
            (27, "avx512er"), (28, "avx512cd"), (29, "sha_ni"), (30, "avx512bw"), (31, "avx512vl")],
        // tsc_adjust, sgx (its memory is a device, which is refused), hle, fdp_excptn_only, smep, erms, invpcid, cqm, zero_fcs_fds,
        // mpx, rdt_a, smap, pcommit, intel_pt.
        unused: bits(&[1, 2, 4, 6, 7, 9, 10, 12, 13, 14, 15, 20, 22, 25]),
    },
    Register {
        leaf: (7, 0), register: ECX,
        used: &[(1, "avx512vbmi"), (5, "waitpkg"), (6, "avx512_vbmi2"), (8, "gfni"), (9, "vaes"), (10, "vpclmulqdq"),
            (11, "avx512_vnni"), (12, "avx512_bitalg"), (14, "avx512_vpopcntdq"), (22, "rdpid"), (23, "key_locker"),
            (27, "movdiri"), (28, "movdir64b"), (29, "enqcmd")],
        // prefetchwt1, umip, pku and ospke (matter where keys are used), user_shstk (refused where it is), tme, la57, mawau,
        // bus_lock_detect, cldemote, sgx_lc, pks.
        unused: bits(&[0, 2, 3, 4, 7, 13, 15, 16, 17, 18, 19, 20, 21, 24, 25, 26, 30, 31]),
    },
    Register {
        leaf: (7, 0), register: EDX,
        used: &[(2, "avx512_4vnniw"), (3, "avx512_4fmaps"), (5, "uintr"), (8, "avx512_vp2intersect"), (14, "serialize"),
            (16, "tsxldtrk"), (22, "amx_bf16"), (23, "avx512_fp16"), (24, "amx_tile"), (25, "amx_int8")],
        // sgx_keys, fsrm, srbds_ctrl, md_clear, rtm_always_abort, rtm_force_abort, hybrid, pconfig, arch_lbr, ibt, spec_ctrl and
        // other ways to keep speculation in bounds, capabilities for the kernel.
        unused: bits(&[0, 1, 4, 6, 7, 9, 10, 11, 12, 13, 15, 17, 18, 19, 20, 21, 26, 27, 28, 29, 30, 31]),
    },
    Register {
        leaf: (7, 1), register: 0,
        used: &[(0, "sha512"), (1, "sm3"), (2, "sm4"), (3, "rao_int"), (4, "avx_vnni"), (5, "avx512_bf16"), (7, "cmpccxadd"),
            (21, "amx_fp16"), (23, "avx_ifma"), (31, "movrs")],
        // lass, arch_perfmon_ext, fast short string operations, fred, lkgs, wrmsrns, nmi_src, hreset, invd_disable, lam, msrlist.
        unused: bits(&[6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 25, 26, 27, 28, 29, 30]),
    },
    Register {
        leaf: (7, 1), register: EDX,
        used: &[(4, "avx_vnni_int8"), (5, "avx_ne_convert"), (8, "amx_complex"), (10, "avx_vnni_int16"), (15, "user_msr"),
            (19, "avx10"), (21, "apx_f")],
        // utmr, prefetchi, uiret_uif, cet_sss.
        unused: bits(&[13, 14, 17, 18]),
    },
    Register {
        leaf: (7, 2), register: EDX,
        used: &[],
        // Ways to keep speculation in bounds, for the kernel.
        unused: u32::MAX,
    },
    Register {
        leaf: (13, 1), register: 0,
        used: &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1")],
        // xsaves, xfd and what else the kernel has for itself.
        unused: !bits(&[0, 1, 2]),
    },
    Register {
        leaf: (0x8000_0001, 0), register: ECX,
        used: &[(0, "lahf_lm"), (5, "abm"), (6, "sse4a"), (7, "misalignsse"), (11, "xop"), (15, "lwp"), (16, "fma4"),
            (21, "tbm"), (29, "mwaitx")],
        // cmp_legacy, svm, extapic, cr8_legacy, 3dnowprefetch, osvw, ibs, skinit, wdt, tce, nodeid_msr, topoext, counters, bpext, ptsc.
        unused: bits(&[1, 2, 3, 4, 8, 9, 10, 12, 13, 14, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 30, 31]),
    },
    Register {
        leaf: (0x8000_0001, 0), register: EDX,
        used: &[(11, "syscall"), (22, "mmxext"), (27, "rdtscp"), (29, "lm"), (30, "3dnowext"), (31, "3dnow")],
        // mp, nx, fxsr_opt, pdpe1gb, and what leaf 1 tells as well.
        unused: !bits(&[11, 22, 27, 29, 30, 31]),
    },
];

/// What AMD tells in EBX of leaf 0x80000008; the rest are ways to keep speculation in bounds.
const AMD: [(u8, &str); 3] = [(0, "clzero"), (4, "rdpru"), (8, "mcommit")];

/// Names of those of `bits` in a register that programs can use. One that nobody knows here is one of them.
pub(super) fn used(word: &CpuidWord, bits: u32) -> Vec<String> {
    let (leaf, sub) = word.leaf;
    if word.leaf == (0x8000_0008, 0) {
        let some = AMD.iter().filter(|(bit, _)| bits >> bit & 1 == 1);
        return some.map(|(_, name)| (*name).to_owned()).collect();
    }
    let known = KNOWN.iter().find(|it| (it.leaf, it.register) == (word.leaf, word.register));
    let left = bits & !known.map_or(0, |it| it.unused);
    let name = |bit: u8| {
        let known = known.and_then(|it| it.used.iter().find(|(number, _)| *number == bit));
        known.map(|(_, name)| (*name).to_owned()).unwrap_or_else(|| {
            let register = ["EAX", "EBX", "ECX", "EDX"][usize::from(word.register.min(3))];
            format!("bit {bit} of {register} of CPUID leaf {leaf:#x}.{sub}")
        })
    };
    (0..32).filter(|bit| left >> bit & 1 == 1).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_is_known_twice() {
        for it in &KNOWN {
            let used = it.used.iter().fold(0u32, |all, (bit, _)| {
                assert_eq!(all >> bit & 1, 0, "{:?} {bit}", it.leaf);
                all | 1 << bit
            });
            assert_eq!(used & it.unused, 0, "{:?} {}", it.leaf, it.register);
        }
    }

    #[test]
    fn what_programs_use_has_a_name() {
        let word = |leaf, register| CpuidWord { leaf, register, bits: 0 };
        assert_eq!(used(&word((7, 0), 1), 1 << 16 | 1 << 7), ["avx512f"]);
        assert_eq!(used(&word((7, 0), ECX), 3 << 3), [""; 0]);
        assert_eq!(used(&word((7, 1), 2), 1 << 3), ["bit 3 of ECX of CPUID leaf 0x7.1"]);
        assert_eq!(used(&word((0x8000_0008, 0), 1), 1 | 1 << 12), ["clzero"]);
    }
}
