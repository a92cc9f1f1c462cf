//! What is queued in pseudo terminals is taken, is there again, and is put into others.

use floe_pty::{Master, Queues, Stopped, Taken, fill, take};
use floe_sys::{
    TerminalModes, TerminalNumber, TerminalSetting, may_receive, open_slave, set_terminal,
    set_terminal_modes, terminal_modes, terminal_number,
};
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{read, write},
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

struct Pair {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Pair {
    /// `None`, and a word about it, where TIOCSTI is not allowed.
    fn new(change: impl FnOnce(&mut TerminalModes)) -> Option<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let master = nix::fcntl::open("/dev/ptmx", flags, nix::sys::stat::Mode::empty()).unwrap();
        set_terminal(master.as_fd(), TerminalSetting::Locked(false)).unwrap();
        let slave = open_slave(master.as_fd(), libc::O_RDWR | libc::O_NONBLOCK).unwrap();
        let mut modes = terminal_modes(slave.as_fd()).unwrap();
        change(&mut modes);
        set_terminal_modes(slave.as_fd(), &modes).unwrap();
        if !may_receive(master.as_fd()) {
            eprintln!("SKIPPED: TIOCSTI is not allowed");
            return None;
        }
        Some(Self { master, slave })
    }

    fn types(&self, bytes: &[u8]) {
        assert_eq!(write(&self.master, bytes).unwrap(), bytes.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    fn take(&self) -> Taken {
        let all = take(&[Master { fd: self.master.as_fd(), opened: true }]).unwrap();
        assert_eq!(all.len(), 1);
        all.into_iter().next().unwrap()
    }

    /// Takes it twice, and puts it into another one.
    fn kept(&self) -> (Queues, Self) {
        let Taken::Queues(first) = self.take() else { panic!("not all of it") };
        assert_eq!(self.take(), Taken::Queues(first.clone()), "it is there again");
        let other = Self::new(|_| {}).unwrap();
        let modes = terminal_modes(self.slave.as_fd()).unwrap();
        fill(other.master.as_fd(), Some(other.slave.as_fd()), &modes, &first.queued()).unwrap();
        assert_eq!(terminal_modes(other.slave.as_fd()).unwrap(), modes);
        assert_eq!(other.take(), Taken::Queues(first.clone()), "it is in the other one");
        (first, other)
    }
}

fn raw(modes: &mut TerminalModes) {
    modes.flags = [0, 0, modes.flags[2], 0];
}

/// What read(2) gives, call by call.
fn reads(fd: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap();
        if !polled[0].revents().unwrap().contains(PollFlags::POLLIN) {
            return all;
        }
        let mut bytes = vec![0; 70_000];
        let length = read(fd, &mut bytes).unwrap();
        bytes.truncate(length);
        all.push(bytes);
    }
}

/// Writes as much as there is room for.
fn writes(pair: &Pair, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Ok(some) = write(&pair.slave, &bytes[written..]) {
        written += some;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    written
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let random = std::fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut { random }, &mut bytes).unwrap();
    bytes
}

#[test]
fn raw_bytes_of_both_ways() {
    let Some(pair) = Pair::new(raw) else { return };
    let (input, mut output) = (random(4095), random(20_000));
    pair.types(&input);
    let written = writes(&pair, &output);
    assert!(written > 4500, "{written}");
    output.truncate(written);
    let (queues, other) = pair.kept();
    assert_eq!((&queues.input, &queues.output), (&input, &output));
    for pair in [&pair, &other] {
        assert_eq!(reads(pair.slave.as_fd()).concat(), input);
        assert_eq!(reads(pair.master.as_fd()).concat(), output);
    }
}

#[test]
fn lines_keep_their_ends() {
    let Some(pair) = Pair::new(|modes| {
        modes.flags[3] &= !libc::ECHO;
        modes.characters[libc::VEOL] = b';';
    }) else {
        return;
    };
    // Newline, another end of a line, end of file behind bytes and alone, quoted keys, an unfinished line.
    pair.types(b"one\ntwo;three\x04\x04fo\x16\x03u\x16\x04r\x16\n\x16;\x16\x16\xff\x16\0\nunfin\x16\nished");
    let (queues, other) = pair.kept();
    assert_eq!(queues.lines, [4, 4, 5, 0, 12]);
    for pair in [&pair, &other] {
        let lines = ["one\n", "two;", "three", "", "fo\x03u\x04r\n;\x16"].map(str::as_bytes);
        let found = reads(pair.slave.as_fd());
        assert_eq!(found[..4], lines[..4]);
        assert_eq!(found[4], [lines[4], b"\xff\0\n"].concat());
        pair.types(b"!\n");
        assert_eq!(reads(pair.slave.as_fd()), [b"unfin\nished!\n"]);
    }
}

#[test]
fn an_unfinished_line_can_still_be_edited() {
    let Some(pair) = Pair::new(|_| {}) else { return };
    pair.types(b"abc");
    let (queues, other) = pair.kept();
    assert_eq!((&queues.input[..], &queues.output[..]), (&b"abc"[..], &b"abc"[..]));
    for pair in [&pair, &other] {
        pair.types(b"\x7f\x7fd\n");
        assert_eq!(reads(pair.slave.as_fd()), [b"ad\n"]);
    }
}

#[test]
fn output_that_is_stopped() {
    for (by, stop) in [(Stopped::Key, true), (Stopped::Call, false)] {
        let Some(pair) = Pair::new(|_| {}) else { return };
        let written = writes(&pair, &[b'x'; 20_000]);
        if stop {
            pair.types(b"\x13");
        } else {
            set_terminal(pair.slave.as_fd(), TerminalSetting::Flow(libc::TCOOFF)).unwrap();
        }
        let (queues, other) = pair.kept();
        assert_eq!((queues.stopped, queues.output.len()), (by, written));
        for pair in [&pair, &other] {
            assert_eq!(reads(pair.master.as_fd()).concat().len(), written);
            assert_eq!(write(&pair.slave, b"y"), Err(nix::Error::EAGAIN));
            if stop {
                pair.types(b"\x11");
            } else {
                set_terminal(pair.slave.as_fd(), TerminalSetting::Flow(libc::TCOON)).unwrap();
            }
            write(&pair.slave, b"y").unwrap();
            assert_eq!(reads(pair.master.as_fd()), [b"y"]);
        }
    }
}

#[test]
fn more_than_has_been_processed_is_said_and_left() {
    for change in [raw as fn(&mut TerminalModes), |modes| modes.flags[3] &= !libc::ECHO] {
        let Some(pair) = Pair::new(change) else { return };
        let typed: Vec<u8> =
            (0..9_000).map(|at| if at % 50 == 49 { b'\n' } else { b'a' }).collect();
        typed.chunks(1000).for_each(|some| pair.types(some));
        assert_eq!(pair.take(), Taken::Unprocessed);
        let mut read = Vec::new();
        while read.len() < typed.len() {
            let some = reads(pair.slave.as_fd()).concat();
            assert!(!some.is_empty(), "only {} bytes", read.len());
            read.extend(some);
        }
        assert_eq!(read, typed);
    }
}

#[test]
fn packets_and_locks_are_kept() {
    let Some(pair) = Pair::new(raw) else { return };
    let master = pair.master.as_fd();
    write(&pair.slave, b"out").unwrap();
    set_terminal(master, TerminalSetting::Packet(true)).unwrap();
    set_terminal(master, TerminalSetting::Locked(true)).unwrap();
    let Taken::Queues(queues) = pair.take() else { panic!("not all of it") };
    assert_eq!(queues.output, b"out");
    for what in [TerminalNumber::Packet, TerminalNumber::Locked] {
        assert_eq!(terminal_number(master, what).unwrap(), 1);
    }
    assert_eq!(reads(master), [b"\0out"]);
}

#[test]
fn a_slave_that_was_never_opened_stays_so() {
    let Some(pair) = Pair::new(|_| {}) else { return };
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fresh = nix::fcntl::open("/dev/ptmx", flags, nix::sys::stat::Mode::empty()).unwrap();
    write(&fresh, b"early").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let found = take(&[Master { fd: fresh.as_fd(), opened: false }]).unwrap();
    assert!(matches!(&found[0], Taken::Queues(queues) if queues.output == b"early"));
    let mut polled = [PollFd::new(fresh.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).unwrap();
    assert_eq!(polled[0].revents(), Some(PollFlags::POLLIN), "no hang-up");
    drop(pair);
}
