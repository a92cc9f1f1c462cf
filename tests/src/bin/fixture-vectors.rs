//! `fixture-vectors N`: N threads keep a pattern of their own in every vector register, spin without a
//! system call until SIGUSR1, and then check it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);
static READY: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_usr1(_: libc::c_int) {
    STOP.store(true, Ordering::SeqCst);
}

/// Loads ymm0 to ymm15 from `pattern`, waits for `STOP`, stores them to `seen`.
#[target_feature(enable = "avx")]
fn hold(pattern: &[u8; 512], seen: &mut [u8; 512]) {
    // SAFETY: both blocks are 512 bytes, all registers written are declared, no stack is used.
    unsafe {
        std::arch::asm!(
            "vmovups ymm0, [{p}]", "vmovups ymm1, [{p}+32]", "vmovups ymm2, [{p}+64]", "vmovups ymm3, [{p}+96]",
            "vmovups ymm4, [{p}+128]", "vmovups ymm5, [{p}+160]", "vmovups ymm6, [{p}+192]", "vmovups ymm7, [{p}+224]",
            "vmovups ymm8, [{p}+256]", "vmovups ymm9, [{p}+288]", "vmovups ymm10, [{p}+320]", "vmovups ymm11, [{p}+352]",
            "vmovups ymm12, [{p}+384]", "vmovups ymm13, [{p}+416]", "vmovups ymm14, [{p}+448]", "vmovups ymm15, [{p}+480]",
            "lock inc qword ptr [{ready}]",
            "2:", "pause", "cmp byte ptr [{stop}], 0", "je 2b",
            "vmovups [{s}], ymm0", "vmovups [{s}+32], ymm1", "vmovups [{s}+64], ymm2", "vmovups [{s}+96], ymm3",
            "vmovups [{s}+128], ymm4", "vmovups [{s}+160], ymm5", "vmovups [{s}+192], ymm6", "vmovups [{s}+224], ymm7",
            "vmovups [{s}+256], ymm8", "vmovups [{s}+288], ymm9", "vmovups [{s}+320], ymm10", "vmovups [{s}+352], ymm11",
            "vmovups [{s}+384], ymm12", "vmovups [{s}+416], ymm13", "vmovups [{s}+448], ymm14", "vmovups [{s}+480], ymm15",
            p = in(reg) pattern.as_ptr(), s = in(reg) seen.as_mut_ptr(),
            stop = in(reg) STOP.as_ptr(), ready = in(reg) READY.as_ptr(),
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
            out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
        );
    }
}

fn check(thread: u64) -> bool {
    let mut pattern = [0u8; 512];
    for (at, byte) in pattern.iter_mut().enumerate() {
        *byte = (thread.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(at as u32 % 64) ^ at as u64)
            as u8;
    }
    let mut seen = [0u8; 512];
    // SAFETY: main has checked that the processor has AVX.
    unsafe { hold(&pattern, &mut seen) };
    pattern == seen
}

fn main() {
    assert!(std::is_x86_feature_detected!("avx"), "this fixture needs AVX");
    let count: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(64);
    // SAFETY: the handler only stores to an atomic.
    unsafe { libc::signal(libc::SIGUSR1, on_usr1 as *const () as libc::sighandler_t) };
    let threads: Vec<_> = (0..count).map(|n| std::thread::spawn(move || check(n))).collect();
    while READY.load(Ordering::SeqCst) < count {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    println!("ready");
    let good =
        threads.into_iter().map(|t| t.join().is_ok_and(|same| same)).filter(|same| *same).count();
    println!("{} ({good} of {count})", if good as u64 == count { "passed" } else { "FAILED" });
}
