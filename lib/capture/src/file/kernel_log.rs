//! /dev/kmsg, open for reading. How far it has read is not shown; but whether there is more for it is, and where the end is
//! another descriptor tells. Messages come at any time: what `freeze` has found behind the stop is what holds.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{FileId, KernelLog, Pid};
use floe_sys::{Error, read_kernel_log};
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::os::fd::{AsFd, BorrowedFd};

/// Of messages, which are read sooner or later.
pub(crate) const MESSAGES: &str = "kmsg.messages";

/// Whether it is /dev/kmsg, open for reading.
pub(crate) fn is_read(seen: &Descriptor<'_>) -> bool {
    let writes = seen.flags & libc::O_ACCMODE as u32 == libc::O_WRONLY as u32;
    seen.stat.is_char_device() && seen.stat.rdev == libc::makedev(1, 11) && !writes
}

impl OfFile for KernelLog {
    fn claims(seen: &Descriptor<'_>) -> bool {
        is_read(seen) && seen.name().is_some() && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let (pid, name) = (Pid(seen.pid), seen.file_or_removed()?);
        let last = seen.last_message().map_or_else(|| end(seen), Ok)?;
        Ok(KernelLog { file, pid, name, last })
    }
}

/// Number of the message at the end, which it has read.
fn end(seen: &Descriptor<'_>) -> Result<u64, Problem> {
    let fail = |e| Error::new("read the log of the kernel", e);
    let own = seen.open_again(OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    let mut last = None;
    loop {
        last = read_kernel_log(own.as_fd(), None).map_err(fail)?.or(last);
        if has_more(seen.duplicate()?)? {
            let hint = "try again when it has read them";
            let problem = "messages of the kernel wait to be read";
            return Err(Problem::Refused(MESSAGES, problem.into(), hint));
        }
        // None has come in between: both are at the same end.
        if !has_more(own.as_fd())? {
            break;
        }
    }
    let none = || Problem::new("file.device", "the log of the kernel is empty");
    last.ok_or_else(none)
}

fn has_more(log: BorrowedFd<'_>) -> Result<bool, Error> {
    let mut all = [PollFd::new(log, PollFlags::POLLIN)];
    poll(&mut all, PollTimeout::ZERO)
        .map(|ready| ready > 0)
        .map_err(|e| Error::new("ask for messages of the kernel", e))
}
