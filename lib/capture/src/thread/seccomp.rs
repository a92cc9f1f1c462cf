//! Restrictions of the system calls of a thread. While a thread is traced they are suspended (PTRACE_O_SUSPEND_SECCOMP), or no
//! question could be asked in it.

use crate::{Result, resource::OfThread, subject::Thread};
use floe_parasite::{Batch, Replies};
use floe_records::{Filter, Finding, Findings, INSTRUCTION, Pid, Seccomp, Tid};

/// BPF_LD | BPF_W | BPF_IMM and BPF_RET | BPF_K.
const LOADS: u16 = 0x00;
const RETURNS: u16 = 0x06;
/// SECCOMP_RET_ACTION_FULL, SECCOMP_RET_USER_NOTIF.
const ACTION: u32 = 0xffff_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;

impl OfThread for Seccomp {
    type Asked = ();

    fn look(thread: &Thread<'_>, out: &mut Findings) -> Result<()> {
        let mode = match thread.status.line("Seccomp") {
            None | Some(b"0") => return Ok(()),
            Some(mode) => mode,
        };
        let refuse = |out: &mut Findings, problem: &str, hint: &str| {
            let object = match thread.tid == thread.pid {
                true => "seccomp".to_owned(),
                false => format!("seccomp of thread {}", thread.tid),
            };
            let finding = Finding::of(Pid(thread.pid), object, "thread.seccomp", problem);
            out.refuse(finding.hint(hint));
        };
        match mode {
            b"1" | b"2" if !floe_tracee::may_suspend_seccomp()? => {
                let problem = "filters can be read and set aside with CAP_SYS_ADMIN alone, by a process that has none itself";
                refuse(out, problem, "run freeze as root, outside of every sandbox");
            }
            b"1" => {}
            // Only a thread that stands shows its filters.
            b"2" => {
                let filters = thread.held().map_or(Ok(Vec::new()), filters)?;
                if filters.iter().any(asks_supervisor) {
                    let problem = "a filter hands calls to a supervisor (SECCOMP_RET_USER_NOTIF), which cannot be captured";
                    refuse(out, problem, "");
                }
            }
            _ => refuse(out, "it is of an unknown mode", ""),
        }
        Ok(())
    }

    fn ask(_: &Thread<'_>, _: &mut Batch) {}

    fn take(thread: &Thread<'_>, (): (), _: &Replies) -> Result<Self> {
        let mode = thread.status.line("Seccomp");
        let filters = if mode == Some(b"2") { filters(thread.tracee()?)? } else { Vec::new() };
        let (pid, tid) = (Pid(thread.pid), Tid(thread.tid));
        Ok(Seccomp { pid, tid, strict: mode == Some(b"1"), filters })
    }
}

/// All filters of a thread, the oldest first.
fn filters(tracee: &floe_tracee::Tracee) -> Result<Vec<Filter>> {
    let mut all = Vec::new();
    while let Some((program, flags)) = tracee.seccomp_filter(all.len())? {
        all.push(Filter { flags, program: program.into() });
    }
    Ok(all)
}

/// Whether a filter may give the action that wakes the process that has its listener.
fn asks_supervisor(filter: &Filter) -> bool {
    let mut all = filter.program.0.as_chunks::<INSTRUCTION>().0.iter();
    all.any(|insn| {
        let code = u16::from_ne_bytes([insn[0], insn[1]]);
        let value = u32::from_ne_bytes([insn[4], insn[5], insn[6], insn[7]]);
        matches!(code, LOADS | RETURNS) && value & ACTION == USER_NOTIF
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_told_by_what_a_filter_gives() {
        let filter = |code: u16, value: u32| {
            let mut program = code.to_ne_bytes().to_vec();
            program.extend([0, 0]);
            program.extend(value.to_ne_bytes());
            Filter { flags: 0, program: program.into() }
        };
        assert!(asks_supervisor(&filter(RETURNS, USER_NOTIF)));
        assert!(asks_supervisor(&filter(LOADS, USER_NOTIF | 7)));
        assert!(!asks_supervisor(&filter(RETURNS, 0x7fff_0000)));
        // A jump that compares with the same number.
        assert!(!asks_supervisor(&filter(0x15, USER_NOTIF)));
    }
}
