//! A tool that fails leaves its exit code to the tools behind it, which then need no sentence of their own.

use crate::{Output, ends::kind, hangup::is_read_within};
use floe_stream::Writer;
use nix::sys::stat::SFlag;
use std::{io::Write, os::fd::AsFd, time::Duration};

/// How long the tool behind may take to start. Longer than for a tool that succeeds: no target waits for a failed one.
const START: Duration = Duration::from_millis(300);

/// Writes Abort with this exit code (1 to 255) to an output to which nothing or whole items have been written. Waits up to
/// 300 ms for a reader that starts: a target is let go before.
pub fn abort(out: &mut Output, code: u8) {
    abort_stream(&mut Writer::new(out), code);
}

/// Writes Abort with this exit code (1 to 255) to a stream. Where that cannot be done nothing is written, and a reader
/// reports a stream without an end: in the midst of a bulk string, after a failed write, and where the reader is not
/// known to be a floe tool. So no file has an Abort.
pub fn abort_stream<W: Write + AsFd>(out: &mut Writer<W>, code: u8) {
    let is_read = out.sink().is_ok_and(|out| is_read_by_floe(out));
    if is_read {
        // The error that is aborted for is the one to report.
        let _ = out.abort(code);
    }
}

fn is_read_by_floe(out: &impl AsFd) -> bool {
    let out = out.as_fd();
    match kind(out) {
        Some(SFlag::S_IFIFO) => is_read_within(out, START).unwrap_or(false),
        Some(SFlag::S_IFSOCK) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;
    use floe_stream::{Error, Reader};
    use std::os::fd::OwnedFd;

    fn pipe() -> (OwnedFd, Output) {
        let (from, to) = std::io::pipe().unwrap();
        (from.into(), OwnedFd::from(to).into())
    }

    #[test]
    fn a_floe_reader_gets_the_exit_code() {
        let (from, mut out) = pipe();
        floe_sys::flock_shared(from.as_fd()).unwrap();
        abort(&mut out, 3);
        drop(out);
        let mut reader = Reader::new(Input::from(from));
        assert!(matches!(reader.next(), Err(Error::Aborted(3))));
        assert!(matches!(reader.next(), Err(Error::Aborted(3))));
        assert!(reader.damage().is_none());
    }

    #[test]
    fn no_other_reader_gets_a_byte() {
        let (from, mut out) = pipe();
        abort(&mut out, 3);
        drop(out);
        assert!(matches!(Reader::new(Input::from(from)).next(), Err(Error::Damaged { .. })));
        let file = tempfile::tempfile().unwrap();
        abort(&mut OwnedFd::from(file.try_clone().unwrap()).into(), 3);
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
