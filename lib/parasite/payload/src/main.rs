//! The parasite: runs batches of system calls that stand in the arena, whenever the doorbell rings. When the
//! other end of the doorbell is gone it goes home by itself, as if nobody had ever interrupted its host. In a stub,
//! which dies with its tracer, it runs one batch and stops. On a visit it runs one batch, stops by a signal that its
//! host would not notice, and leaves by the way home if nobody is there to see that.
//!
//! No code here may panic: the panic handler does not link.
#![no_std]
#![no_main]

#[path = "../../src/abi.rs"]
mod abi;

use abi::*;
use core::arch::{asm, global_asm};

const RECVFROM: u64 = 45;
const SENDTO: u64 = 44;
const CLOSE: u64 = 3;
const SIGACTION: u64 = 13;
const SIGPROCMASK: u64 = 14;
const TKILL: u64 = 200;
const SIGPENDING: u64 = 127;
const SIGTIMEDWAIT: u64 = 128;
const RESTART_SYSCALL: u64 = 219;
const MSG_NOSIGNAL: u64 = 0x4000;
const SIG_SETMASK: u64 = 2;
const SIGPIPE_BIT: u64 = 1 << 12;
const SA_RESTART: u64 = 0x1000_0000;
const EINTR: i64 = -4;
const EPIPE: i64 = -32;
const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;

// Entered with the arena in rdi, SERVE, ONCE or VISIT in rsi, and the stack at the end of the arena. Behind the call
// that serves: extended state, then everything else at once by iretq. Around a visit: extended state, then the stop for
// the tracer, which sees to the rest; without one, what the way home does not put back, without touching a flag once
// they are right. The offsets are REGS + 8 * register and XSTATE.
global_asm!(
    ".globl floe_entry",
    "floe_entry:",
    "mov rbx, rdi",
    "cmp esi, {once}",
    "jb 2f",
    "ja 3f",
    "call floe_once",
    "int3",
    "3:",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rdi + {xstate}]",
    "call floe_once",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rbx + {xstate}]",
    "mov eax, {tkill}",
    "mov rdi, [rbx + {stop}]",
    "mov rsi, [rbx + {stop} + 8]",
    "syscall",
    "mov rdi, rbx",
    "push qword ptr [rdi + {regs} + 8*18]",
    "popfq",
    "mov rbx, [rdi + {regs} + 8*5]",
    "mov rsp, [rdi + {regs} + 8*19]",
    "jmp qword ptr [rdi + {home}]",
    "2:",
    "call floe_serve",
    "mov rdi, rbx",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rdi + {xstate}]",
    "push qword ptr [rdi + {regs} + 8*20]",
    "push qword ptr [rdi + {regs} + 8*19]",
    "push qword ptr [rdi + {regs} + 8*18]",
    "push qword ptr [rdi + {regs} + 8*17]",
    "push qword ptr [rdi + {regs} + 8*16]",
    "mov r15, [rdi + {regs} + 8*0]",
    "mov r14, [rdi + {regs} + 8*1]",
    "mov r13, [rdi + {regs} + 8*2]",
    "mov r12, [rdi + {regs} + 8*3]",
    "mov rbp, [rdi + {regs} + 8*4]",
    "mov rbx, [rdi + {regs} + 8*5]",
    "mov r11, [rdi + {regs} + 8*6]",
    "mov r10, [rdi + {regs} + 8*7]",
    "mov r9, [rdi + {regs} + 8*8]",
    "mov r8, [rdi + {regs} + 8*9]",
    "mov rax, [rdi + {regs} + 8*10]",
    "mov rcx, [rdi + {regs} + 8*11]",
    "mov rdx, [rdi + {regs} + 8*12]",
    "mov rsi, [rdi + {regs} + 8*13]",
    "mov rdi, [rdi + {regs} + 8*14]",
    "iretq",
    once = const ONCE,
    home = const HOME,
    tkill = const TKILL,
    stop = const STOP,
    xstate = const XSTATE,
    regs = const REGS,
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

/// The word at `offset` of the arena.
unsafe fn get(arena: *mut u8, offset: usize) -> u64 {
    // SAFETY: the offsets are of this ABI, so within the arena and aligned.
    unsafe { arena.add(offset).cast::<u64>().read() }
}

unsafe fn put(arena: *mut u8, offset: usize, value: u64) {
    // SAFETY: as in `get`.
    unsafe { arena.add(offset).cast::<u64>().write(value) }
}

/// Runs batches until the doorbell reads end-of-file, then prepares to go home.
///
/// # Safety
/// `arena` is laid out as the ABI says.
#[unsafe(no_mangle)]
unsafe extern "C" fn floe_serve(arena: *mut u8) {
    // SAFETY: the arena is ours, `word` lives on our stack.
    unsafe {
        let bell = get(arena, DOORBELL);
        loop {
            let mut word = 0u64;
            let at = &raw mut word as u64;
            match syscall(RECVFROM, [bell, at, 8, 0, 0, 0]) {
                EINTR => continue,
                n if n <= 0 => break,
                _ => {}
            }
            run(arena);
            syscall(SENDTO, [bell, at, 8, MSG_NOSIGNAL, 0, 0]);
        }
        syscall(CLOSE, [bell, 0, 0, 0, 0, 0]);
        restart(arena);
        syscall(SIGPROCMASK, [SIG_SETMASK, arena as u64 + MASK as u64, 0, 8, 0, 0]);
    }
}

/// Runs the batch that is in the arena.
///
/// # Safety
/// `arena` is laid out as the ABI says.
#[unsafe(no_mangle)]
unsafe extern "C" fn floe_once(arena: *mut u8) {
    // SAFETY: as above.
    unsafe { run(arena) }
}

/// One batch.
unsafe fn run(arena: *mut u8) {
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
            let result = syscall(get(arena, entry), args);
            put(arena, entry + ENTRY_RESULT * 8, result as u64);
            done += 1;
            if result == EPIPE {
                swallow_sigpipe(arena);
            }
            if (-4095..0).contains(&result) && get(arena, entry + ENTRY_MUST * 8) != 0 {
                break;
            }
        }
        put(arena, BATCH + 8, done as u64);
    }
}

/// A write of ours to a broken pipe must not kill the host later.
unsafe fn swallow_sigpipe(arena: *mut u8) {
    let (set, now) = (SIGPIPE_BIT, [0u64; 2]);
    // SAFETY: both live on our stack.
    unsafe {
        if get(arena, OWN_SIGPIPE) == 0 {
            let (set, now) = (&raw const set as u64, now.as_ptr() as u64);
            syscall(SIGTIMEDWAIT, [set, 0, now, 8, 0, 0]);
        }
    }
}

/// Does what the kernel would have done with the interrupted system call: restart it, or let it fail with
/// EINTR because a handler is about to run.
unsafe fn restart(arena: *mut u8) {
    // SAFETY: the arena is ours.
    unsafe {
        let reg = |n: usize| REGS + 8 * n;
        let (nr, code) = (get(arena, reg(REG_ORIG_RAX)), get(arena, reg(REG_RAX)) as i64);
        let again = match code {
            ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND => nr,
            ERESTART_RESTARTBLOCK => RESTART_SYSCALL,
            _ => return,
        };
        if nr as i64 == -1 {
            return;
        }
        if code != ERESTARTNOINTR && handler_waits(arena, code == ERESTARTSYS) {
            put(arena, reg(REG_RAX), EINTR as u64);
        } else {
            put(arena, reg(REG_RAX), again);
            put(arena, reg(REG_RIP), get(arena, reg(REG_RIP)).wrapping_sub(2));
        }
    }
}

/// Will a handler run as soon as the mask is back (one without SA_RESTART, if that matters)?
unsafe fn handler_waits(arena: *mut u8, restartable: bool) -> bool {
    let mut pending = 0u64;
    let mut action = [0u64; 4];
    // SAFETY: both live on our stack, and are as long as the kernel's structures.
    unsafe {
        syscall(SIGPENDING, [&raw mut pending as u64, 8, 0, 0, 0, 0]);
        let pending = pending & !get(arena, MASK);
        for signal in 1..=64u64 {
            if pending >> (signal - 1) & 1 == 0 {
                continue;
            }
            syscall(SIGACTION, [signal, 0, action.as_mut_ptr() as u64, 8, 0, 0]);
            let handled = action[0] > 1;
            if handled && !(restartable && action[1] & SA_RESTART != 0) {
                return true;
            }
        }
    }
    false
}
