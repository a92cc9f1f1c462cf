//! /proc/PID/stat (proc_pid_stat(5)).

use crate::{
    read::read_record,
    unable,
    words::{ascii, decimal, unknown, words},
};
use floe_sys::Result;
use std::io;

/// PF_KTHREAD of include/linux/sched.h.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// PF_EXITING.
const EXITING: u32 = 0x4;

/// A process or thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Name, at most 15 bytes of any value but NUL (64 for kernel threads).
    pub comm: Vec<u8>,
    /// Letter of the state: `R`, `S`, `D`, `T` (job control), `t` (ptrace), `Z`, `X`, `I`.
    pub state: u8,
    /// Parent, 0 for one outside of the pid namespace.
    pub ppid: u32,
    /// Process group, 0 for one outside of the pid namespace.
    pub pgrp: u32,
    /// Session, 0 for one outside of the pid namespace.
    pub session: u32,
    /// Device of the controlling terminal as makedev(3) packs it, 0 for none.
    pub tty_nr: i32,
    /// Foreground process group of that terminal, -1 for none.
    pub tpgid: i32,
    /// PF_* of include/linux/sched.h.
    pub flags: u32,
    /// Threads of the process.
    pub threads: u32,
    /// Start, in clock ticks since boot.
    pub start_time: u64,
    /// User and system time of the process, clock ticks.
    pub cpu_ticks: u64,
    /// Signal to the parent at the end of the process; -1 for a thread that is no leader.
    pub exit_signal: i32,
    /// Status as wait(2) reports it; 0 also where we may not trace the process.
    pub exit_code: i32,
    /// `None` for zombies and kernel threads, and where we may not trace the process.
    pub mm: Option<AddressSpace>,
}

/// The bounds that the kernel keeps of an address space (PR_SET_MM of prctl(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in struct prctl_mm_map")]
pub struct AddressSpace {
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

impl Stat {
    /// Of a process or thread.
    pub fn of(pid: u32) -> Result<Self> {
        Self::parse(&read_record(pid, "stat")?).map_err(|e| unable(pid, "stat", e))
    }

    /// Of recorded text. One of a task that was reaped while it was read fails with ESRCH.
    pub fn parse(text: &[u8]) -> io::Result<Self> {
        const WHAT: &str = "stat";
        // The name may hold blanks and parentheses; the last one closes it.
        let open = text.iter().position(|&b| b == b'(').ok_or_else(|| unknown(WHAT))?;
        let close = text.iter().rposition(|&b| b == b')').ok_or_else(|| unknown(WHAT))?;
        let comm = text.get(open + 1..close).ok_or_else(|| unknown(WHAT))?.to_vec();
        let fields: Vec<&[u8]> = words(&text[close + 1..]).collect();
        // Counted as in proc_pid_stat(5), where the state is field 3.
        let field = |n: usize| fields.get(n - 3).copied().ok_or_else(|| unknown(WHAT));
        let address = |n| field(n).and_then(|word| decimal::<u64>(word, "an address in stat"));
        let id = |n| field(n).and_then(|word| decimal::<u32>(word, "an id in stat"));
        let int = |n| field(n).and_then(|word| decimal::<i32>(word, "a number in stat"));
        let &[state] = field(3)? else { return Err(unknown("the state in stat")) };
        // The kernel no longer finds group and session of a task that is being reaped.
        if ascii(field(5)?, WHAT)? == "-1" {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mm = AddressSpace {
            start_code: address(26)?,
            end_code: address(27)?,
            start_stack: address(28)?,
            start_data: address(45)?,
            end_data: address(46)?,
            start_brk: address(47)?,
            arg_start: address(48)?,
            arg_end: address(49)?,
            env_start: address(50)?,
            env_end: address(51)?,
        };
        Ok(Self {
            comm,
            state,
            ppid: id(4)?,
            pgrp: id(5)?,
            session: id(6)?,
            tty_nr: int(7)?,
            tpgid: int(8)?,
            flags: id(9)?,
            threads: id(20)?,
            start_time: address(22)?,
            cpu_ticks: address(14)?.saturating_add(address(15)?),
            exit_signal: int(38)?,
            exit_code: int(52)?,
            // 0 stands for no address space, 1 for one that we may not see.
            mm: (mm.start_code > 1).then_some(mm),
        })
    }

    /// Ended, and not yet waited for.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// About to be dead: it gives up its memory, its descriptors and all else.
    pub fn is_exiting(&self) -> bool {
        self.flags & EXITING != 0
    }

    /// A thread of the kernel.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &str = "9626 (c) R 0) t 9624 9620 6294 34816 -1 4194304 105 0 0 0 0 0 0 0 20 0 3 0 \
        56479 3133440 380 18446744073709551615 94091675738112 94091675757993 140724037816576 0 0 0 \
        0 0 0 0 0 0 17 1 0 0 0 0 0 94091675774000 94091675775616 94092234784768 140724037823165 \
        140724037823221 140724037823222 140724037824491 256\n";

    #[test]
    fn every_field_is_read() {
        let stat = Stat::parse(CAT.as_bytes()).unwrap();
        assert_eq!((&stat.comm[..], stat.state), (&b"c) R 0"[..], b't'));
        assert_eq!((stat.ppid, stat.pgrp, stat.session), (9624, 9620, 6294));
        assert_eq!((stat.tty_nr, stat.tpgid, stat.flags), (34816, -1, 4_194_304));
        assert_eq!((stat.threads, stat.start_time), (3, 56479));
        assert_eq!((stat.exit_signal, stat.exit_code), (17, 256));
        let mm = stat.mm.unwrap();
        assert_eq!((mm.start_code, mm.end_code), (94_091_675_738_112, 94_091_675_757_993));
        assert_eq!((mm.start_data, mm.end_data), (94_091_675_774_000, 94_091_675_775_616));
        assert_eq!((mm.start_brk, mm.start_stack), (94_092_234_784_768, 140_724_037_816_576));
        assert_eq!((mm.arg_start, mm.arg_end), (140_724_037_823_165, 140_724_037_823_221));
        assert_eq!((mm.env_start, mm.env_end), (140_724_037_823_222, 140_724_037_824_491));
        assert!(!stat.is_dead() && !stat.is_kernel_thread());
    }

    #[test]
    fn cut_text_is_an_error() {
        let cut = |len| Stat::parse(&CAT.as_bytes()[..len]);
        // The last field may lose digits, and the text its newline.
        let whole = CAT.len() - 3;
        assert!((0..whole).all(|len| cut(len).is_err()));
        assert!(cut(whole).is_ok());
    }

    #[test]
    fn wrong_fields_are_errors() {
        for (from, to) in
            [(" 9624 ", " x "), (" 56479 ", " -1 "), (") t ", ") tt "), ("17 1", "x 1")]
        {
            assert!(Stat::parse(CAT.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_task_that_was_reaped_meanwhile_is_gone() {
        let text = CAT.replace(" 9624 9620 6294 ", " 0 -1 -1 ");
        let error = Stat::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_hidden_address_space_is_none() {
        let text = CAT.replace("94091675738112 94091675757993", "1 1");
        assert_eq!(Stat::parse(text.as_bytes()).unwrap().mm, None);
    }

    #[test]
    fn this_process_is_read() {
        let stat = Stat::of(std::process::id()).unwrap();
        assert_eq!(stat.ppid, std::os::unix::process::parent_id());
        assert!(stat.mm.is_some() && stat.threads > 0);
    }
}
