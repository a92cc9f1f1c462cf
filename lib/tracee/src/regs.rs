//! The general registers of an x86-64 thread.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct user_regs_struct`, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct Regs(pub(crate) [u64; 27]);

macro_rules! fields {
    ($($get:ident $set:ident $at:literal),*) => {
        impl Regs {
            $(
                #[doc = concat!("The register `", stringify!($get), "`.")]
                pub fn $get(&self) -> u64 { self.0[$at] }
                #[doc = concat!("Sets the register `", stringify!($get), "`.")]
                pub fn $set(&mut self, value: u64) -> &mut Self { self.0[$at] = value; self }
            )*
        }
    };
}

fields!(
    r15 set_r15 0, r14 set_r14 1, r13 set_r13 2, r12 set_r12 3, rbp set_rbp 4, rbx set_rbx 5,
    r11 set_r11 6, r10 set_r10 7, r9 set_r9 8, r8 set_r8 9, rax set_rax 10, rcx set_rcx 11,
    rdx set_rdx 12, rsi set_rsi 13, rdi set_rdi 14, orig_rax set_orig_rax 15, rip set_rip 16,
    cs set_cs 17, eflags set_eflags 18, rsp set_rsp 19, ss set_ss 20,
    fs_base set_fs_base 21, gs_base set_gs_base 22
);

impl Regs {
    /// From the bytes of a record.
    pub fn from_bytes(bytes: &[u8; 216]) -> Self {
        zerocopy::transmute!(*bytes)
    }

    /// The bytes of a record.
    pub fn to_bytes(&self) -> [u8; 216] {
        zerocopy::transmute!(*self)
    }

    /// The arguments of a system call.
    pub fn args(&self) -> [u64; 6] {
        [self.rdi(), self.rsi(), self.rdx(), self.r10(), self.r8(), self.r9()]
    }

    /// Sets the arguments of a system call.
    pub fn set_args(&mut self, a: [u64; 6]) -> &mut Self {
        self.set_rdi(a[0]).set_rsi(a[1]).set_rdx(a[2]).set_r10(a[3]).set_r8(a[4]).set_r9(a[5])
    }

    /// True for code in 64-bit mode; a 32-bit (compat) thread is none.
    pub fn is_64bit(&self) -> bool {
        self.cs() == 0x33
    }
}
