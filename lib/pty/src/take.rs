//! Taking what is queued, and putting it back.

use crate::{
    Queued, Queues, ROOM, Stopped,
    fill::{fill, write as write_waiting},
    is_canonical, plain, ready,
};
use floe_sys::{
    Error, Result, TerminalModes, TerminalNumber, TerminalSetting, in_survivor, memfd_create,
    open_slave, set_terminal, set_terminal_modes, terminal_modes, terminal_number,
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::PollFlags,
};
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// More than the kernel queues on one way (TTYB_DEFAULT_MEM_LIMIT and the buffer of the line discipline), bytes.
const MOST: usize = 256 << 10;
/// Longer than any line.
const CHUNK: usize = 8192;
/// In which what is on its way from one end to the other arrives.
const ARRIVAL: Duration = Duration::from_micros(500);

/// A master whose pseudo terminal is to be looked into.
#[derive(Debug)]
pub struct Master<'a> {
    /// The master, or a duplicate, open for reading.
    pub fd: BorrowedFd<'a>,
    /// Whether its slave has ever been opened. If not, none is opened, which could not be undone, and nothing that was written to
    /// it is found.
    pub opened: bool,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// All of it.
    Queues(Queues),
    /// More has been written to the master than the line discipline has processed. All of it has been put back.
    Unprocessed,
}

/// What is queued in pseudo terminals whose processes all stand still; it is there again when this returns. None of them has a
/// packet status that waits to be read.
///
/// # Errors
/// Those of fork(2), and those of ioctl(2), read(2) and write(2) in the child.
pub fn take(masters: &[Master<'_>]) -> Result<Vec<Taken>> {
    if masters.is_empty() {
        return Ok(Vec::new());
    }
    let fail = |e: io::Error| Error::new("look into a pseudo terminal", e);
    let before = masters.iter().map(Before::of).collect::<io::Result<Vec<_>>>().map_err(fail)?;
    let mut found = File::from(memfd_create(c"terminals", 0)?);
    // The child may not allocate.
    let mut queues = Queues {
        lines: Vec::with_capacity(MOST),
        input: Vec::with_capacity(MOST),
        output: Vec::with_capacity(MOST),
        stopped: Stopped::No,
    };
    let errno = in_survivor(|| {
        for before in &before {
            let taken = before.take(&mut queues).and_then(|all| write(&mut found, all, &queues));
            if let Err(e) = taken {
                return e.raw_os_error().unwrap_or(libc::EIO) as u8;
            }
        }
        0
    })?;
    if errno != 0 {
        return Err(fail(io::Error::from_raw_os_error(errno.into())));
    }
    found.rewind().map_err(fail)?;
    masters.iter().map(|_| read(&mut found).map_err(fail)).collect()
}

/// A pseudo terminal as it was.
struct Before<'a> {
    master: BorrowedFd<'a>,
    opened: bool,
    modes: TerminalModes,
    packet: bool,
    locked: bool,
}

impl<'a> Before<'a> {
    fn of(master: &Master<'a>) -> io::Result<Self> {
        let is = |what| terminal_number(master.fd, what).map(|number| number != 0);
        Ok(Self {
            master: master.fd,
            opened: master.opened,
            modes: terminal_modes(master.fd)?,
            packet: is(TerminalNumber::Packet)?,
            locked: is(TerminalNumber::Locked)?,
        })
    }

    /// Takes all and puts it back; whether it was all.
    fn take(&self, queues: &mut Queues) -> io::Result<bool> {
        queues.lines.clear();
        queues.input.clear();
        queues.output.clear();
        queues.stopped = Stopped::No;
        let mut slave = self.opened.then(|| self.slave()).transpose()?;
        let packet = |is| set_terminal(self.master, TerminalSetting::Packet(is));
        // Every read of its master would begin with a byte more.
        self.packet.then(|| packet(false)).transpose()?;
        let taken = self.read(slave.as_ref(), queues);
        if slave.is_none() && queues.output.len() > ROOM {
            slave = Some(self.slave()?);
        }
        // Also where it could not be read to the end.
        let back = self.put_back(slave.as_ref(), queues, &taken);
        let modes = set_terminal_modes(self.master, &self.modes);
        let packet = self.packet.then(|| packet(true)).transpose().map(drop);
        back.and(modes).and(packet).and(taken)
    }

    /// A description of our own of the slave.
    fn slave(&self) -> io::Result<OwnedFd> {
        let lock = |is| set_terminal(self.master, TerminalSetting::Locked(is));
        self.locked.then(|| lock(false)).transpose()?;
        let slave = open_slave(self.master, libc::O_RDWR | libc::O_NONBLOCK);
        self.locked.then(|| lock(true)).transpose()?;
        slave
    }

    /// Reads both queues; whether all of the input was processed.
    fn read(&self, slave: Option<&OwnedFd>, queues: &mut Queues) -> io::Result<bool> {
        all(self.master, &mut queues.output)?;
        let Some(slave) = slave.map(AsFd::as_fd) else { return Ok(true) };
        queues.stopped = stopped(slave)?;
        let canonical = is_canonical(&self.modes);
        let at_first = arrived(slave)?;
        // What a key has stopped goes on without IXON, and what has not been processed yet may have keys in it that have done
        // their work already.
        let mut inside = plain(&self.modes);
        for key in [libc::VSTART, libc::VSTOP] {
            inside.characters[key] = self.modes.characters[key];
        }
        if canonical || at_first > 0 {
            set_terminal_modes(self.master, &inside)?;
        }
        let mut places = 0;
        if canonical {
            while ready(slave, PollFlags::POLLIN)? {
                let from = queues.input.len();
                some(slave, &mut queues.input)?;
                let line = &queues.input[from..];
                places += line.len() + usize::from(line.last() != Some(&b'\n'));
                queues.lines.push(line.len() as u32);
            }
            // Only now: where lines are left their ends would be forgotten.
            inside.flags[3] &= !libc::ICANON;
            set_terminal_modes(self.master, &inside)?;
        }
        let from = queues.input.len();
        all(slave, &mut queues.input)?;
        places += queues.input.len() - from;
        // A line that VEOL has ended takes no place more than it has bytes.
        let most = if canonical { ROOM + queues.lines.len() } else { at_first };
        Ok(places <= most && queues.input.len() <= ROOM)
    }

    fn put_back(
        &self,
        slave: Option<&OwnedFd>,
        queues: &Queues,
        taken: &io::Result<bool>,
    ) -> io::Result<()> {
        let slave = slave.map(AsFd::as_fd);
        let all = queues.queued();
        if *taken.as_ref().unwrap_or(&false) {
            let untouched = !is_canonical(&self.modes) && *queues == Queues::default();
            return if untouched { Ok(()) } else { fill(self.master, slave, &self.modes, &all) };
        }
        // What was not processed waits for that again, behind what fits.
        let (lines, input) = fitting(queues, is_canonical(&self.modes));
        let fits = Queued { lines: &all.lines[..lines], input: &all.input[..input], ..all };
        fill(self.master, slave, &self.modes, &fits)?;
        // There was room for all of it, but a child that waits for some would never end.
        let flags = OFlag::from_bits_retain(fcntl(self.master, FcntlArg::F_GETFL)?);
        fcntl(self.master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let written = write_waiting(self.master, &all.input[input..]);
        fcntl(self.master, FcntlArg::F_SETFL(flags))?;
        written
    }
}

/// How many complete lines, and how many bytes, surely fit.
fn fitting(queues: &Queues, canonical: bool) -> (usize, usize) {
    if !canonical {
        return (0, queues.input.len().min(ROOM));
    }
    let (mut places, mut bytes) = (0, 0);
    for (at, &line) in queues.lines.iter().enumerate() {
        // Each may have an end that is not read.
        places += line as usize + 1;
        if places > ROOM {
            return (at, bytes);
        }
        bytes += line as usize;
    }
    (queues.lines.len(), queues.input.len().min(bytes + ROOM - places))
}

/// What arrives within a moment, and then no more: FIONREAD when it no longer grows.
fn arrived(slave: BorrowedFd<'_>) -> io::Result<usize> {
    // This waits for what is on its way where there is nothing yet.
    ready(slave, PollFlags::POLLIN)?;
    let readable = || terminal_number(slave, TerminalNumber::Readable).map(|bytes| bytes as usize);
    let mut before = 0;
    loop {
        let now = readable()?;
        if now == before {
            return Ok(now);
        }
        before = now;
        std::thread::sleep(ARRIVAL);
    }
}

/// Why nothing can be written, now that nothing waits to be read.
fn stopped(slave: BorrowedFd<'_>) -> io::Result<Stopped> {
    if ready(slave, PollFlags::POLLOUT)? {
        return Ok(Stopped::No);
    }
    set_terminal(slave, TerminalSetting::Flow(libc::TCOON))?;
    if !ready(slave, PollFlags::POLLOUT)? {
        return Ok(Stopped::Key);
    }
    set_terminal(slave, TerminalSetting::Flow(libc::TCOOFF))?;
    Ok(Stopped::Call)
}

/// Reads all that can be had without waiting.
fn all(fd: BorrowedFd<'_>, to: &mut Vec<u8>) -> io::Result<()> {
    while ready(fd, PollFlags::POLLIN)? {
        some(fd, to)?;
    }
    Ok(())
}

fn some(fd: BorrowedFd<'_>, to: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    let read = nix::unistd::read(fd, &mut chunk)?;
    to.extend_from_slice(&chunk[..read]);
    Ok(())
}

/// To the parent: five numbers, then what they count.
fn write(to: &mut File, all: bool, queues: &Queues) -> io::Result<()> {
    let Queues { lines, input, output, stopped } = queues;
    let counts = [lines.len(), input.len(), output.len()].map(|count| count as u32);
    for number in [u32::from(all), *stopped as u32].iter().chain(&counts).chain(lines) {
        to.write_all(&number.to_ne_bytes())?;
    }
    to.write_all(input)?;
    to.write_all(output)
}

fn read(from: &mut File) -> io::Result<Taken> {
    let mut number = || {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).map(|()| u32::from_ne_bytes(bytes))
    };
    let [all, stopped] = [number()?, number()?];
    let [lines, input, output] = [number()?, number()?, number()?];
    let lines = (0..lines).map(|_| number()).collect::<io::Result<_>>()?;
    let [mut input, mut output] = [input, output].map(|length| vec![0; length as usize]);
    from.read_exact(&mut input)?;
    from.read_exact(&mut output)?;
    let stopped = match stopped {
        0 => Stopped::No,
        1 => Stopped::Key,
        _ => Stopped::Call,
    };
    let queues = Queues { lines, input, output, stopped };
    Ok(if all == 0 { Taken::Unprocessed } else { Taken::Queues(queues) })
}
