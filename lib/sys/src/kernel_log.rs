//! The log of the kernel, by reading /dev/kmsg.

use nix::{errno::Errno, unistd::read};
use std::{io, os::fd::BorrowedFd};

/// Longest message with all that belongs to it (PRINTK_MESSAGE_MAX of kernel/printk/internal.h is 2048).
const LONGEST: usize = 16 << 10;

/// Reads messages up to one of this number, or to the end, of a descriptor that does not wait. Gives the number of the last one.
pub fn read_kernel_log(log: BorrowedFd<'_>, until: Option<u64>) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; LONGEST];
    let mut last = None;
    loop {
        let len = match read(log, &mut buffer) {
            Ok(len) => len,
            Err(Errno::EAGAIN) => return Ok(last),
            // Some were overwritten meanwhile, or a signal came.
            Err(Errno::EPIPE | Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let number = number(&buffer[..len]).ok_or(io::ErrorKind::InvalidData)?;
        last = Some(number);
        if until.is_some_and(|until| number >= until) {
            return Ok(last);
        }
    }
}

/// `6,490,21221142158,-;text`: the second number.
fn number(message: &[u8]) -> Option<u64> {
    let text = message.split(|byte| *byte == b',').nth(1)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_number() {
        assert_eq!(number(b"6,490,21221142158,-;loop0: detected\n"), Some(490));
        assert_eq!((number(b"6"), number(b"6,x,1")), (None, None));
    }
}
