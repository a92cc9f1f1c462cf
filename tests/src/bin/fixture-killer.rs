//! `fixture-killer N COMMAND…`: gives COMMAND the first N records of the stream on standard input, kills it when it
//! has read them, and lets the rest pass by. Exits as COMMAND did, with 128 + n for the signal n; a stream that has
//! fewer records reaches COMMAND as a whole. With a program in FLOE_KILLER that is run then, and COMMAND, which is not killed, gets
//! the rest.

use anyhow::Context;
use floe_stream::{Item, Reader, Source};
use std::{
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

/// Standard input, and the part of it that was read but not yet passed on.
struct Tee {
    ahead: Vec<u8>,
    passed: u64,
}

impl Read for Tee {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = io::stdin().read(to)?;
        self.ahead.extend_from_slice(&to[..n]);
        Ok(n)
    }
}

impl Source for Tee {
    fn has_more(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

impl Tee {
    /// Passes on what lies before `offset` of the stream.
    fn pass(&mut self, offset: u64, to: &mut impl Write) -> io::Result<()> {
        let some = self.ahead.drain(..(offset - self.passed) as usize);
        to.write_all(some.as_slice())?;
        self.passed = offset;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let records: u64 = args.next().context("N")?.parse()?;
    let mut command = Command::new(args.next().context("COMMAND")?);
    // Who ends us means it.
    floe_sys::end_with_starter(&mut command);
    let mut child = command.args(args).stdin(Stdio::piped()).spawn()?;
    let mut to = child.stdin.take().context("the pipe")?;
    if let Some(rest) = feed(records, &mut to)? {
        drained(&to, &mut child)?;
        match std::env::var_os("FLOE_KILLER") {
            Some(program) => {
                Command::new(program).stdin(Stdio::null()).status()?;
                // It may have been the end of COMMAND as well.
                let _ = io::copy(&mut rest.as_slice(), &mut to)
                    .and_then(|_| io::copy(&mut io::stdin(), &mut to));
            }
            None => {
                child.kill()?;
                io::copy(&mut io::stdin(), &mut io::sink())?;
            }
        }
    }
    drop(to);
    let status = child.wait()?;
    std::process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// The part of the stream that was read behind them, where there are that many records. A bulk belongs to its record.
fn feed(records: u64, to: &mut ChildStdin) -> anyhow::Result<Option<Vec<u8>>> {
    let mut reader = Reader::new(Tee { ahead: Vec::new(), passed: 0 });
    let mut seen = 0;
    while seen < records {
        let end = match reader.next()? {
            Item::Record(_) => false,
            Item::Bulk(_) => {
                reader.skip_bulk()?;
                false
            }
            Item::End => true,
        };
        let offset = reader.offset();
        reader.get_mut().pass(offset, to)?;
        if end {
            return Ok(None);
        }
        seen += 1;
    }
    Ok(Some(std::mem::take(&mut reader.get_mut().ahead)))
}

/// Waits until the command has read everything, or has ended.
fn drained(pipe: &ChildStdin, child: &mut Child) -> anyhow::Result<()> {
    loop {
        let mut left: libc::c_int = 0;
        // SAFETY: FIONREAD of a pipe writes one int, to `left`.
        unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut left) };
        if left == 0 || child.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_micros(100));
    }
}
