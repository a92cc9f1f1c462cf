//! The payload: runs the batch of system calls that is in the arena and stops for the tracer, in a stub at a breakpoint,
//! in a borrowed thread by a signal that the process ignores. If there is no tracer any more, it leaves a borrowed
//! thread by the return path.
//!
//! No code here may panic: the panic handler does not link.
#![no_std]
#![no_main]

#[path = "../../src/abi.rs"]
mod abi;

use abi::*;
use core::arch::{asm, global_asm};

const GETTID: u64 = 186;
const TKILL: u64 = 200;
const CLONE_VM: u64 = 0x100;
const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;

// Entered with the arena in rdi, STUB or INJECTED in rsi, and the stack at the end of the arena. In a borrowed thread the
// extended state is kept around the batch; behind the stop by a signal the tracer restores the rest. Without a tracer,
// the code behind restores what the return path does not, without touching a flag once they are right.
global_asm!(
    ".globl floe_entry",
    "floe_entry:",
    "mov rbx, rdi",
    "cmp esi, {injected}",
    "je 2f",
    "call floe_run",
    "int3",
    "2:",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rdi + {xstate}]",
    "call floe_run",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rbx + {xstate}]",
    // Its own id, as it is in its pid namespace.
    "mov eax, {gettid}",
    "syscall",
    "mov edi, eax",
    "mov eax, {tkill}",
    "mov rsi, [rbx + {stop}]",
    "syscall",
    "mov rdi, rbx",
    // Their numbers in struct user_regs_struct: 18 is eflags, 5 is rbx, 19 is rsp.
    "push qword ptr [rdi + {regs} + 8*18]",
    "popfq",
    "mov rbx, [rdi + {regs} + 8*5]",
    "mov rsp, [rdi + {regs} + 8*19]",
    "jmp qword ptr [rdi + {return_path}]",
    injected = const INJECTED,
    return_path = const RETURN_PATH,
    gettid = const GETTID,
    tkill = const TKILL,
    stop = const STOP,
    xstate = const XSTATE,
    regs = const REGS,
);

// Copies the process (fork(2)) so that nobody sees a child: a helper that shares its memory and its descriptors makes the copy and
// ends, which makes the copy an orphan. Neither of them touches memory, so the stack of the caller is theirs as well. The
// copy gives its descriptors up, and ends; its tracer holds it in between. So without a tracer all of it is gone at once.
global_asm!(
    ".globl floe_copy",
    "floe_copy:",
    "mov edi, {helper}",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jz 2f",
    "ret",
    "2:",
    "mov edi, {files}",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jz 3f",
    // It ends by the errno, or 0.
    "mov edi, eax",
    "neg edi",
    "jns 4f",
    "xor edi, edi",
    "jmp 4f",
    "3:",
    "mov eax, {close_range}",
    "xor edi, edi",
    "mov esi, -1",
    "mov edx, {unshare}",
    "syscall",
    "xor edi, edi",
    "4:",
    "mov eax, {exit}",
    "syscall",
    "jmp 4b",
    helper = const CLONE_VM | CLONE_FS | CLONE_FILES,
    files = const CLONE_FILES,
    clone = const 56,
    close_range = const 436,
    unshare = const 2,
    exit = const 231,
);

unsafe extern "C" {
    /// Exists nowhere: a build that could panic does not link.
    fn floe_payload_could_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: never linked.
    unsafe { floe_payload_could_panic() }
}

/// # Safety
/// As the system call itself.
unsafe fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel clobbers rcx and r11 only; what else it does is the caller's business.
    unsafe {
        asm!("syscall", inlateout("rax") nr => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// Copies the process; gives the id of the helper, or an errno below zero.
fn copy() -> i64 {
    let result;
    // SAFETY: here it only makes a system call, as `syscall` does; what it makes runs on no memory.
    unsafe {
        asm!("call floe_copy", out("rax") result, out("rdi") _, out("rsi") _, out("rdx") _,
            out("r10") _, out("r8") _, out("rcx") _, out("r11") _);
    }
    result
}

/// The word at `offset` of the arena.
unsafe fn get(arena: *mut u8, offset: usize) -> u64 {
    // SAFETY: the offsets are of this ABI, so within the arena and aligned.
    unsafe { arena.add(offset).cast::<u64>().read() }
}

unsafe fn put(arena: *mut u8, offset: usize, value: u64) {
    // SAFETY: as in `get`.
    unsafe { arena.add(offset).cast::<u64>().write(value) }
}

/// Runs the batch that is in the arena.
///
/// # Safety
/// `arena` is laid out as the ABI says.
#[unsafe(no_mangle)]
unsafe extern "C" fn floe_run(arena: *mut u8) {
    // SAFETY: the host has bounded the batch to the arena.
    unsafe {
        let count = get(arena, BATCH) as usize;
        let mut done = 0;
        while done < count {
            let entry = ENTRIES + done * ENTRY;
            let kinds = get(arena, entry + ENTRY_KINDS * 8);
            let mut args = [0; 6];
            for (i, arg) in args.iter_mut().enumerate() {
                let value = get(arena, entry + (ENTRY_ARGS + i) * 8);
                *arg = match (kinds >> (8 * i)) & 0xff {
                    0 => value,
                    _ => get(arena, ENTRIES + value as usize * ENTRY + ENTRY_RESULT * 8),
                };
            }
            let result = match get(arena, entry) {
                COPY => copy(),
                nr => syscall(nr, args),
            };
            put(arena, entry + ENTRY_RESULT * 8, result as u64);
            done += 1;
            if (-4095..0).contains(&result) && get(arena, entry + ENTRY_MUST * 8) != 0 {
                break;
            }
        }
        put(arena, BATCH + 8, done as u64);
    }
}
