//! Terminals (ioctl_tty(2), TIOCPKT and the like).

use crate::{Error, Result, check, descriptors::made};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// `struct termios2` of include/uapi/asm-generic/termbits.h.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TerminalModes {
    /// `c_iflag`, `c_oflag`, `c_cflag`, `c_lflag`.
    pub flags: [u32; 4],
    /// `c_line`.
    pub line: u8,
    /// `c_cc`.
    pub characters: [u8; 19],
    /// `c_ispeed`, `c_ospeed`, baud.
    pub speeds: [u32; 2],
}

/// A question that the kernel answers with one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TerminalNumber {
    /// The index of a pseudo terminal, of its master (TIOCGPTN).
    Index,
    /// `st_rdev` of what /dev/tty stands for, of a master that of its slave (TIOCGDEV), as makedev(3) of the kernel packs it.
    Device,
    /// The line discipline (TIOCGETD).
    Discipline,
    /// Bytes that can be read (FIONREAD).
    Readable,
    /// Whether the slave of a master may not be opened (TIOCGPTLCK).
    Locked,
    /// Whether it may not be opened again (TIOCGEXCL).
    Exclusive,
    /// Whether a master is in packet mode (TIOCGPKT).
    Packet,
    /// The session whose controlling terminal it is, asked of a master; ENOTTY where there is none (TIOCGSID).
    Session,
    /// The process group in the foreground, asked of a master; 0 where there is none (TIOCGPGRP).
    Foreground,
}

/// Something that is set by one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TerminalSetting {
    /// Whether the slave of a master may not be opened (TIOCSPTLCK).
    Locked(bool),
    /// Packet mode of a master (TIOCPKT).
    Packet(bool),
    /// It may not be opened again (TIOCEXCL).
    Exclusive,
    /// Stops or continues its output: TCOOFF, TCOON (TCXONC).
    Flow(i32),
}

/// TIOCGDEV, TIOCGPTLCK, TIOCGPKT, TIOCGEXCL, TIOCGPTPEER of include/uapi/asm-generic/ioctls.h.
const GDEV: u64 = 0x8004_5432;
const GPTLCK: u64 = 0x8004_5439;
const GPKT: u64 = 0x8004_5438;
const GEXCL: u64 = 0x8004_5440;
const GPTPEER: u64 = 0x5441;
/// TIOCGLCKTRMIOS.
const GLCKTRMIOS: u64 = 0x5456;
/// `struct termios` of include/uapi/asm-generic/termbits.h.
const TERMIOS: usize = 36;

/// Asks for a number.
///
/// # Errors
/// Those of ioctl(2).
pub fn terminal_number(fd: BorrowedFd<'_>, what: TerminalNumber) -> io::Result<i32> {
    let request = match what {
        TerminalNumber::Index => libc::TIOCGPTN,
        TerminalNumber::Device => GDEV,
        TerminalNumber::Discipline => libc::TIOCGETD,
        TerminalNumber::Readable => libc::FIONREAD,
        TerminalNumber::Locked => GPTLCK,
        TerminalNumber::Exclusive => GEXCL,
        TerminalNumber::Packet => GPKT,
        TerminalNumber::Session => libc::TIOCGSID,
        TerminalNumber::Foreground => libc::TIOCGPGRP,
    };
    let mut number = 0i32;
    // SAFETY: all of these write one 32-bit number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut number) }.into())?;
    Ok(number)
}

/// Sets something.
///
/// # Errors
/// Those of ioctl(2).
pub fn set_terminal(fd: BorrowedFd<'_>, what: TerminalSetting) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    let number = |is: bool| i32::from(is);
    // SAFETY: the first two read one 32-bit number, the others take theirs as it is.
    check(unsafe {
        match what {
            TerminalSetting::Locked(is) => libc::ioctl(fd, libc::TIOCSPTLCK, &number(is)),
            TerminalSetting::Packet(is) => libc::ioctl(fd, libc::TIOCPKT, &number(is)),
            TerminalSetting::Exclusive => libc::ioctl(fd, libc::TIOCEXCL),
            TerminalSetting::Flow(action) => libc::ioctl(fd, libc::TCXONC, action),
        }
        .into()
    })
    .map(drop)
}

/// TCGETS2; of a master those of its slave.
///
/// # Errors
/// Those of ioctl(2): EIO of a terminal that has hung up.
pub fn terminal_modes(fd: BorrowedFd<'_>) -> io::Result<TerminalModes> {
    let mut modes = TerminalModes::default();
    // SAFETY: the kernel writes a structure of this shape.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TCGETS2, &raw mut modes) }.into())?;
    Ok(modes)
}

/// TCSETS2, at once and without losing what is queued.
///
/// # Errors
/// Those of ioctl(2).
pub fn set_terminal_modes(fd: BorrowedFd<'_>, modes: &TerminalModes) -> io::Result<()> {
    // SAFETY: the kernel reads a structure of this shape.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TCSETS2, &raw const *modes) }.into()).map(drop)
}

/// Whether modes of a terminal are locked (TIOCGLCKTRMIOS): then a change of them is left undone without a word.
///
/// # Errors
/// Those of ioctl(2).
pub fn has_locked_modes(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut locked = [0u8; TERMIOS];
    // SAFETY: the kernel writes a structure of this size.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), GLCKTRMIOS, locked.as_mut_ptr()) }.into())?;
    Ok(locked.iter().any(|byte| *byte != 0))
}

/// TIOCGWINSZ: rows, columns, width and height in pixels.
///
/// # Errors
/// Those of ioctl(2).
pub fn window_size(fd: BorrowedFd<'_>) -> io::Result<[u16; 4]> {
    let mut size = [0u16; 4];
    // SAFETY: `struct winsize` is four 16-bit numbers.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) }.into())?;
    Ok(size)
}

/// TIOCSWINSZ. The process group in the foreground gets SIGWINCH where that changes anything.
///
/// # Errors
/// Those of ioctl(2).
pub fn set_window_size(fd: BorrowedFd<'_>, size: [u16; 4]) -> io::Result<()> {
    // SAFETY: `struct winsize` is four 16-bit numbers.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, size.as_ptr()) }.into()).map(drop)
}

/// Has the line discipline of this end receive a byte (TIOCSTI), before the call returns and without a way through the other end.
///
/// # Errors
/// Those of ioctl(2): from Linux 6.2 on, EIO without CAP_SYS_ADMIN where dev.tty.legacy_tiocsti is 0.
pub fn terminal_receives(fd: BorrowedFd<'_>, byte: u8) -> io::Result<()> {
    // SAFETY: the kernel reads one byte.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSTI, &raw const byte) }.into()).map(drop)
}

/// Whether [`terminal_receives`] is allowed: asked with a pointer to nothing, which the kernel looks at behind our rights.
pub fn may_receive(fd: BorrowedFd<'_>) -> bool {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: the kernel reads no memory at this address, and says so.
    let asked = check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSTI, nothing) }.into());
    asked.is_err_and(|e| e.raw_os_error() == Some(libc::EFAULT))
}

/// Opens the slave of a master (TIOCGPTPEER), with flags of open(2); close-on-exec.
///
/// # Errors
/// Those of open(2): EIO of a slave that is locked.
pub fn open_slave(master: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
    // The kernel would keep O_CLOEXEC among the flags of the description.
    let flags = (flags | libc::O_NOCTTY) & !libc::O_CLOEXEC;
    // SAFETY: the argument is a number.
    let slave = made(unsafe { libc::ioctl(master.as_raw_fd(), GPTPEER, flags) }.into())?;
    nix::fcntl::fcntl(&slave, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(slave)
}

/// Opens `path`, which is /dev/tty, while `slave` is the controlling terminal: in a child that shares our descriptors, leads a
/// session for that moment, and has left it when this returns. The terminal must be that of no session.
///
/// # Errors
/// Those of fork(2), setsid(2), ioctl(2) and open(2).
pub fn open_controlling(
    slave: BorrowedFd<'_>,
    path: &std::ffi::CStr,
    flags: i32,
) -> Result<OwnedFd> {
    let fail = |e: io::Error| Error::new("open /dev/tty in a session of its own", e);
    let (hear, say) = io::pipe().map_err(fail)?;
    let flags = flags | libc::O_NOCTTY | libc::O_CLOEXEC;
    let pid = crate::clone::without_signals(|| {
        // SAFETY: fork(2), but for the table of descriptors.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0)
        };
        if pid == 0 {
            // SAFETY: the child has a copy of our memory, and calls nothing but the kernel.
            unsafe {
                let mut opened = -1i32;
                libc::setsid();
                if libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) == 0 {
                    opened = libc::open(path.as_ptr(), flags);
                    // All signals are blocked: the SIGHUP of this ends nobody.
                    libc::ioctl(slave.as_raw_fd(), libc::TIOCNOTTY);
                }
                let answer = [opened, *libc::__errno_location()];
                libc::write(say.as_raw_fd(), answer.as_ptr().cast(), size_of_val(&answer));
                libc::_exit(0)
            }
        }
        check(pid)
    })
    .map_err(fail)?;
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None)
        .map_err(|e| fail(e.into()))?;
    drop(say);
    let mut answer = [0u8; 8];
    io::Read::read_exact(&mut { hear }, &mut answer).map_err(fail)?;
    let [opened, errno] =
        [&answer[..4], &answer[4..]].map(|half| half.try_into().map_or(-1, i32::from_ne_bytes));
    if opened < 0 {
        return Err(fail(io::Error::from_raw_os_error(errno)));
    }
    made(opened.into()).map_err(fail)
}

/// Does something in a child that lives on when we are killed, and waits until it is done; gives what the child makes of it. The
/// child is in a session of its own and blocks all signals that can be blocked.
///
/// `work` runs behind a fork: it must not allocate, and call nothing but the kernel.
///
/// # Errors
/// Those of fork(2) and waitpid(2), and where the child was killed.
pub fn in_survivor(work: impl FnOnce() -> u8) -> Result<u8> {
    let fail = |e: io::Error| Error::new("work in a child", e);
    let pid = crate::clone::without_signals(|| {
        // SAFETY: the child has a copy of our memory, and calls nothing but the kernel.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            crate::watcher::leave_group();
            let code = work();
            // SAFETY: it does not return.
            unsafe { libc::_exit(code.into()) }
        }
        check(pid.into())
    })
    .map_err(fail)?;
    use nix::sys::wait::{WaitStatus, waitpid};
    match waitpid(nix::unistd::Pid::from_raw(pid as i32), None).map_err(|e| fail(e.into()))? {
        WaitStatus::Exited(_, code) => Ok(code as u8),
        other => Err(Error::because("work in a child", format!("it ended: {other:?}"))),
    }
}
