//! Limits from /proc/PID/limits: prlimit(2) wants CAP_SYS_RESOURCE for another user's process.

use crate::{Result, proc, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Limits, Pid};
use procfs::{
    FromRead,
    process::{LimitValue, Limits as Table},
};
use std::io;

impl OfProcess for Limits {
    type Asked = ();

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let table = Table::from_read(proc::text(process.pid, "limits")?.as_bytes())
            .map_err(|e| proc::unable(process.pid, "limits", io::Error::other(e)))?;
        Ok(vec![Limits { pid: Pid(process.pid), limits: by_number(&table) }])
    }
}

/// Soft and hard limits in the order of their numbers (include/uapi/asm-generic/resource.h).
fn by_number(table: &Table) -> Vec<(u64, u64)> {
    let all = [
        &table.max_cpu_time,
        &table.max_file_size,
        &table.max_data_size,
        &table.max_stack_size,
        &table.max_core_file_size,
        &table.max_resident_set,
        &table.max_processes,
        &table.max_open_files,
        &table.max_locked_memory,
        &table.max_address_space,
        &table.max_file_locks,
        &table.max_pending_signals,
        &table.max_msgqueue_size,
        &table.max_nice_priority,
        &table.max_realtime_priority,
        &table.max_realtime_timeout,
    ];
    let number = |value: &LimitValue| match value {
        LimitValue::Unlimited => libc::RLIM_INFINITY,
        LimitValue::Value(number) => *number,
    };
    all.iter().map(|limit| (number(&limit.soft_limit), number(&limit.hard_limit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_stands_at_its_number() {
        let text = std::fs::read("/proc/self/limits").expect("limits");
        let table = Table::from_read(text.as_slice()).expect("the kernel's form");
        let words = |line: &str| -> Vec<u64> {
            let numbers = line.get(26..).unwrap_or_default().split_ascii_whitespace().take(2);
            numbers.map(|word| word.parse().unwrap_or(u64::MAX)).collect()
        };
        // Behind its heading the kernel lists them by number.
        let text = String::from_utf8_lossy(&text);
        let listed: Vec<_> = text.lines().skip(1).map(words).collect();
        let found: Vec<_> = by_number(&table).iter().map(|l| vec![l.0, l.1]).collect();
        assert_eq!(found, listed);
    }
}
