//! Reading files of /proc whole, and those that hold one value.

use crate::words;
use floe_sys::{Error, Result};
use std::{
    cell::RefCell,
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
};

/// Most files of /proc fit.
const ROOM: usize = 16 << 10;

thread_local! {
    /// Kept, because files of /proc do not tell their size.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
}

/// The path `/proc/PID/NAME`.
pub fn path(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// The link of a descriptor, `/proc/PID/fd/FD`.
pub fn fd_path(pid: u32, fd: u32) -> PathBuf {
    path(pid, &format!("fd/{fd}"))
}

/// The link of a mapped file, `/proc/PID/map_files/START-END`. Opening it needs CAP_CHECKPOINT_RESTORE.
pub fn map_file_path(pid: u32, start: u64, end: u64) -> PathBuf {
    path(pid, &format!("map_files/{start:x}-{end:x}"))
}

/// Whether /proc shows the pid namespace of this process; a process that has entered another one may still see the old one.
///
/// # Errors
/// Where /proc/self cannot be read.
pub fn shows_our_pids() -> Result<bool> {
    // Of a namespace that we are not in, there is no such link.
    let link = match fs::read_link("/proc/self") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        link => link.map_err(|e| Error::new("read /proc/self", e))?,
    };
    let own = std::process::id();
    // Of one further outside we have more than one number.
    Ok(link.as_os_str() == own.to_string().as_str()
        && crate::Status::of(own)?.numbers("NSpid")?.len() == 1)
}

/// The error "unable to read /proc/PID/NAME". A file that is missing because the process is gone counts as ESRCH; one
/// that this kernel does not have stays ENOENT.
pub fn unable(pid: u32, name: &str, cause: impl Into<io::Error>) -> Error {
    let mut cause = cause.into();
    if cause.kind() == io::ErrorKind::NotFound && !Path::new(&format!("/proc/{pid}")).exists() {
        cause = io::Error::from_raw_os_error(libc::ESRCH);
    }
    Error::new(format!("read /proc/{pid}/{name}"), cause).pid(pid)
}

/// The whole of `/proc/PID/NAME`.
pub fn read(pid: u32, name: &str) -> Result<Vec<u8>> {
    whole(&path(pid, name), false).map_err(|e| unable(pid, name, e))
}

/// The whole of a `/proc/PID/NAME` that the kernel writes as one record (`stat`, `status`, `limits`, `cgroup`): what fits is
/// read by a single call.
pub fn read_record(pid: u32, name: &str) -> Result<Vec<u8>> {
    whole(&path(pid, name), true).map_err(|e| unable(pid, name, e))
}

/// The whole of a file of /proc that belongs to no process or to our own: `/proc/locks`, `/proc/self/fdinfo/3`.
pub fn read_at(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    whole(path, false).map_err(|e| Error::new(format!("read {}", path.display()), e))
}

fn whole(path: &Path, one_record: bool) -> io::Result<Vec<u8>> {
    drain(File::open(path)?, one_record)
}

/// Reads to the end. A file of many records (`maps`) gives a part of them at each call, one of `one_record` gives all
/// that there is room for.
pub(crate) fn drain(file: impl AsFd, one_record: bool) -> io::Result<Vec<u8>> {
    gather(one_record, |buffer, _| nix::unistd::read(&file, buffer))
}

/// Reads a file of one record anew, wherever it was read to.
pub(crate) fn again(file: impl AsFd) -> io::Result<Vec<u8>> {
    gather(true, |buffer, at| nix::sys::uio::pread(&file, buffer, at as i64))
}

fn gather(
    one_record: bool,
    mut read: impl FnMut(&mut [u8], usize) -> nix::Result<usize>,
) -> io::Result<Vec<u8>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut text = Vec::new();
        loop {
            let count = match read(buffer, text.len()) {
                Err(nix::Error::EINTR) => continue,
                other => other?,
            };
            text.extend_from_slice(&buffer[..count]);
            if count == 0 || (one_record && count < buffer.len()) {
                return Ok(text);
            }
        }
    })
}

/// An error that names `/proc/PID/NAME` already, as [`unable`] would report its cause.
pub(crate) fn reported(pid: u32, name: &str, error: Error) -> Error {
    match error.errno() {
        Some(errno) => unable(pid, name, io::Error::from_raw_os_error(errno)),
        None => error.pid(pid),
    }
}

/// A file that holds one decimal number.
pub fn number<T: FromStr>(pid: u32, name: &str) -> Result<T> {
    words::decimal(&read_record(pid, name)?, "a number").map_err(|e| unable(pid, name, e))
}

/// The execution domain (personality(2)).
pub fn personality(pid: u32) -> Result<u32> {
    let fail = |e| unable(pid, "personality", e);
    let value = words::hex(&read_record(pid, "personality")?, "a personality").map_err(fail)?;
    u32::try_from(value).map_err(|_| fail(words::unknown("a personality")))
}

/// The adjustment of the out-of-memory score, -1000 to 1000.
pub fn oom_score_adj(pid: u32) -> Result<i32> {
    number(pid, "oom_score_adj")
}

/// The timer slack of a thread in nanoseconds. That of others needs CAP_SYS_NICE.
pub fn timer_slack(tid: u32) -> Result<u64> {
    number(tid, "timerslack_ns")
}

/// What a file says that not every kernel has.
fn unless_missing<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        other => other.map(Some),
    }
}

/// The user that the audit system ascribes a process to; `None` where that was never set.
pub fn login_uid(pid: u32) -> Result<Option<u32>> {
    let uid = unless_missing(number::<u32>(pid, "loginuid"))?;
    Ok(uid.filter(|uid| *uid != u32::MAX))
}

/// Which mappings a core dump contains (core(5)); `None` on a kernel without core dumps.
pub fn core_dump_filter(pid: u32) -> Result<Option<u64>> {
    let name = "coredump_filter";
    let Some(text) = unless_missing(read(pid, name))? else { return Ok(None) };
    words::hex(&text, "a filter").map(Some).map_err(|e| unable(pid, name, e))
}

/// The nice value of the autogroup of a process (sched(7)); `None` where there are none.
pub fn autogroup_nice(pid: u32) -> Result<Option<i32>> {
    let name = "autogroup";
    // `/autogroup-77 nice 0`; nothing for a process in a cgroup that schedules by itself.
    let text = unless_missing(read(pid, name))?.unwrap_or_default();
    let last = words::words(&text).last();
    last.map(|word| words::decimal(word, "a nice value"))
        .transpose()
        .map_err(|e| unable(pid, name, e))
}

/// What the security module of the kernel calls a thread (SELinux, AppArmor, Smack); `None` where there is none.
pub fn label(tid: u32) -> Result<Option<Vec<u8>>> {
    match read(tid, "attr/current") {
        Err(error) if error.is_gone() => Err(error),
        Err(error) if matches!(error.errno(), Some(libc::EINVAL | libc::ENOENT)) => Ok(None),
        Err(error) => Err(error),
        // Some end it by a newline, some by a zero byte.
        Ok(mut label) => {
            let end = label.iter().rposition(|byte| !matches!(byte, b'\n' | 0));
            label.truncate(end.map_or(0, |last| last + 1));
            Ok(Some(label))
        }
    }
}

/// The name of a thread, at most 15 bytes of any value but NUL.
pub fn comm(tid: u32) -> Result<Vec<u8>> {
    let mut name = read(tid, "comm")?;
    match name.pop() {
        Some(b'\n') => Ok(name),
        _ => Err(unable(tid, "comm", words::unknown("a name"))),
    }
}

/// Where a link of /proc/PID leads (`exe`, `cwd`, `root`, `fd/3`), as the kernel shows it to us.
pub fn link(pid: u32, name: &str) -> Result<Vec<u8>> {
    let target = fs::read_link(path(pid, name)).map_err(|e| unable(pid, name, e))?;
    Ok(target.into_os_string().into_vec())
}

/// The names in a directory that are numbers, ascending. Others are skipped: /proc has files beside its processes.
pub fn numbers_in(dir: impl AsRef<Path>) -> Result<Vec<u32>> {
    let dir = dir.as_ref();
    numbers(dir).map_err(|e| Error::new(format!("read {}", dir.display()), e))
}

pub(crate) fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        all.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above the largest pid_max there is.
    const NOBODY: u32 = 1 << 30;

    #[test]
    fn a_missing_process_is_gone_and_a_missing_file_is_not() {
        assert!(read(NOBODY, "stat").unwrap_err().is_gone());
        let own = read(std::process::id(), "no such file").unwrap_err();
        assert!(!own.is_gone() && own.errno() == Some(libc::ENOENT), "{own}");
    }

    #[test]
    fn values_of_this_process_are_read() {
        let me = std::process::id();
        assert!((-1000..=1000).contains(&oom_score_adj(me).unwrap()));
        personality(me).unwrap();
        assert!(!comm(me).unwrap().is_empty());
        assert!(numbers_in("/proc").unwrap().contains(&me));
        assert!(link(me, "exe").unwrap().starts_with(b"/"));
        assert!(number::<u32>(me, "comm").is_err(), "a name is no number");
    }
}
