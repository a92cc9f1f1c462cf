//! Lines of /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)).

use crate::Result;
use std::{fs, io, str::FromStr};

/// The whole text.
pub(crate) fn read(pid: u32, fd: u32) -> Result<String> {
    let path = format!("/proc/{pid}/fdinfo/{fd}");
    let text = fs::read_to_string(&path);
    Ok(text.map_err(|e| floe_sys::Error::new(format!("read {path}"), e).pid(pid))?)
}

/// What stands behind a name, where there is such a line.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// An octal number, which must be there.
pub(crate) fn octal(info: &str, name: &str) -> io::Result<u32> {
    number(info, name, |text| u32::from_str_radix(text, 8).ok())
}

/// A hexadecimal number, which must be there.
pub(crate) fn hex(info: &str, name: &str) -> io::Result<u64> {
    number(info, name, |text| u64::from_str_radix(text, 16).ok())
}

/// A decimal number, which must be there.
pub(crate) fn decimal<T: FromStr>(info: &str, name: &str) -> io::Result<T> {
    number(info, name, |text| text.parse().ok())
}

fn number<T>(info: &str, name: &str, parse: impl Fn(&str) -> Option<T>) -> io::Result<T> {
    let broken = || io::Error::other(format!("no line `{name}` of the known form"));
    field(info, name).and_then(parse).ok_or_else(broken)
}
