//! /proc/PID/limits (proc_pid_limits(5)). prlimit(2) would want CAP_SYS_RESOURCE for another user's process.

use crate::{read::read_record, unable};
use floe_sys::Result;
use procfs::{
    FromRead,
    process::{LimitValue, Limits},
};
use std::io;

/// Kinds of limits that Linux has.
pub const LIMITS: usize = 16;

/// Soft and hard limits of a process at their numbers (RLIMIT_*), RLIM_INFINITY for none.
pub fn limits(pid: u32) -> Result<[(u64, u64); LIMITS]> {
    parse(&read_record(pid, "limits")?).map_err(|e| unable(pid, "limits", e))
}

/// [`limits()`] of recorded text.
pub fn parse(text: &[u8]) -> io::Result<[(u64, u64); LIMITS]> {
    let table =
        Limits::from_read(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    // The numbers of include/uapi/asm-generic/resource.h.
    let by_number = [
        table.max_cpu_time,
        table.max_file_size,
        table.max_data_size,
        table.max_stack_size,
        table.max_core_file_size,
        table.max_resident_set,
        table.max_processes,
        table.max_open_files,
        table.max_locked_memory,
        table.max_address_space,
        table.max_file_locks,
        table.max_pending_signals,
        table.max_msgqueue_size,
        table.max_nice_priority,
        table.max_realtime_priority,
        table.max_realtime_timeout,
    ];
    let number = |value| match value {
        LimitValue::Unlimited => libc::RLIM_INFINITY,
        LimitValue::Value(number) => number,
    };
    Ok(by_number.map(|limit| (number(limit.soft_limit), number(limit.hard_limit))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_stands_at_its_number() {
        let limits = limits(std::process::id()).unwrap();
        for (number, limit) in limits.iter().enumerate() {
            assert_eq!(floe_sys::get_limit(0, number as u32).unwrap(), *limit, "limit {number}");
        }
    }

    #[test]
    fn a_missing_limit_is_an_error() {
        let text = read_record(std::process::id(), "limits").unwrap();
        for line in 1..=LIMITS {
            let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
            let cut: Vec<u8> =
                lines.filter(|(n, _)| *n != line).flat_map(|(_, l)| l.to_vec()).collect();
            assert!(parse(&cut).is_err(), "line {line}");
        }
    }
}
