//! Lines of /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)).

pub(super) fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim)
}

pub(super) fn octal(info: &str, name: &str) -> u32 {
    u32::from_str_radix(field(info, name), 8).unwrap_or(0)
}

pub(super) fn decimal(info: &str, name: &str) -> u64 {
    field(info, name).parse().unwrap_or(0)
}
