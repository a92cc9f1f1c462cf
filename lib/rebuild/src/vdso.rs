//! The vdso of another kernel. Programs know where its functions are, and its code knows how that kernel kept time, which this one
//! does not do. So the tree gets a copy of it whose functions do nothing but jump to those of the same names in the vdso of this
//! kernel, which goes to a place that is free in all processes.

use floe_records::{Thread, Tree, Vdso, VmaKind};
use floe_sys::{Error, Result};

/// Bytes from the end of the hole to this kernel's own vdso: nothing is that near to the hole.
pub(crate) const BEHIND_HOLE: u64 = 0x1_0000;

/// `jmp *0(%rip)`, with its target behind it.
const JUMP: [u8; 6] = [0xff, 0x25, 0, 0, 0, 0];
const JUMP_LEN: usize = JUMP.len() + 8;

/// Functions of a vdso, and the system calls of the same arguments (arch/x86/entry/vdso/vdso.lds.S). The state that a program has made
/// for getrandom is one that this kernel may keep in another form: the system call needs none.
const CALLS: [(&str, i64); 6] = [
    ("clock_gettime", libc::SYS_clock_gettime),
    ("gettimeofday", libc::SYS_gettimeofday),
    ("time", libc::SYS_time),
    ("getcpu", libc::SYS_getcpu),
    ("clock_getres", libc::SYS_clock_getres),
    ("getrandom", libc::SYS_getrandom),
];

/// The copy, for a vdso of this kernel with the bytes `ours` at the address `at`.
pub(crate) fn stand_in(was: &Vdso, ours: &[u8], at: u64) -> Result<Vec<u8>> {
    let doing = "take the place of the vdso of another kernel";
    let unreadable = || Error::because(doing, "it is no ELF file with symbols");
    let mut code = was.code.0.clone();
    let ours = floe_elf::functions(ours).ok_or_else(unreadable)?;
    for function in floe_elf::functions(&was.code.0).ok_or_else(unreadable)? {
        let plain = function.name.trim_start_matches("__vdso_");
        let call = CALLS.iter().find(|(name, _)| *name == plain).map(|(_, number)| *number);
        let target = ours.iter().find(|it| it.name == function.name).map(|it| at + it.at);
        let patch = match (plain, target, call) {
            (name, Some(target), _) if name != "getrandom" => {
                [&JUMP[..], &target.to_ne_bytes()].concat()
            }
            (_, _, Some(number)) => system_call(number),
            // ud2: nobody has got here, since it needs a device that would have been refused.
            _ => vec![0x0f, 0x0b],
        };
        let start = function.at as usize;
        let room = (function.size as usize).min(code.len().saturating_sub(start));
        if room < patch.len() {
            let problem = format!("its function {} is too short", function.name);
            return Err(Error::because(doing, problem));
        }
        code[start..start + patch.len()].copy_from_slice(&patch);
    }
    Ok(code)
}

const _: () = assert!(JUMP_LEN == 14);

/// `mov $NUMBER, %eax; syscall; ret`: arguments are where a function has them, but for the fourth, which none of these has.
fn system_call(number: i64) -> Vec<u8> {
    [&[0xb8][..], &(number as u32).to_ne_bytes(), &[0x0f, 0x05, 0xc3]].concat()
}

/// A thread of the tree that stands in its vdso, which is not to be there any more.
pub fn thread_in_vdso(tree: &Tree) -> Option<&Thread> {
    /// Byte of `rip` in `struct user_regs_struct`.
    const RIP: usize = 128;
    tree.all::<Thread>().iter().find(|thread| {
        let rip = thread.regs.0.get(RIP..RIP + 8).and_then(|bytes| bytes.try_into().ok());
        let rip = rip.map_or(0, u64::from_ne_bytes);
        let mut vdso = tree.vmas(thread.pid).filter(|vma| vma.kind == VmaKind::Vdso);
        vdso.any(|vma| (vma.start.0..vma.end.0).contains(&rip))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::own_vdso;

    #[test]
    fn functions_lead_to_those_of_this_kernel() {
        let Some(own) = own_vdso().unwrap() else { return };
        let at = 0x1234_0000_0000;
        let copy = stand_in(&own, &own.code.0, at).unwrap();
        let all = floe_elf::functions(&own.code.0).unwrap();
        assert!(all.iter().any(|it| it.name == "__vdso_clock_gettime"), "{all:?}");
        for it in all.iter().filter(|it| it.name.ends_with("gettime")) {
            let start = it.at as usize;
            assert_eq!(copy[start..start + 6], JUMP, "{}", it.name);
            assert_eq!(copy[start + 6..start + 14], (at + it.at).to_ne_bytes(), "{}", it.name);
        }
        let damaged = Vdso { code: vec![0; 4096].into(), ..own.clone() };
        assert!(stand_in(&damaged, &own.code.0, at).is_err());
    }

    #[test]
    fn system_calls_are_whole() {
        assert_eq!(system_call(228), [0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0xc3]);
    }
}
