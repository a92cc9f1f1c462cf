//! Connections in repair mode (TCP_REPAIR of linux/tcp.h), in which the kernel shows and takes the state of a TCP socket, and
//! closes it without a word to the peer. A socket that its process still has must not stay so: it can neither send nor receive.

use crate::{
    Error, Result, check, peek_offset, set_socket_option, socket_option,
    watcher::{Watcher, close_others, leave_group},
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Repair mode of a TCP socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    /// It begins. The kernel sets SO_REUSEADDR, so that any port can be bound.
    On,
    /// It ends, if it has not ended yet, and the peer of an established connection is asked for a sign of life. SO_REUSEADDR is cleared.
    Off,
    /// It ends without a word; SO_REUSEADDR is cleared.
    Silent,
}

/// Sets the repair mode.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in the network namespace of the socket, or of one that listens.
pub fn set_repair(fd: BorrowedFd<'_>, mode: Repair) -> Result<()> {
    let value: i32 = match mode {
        Repair::On => 1,
        Repair::Off => 0,
        Repair::Silent => SILENT,
    };
    set_socket_option(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, &value.to_ne_bytes())
}

/// TCP_REPAIR_OFF_NO_WP.
const SILENT: i32 = -1;

/// Bytes of a TCP connection that have not been sent for the first time yet, with its end where that has not (SIOCOUTQNSD of
/// linux/sockios.h).
pub fn never_sent(fd: BorrowedFd<'_>) -> Result<usize> {
    const SIOCOUTQNSD: u64 = 0x894b;
    let mut unsent = 0i32;
    // SAFETY: it writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCOUTQNSD as _, &mut unsent) } as i64)
        .map_err(|e| Error::new("ask what is not sent", e))?;
    Ok(unsent as usize)
}

/// What gives connections that were made in repair mode the network back.
#[derive(Debug, Default)]
pub struct Reconnection<'a> {
    /// Netlink sockets, each with the message by which it unlocks its network.
    pub unlock: Vec<(BorrowedFd<'a>, Vec<u8>)>,
    /// The connections, with the SO_REUSEADDR that they are to have.
    pub sockets: Vec<(BorrowedFd<'a>, i32)>,
}

impl Reconnection<'_> {
    pub(crate) fn fds(&self) -> impl Iterator<Item = RawFd> {
        let unlock = self.unlock.iter().map(|(fd, _)| fd.as_raw_fd());
        unlock.chain(self.sockets.iter().map(|(fd, _)| fd.as_raw_fd()))
    }

    /// Has them end without a word to their peers when they are closed. Calls nothing but the kernel: it runs behind a fork.
    pub(crate) fn silence(&self) {
        for (fd, _) in &self.sockets {
            set(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, 1);
        }
    }

    /// Calls nothing but the kernel: it runs behind a fork. What is done already is harmless.
    pub(crate) fn finish(&self) {
        for (fd, message) in &self.unlock {
            tell(*fd, message);
        }
        for (fd, reuse) in &self.sockets {
            set(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, 0);
            set(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, *reuse);
        }
    }
}

fn tell(fd: BorrowedFd<'_>, message: &[u8]) {
    // SAFETY: the kernel reads bytes of ours.
    unsafe { libc::write(fd.as_raw_fd(), message.as_ptr().cast(), message.len()) };
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) {
    let at = std::ptr::from_ref(&value).cast();
    // SAFETY: the kernel reads a number of ours.
    unsafe { libc::setsockopt(fd, level, name, at, size_of::<i32>() as u32) };
}

/// What repair mode changes of a socket.
struct Before {
    fd: OwnedFd,
    /// SO_REUSEADDR.
    reuse: i32,
    /// SO_PEEK_OFF; negative where it has none.
    peek: i32,
}

/// Sockets of others that may be in repair mode until this is dropped.
///
/// A child, which has the sockets too, ends their repair mode then, or when we die; but see [`Repairs::turn`].
#[derive(Debug)]
pub struct Repairs {
    watcher: Watcher,
    sockets: Vec<Before>,
}

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fd.fmt(f)
    }
}

impl Repairs {
    /// Watches over these sockets, none of which is in repair mode yet. `first` is a message that the child sends first, through
    /// this socket; `dying` a handle of the process that [`Repairs::turn`] speaks of.
    ///
    /// # Errors
    /// Those of getsockopt(2), pipe(2) and fork(2).
    pub fn watch(
        sockets: Vec<OwnedFd>,
        first: Option<(BorrowedFd<'_>, &[u8])>,
        dying: Option<BorrowedFd<'_>>,
    ) -> Result<Self> {
        let before = |fd: OwnedFd| {
            let reuse = socket_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 4)?;
            let reuse = reuse.try_into().map_or(0, i32::from_ne_bytes);
            // TCP has none before Linux 6.10.
            let peek = peek_offset(fd.as_fd()).unwrap_or(-1);
            Ok(Before { fd, reuse, peek })
        };
        let sockets = sockets.into_iter().map(before).collect::<Result<Vec<_>>>()?;
        let dying = dying.map(|process| process.as_raw_fd());
        let mut kept: Vec<RawFd> = Vec::with_capacity(sockets.len() + 4);
        kept.extend(sockets.iter().map(|it| it.fd.as_raw_fd()));
        kept.extend(first.map(|(fd, _)| fd.as_raw_fd()).into_iter().chain(dying));
        // Who lets the processes run when our standard input is closed does so behind the end of repair mode.
        kept.push(libc::STDIN_FILENO);
        let begin = |hear| {
            leave_group();
            kept.push(hear);
            close_others(&mut kept);
        };
        let last = |turned| {
            if turned && dying.is_some_and(ends) {
                return sockets.iter().for_each(silence);
            }
            if let Some((fd, message)) = first {
                tell(fd, message);
            }
            sockets.iter().for_each(end);
        };
        let watcher = Watcher::start_in_two(begin, last)
            .map_err(|e| Error::new("start a process that watches over connections", e))?;
        Ok(Self { watcher, sockets })
    }

    /// The sockets.
    pub fn sockets(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|it| it.fd.as_fd())
    }

    /// From now on a process may die with us, and all others that have the sockets: then the child puts them into repair mode and
    /// closes them so.
    ///
    /// # Errors
    /// EPIPE where the child has been killed.
    pub fn turn(&self) -> Result<()> {
        let fail = |e| Error::new("tell a process that watches over connections of their end", e);
        self.watcher.turn().map_err(fail)
    }

    /// Puts one of them into repair mode.
    ///
    /// # Errors
    /// Those of [`set_repair`].
    pub fn begin(&self, at: usize) -> Result<()> {
        let Some(it) = self.sockets.get(at) else { return Ok(()) };
        set_repair(it.fd.as_fd(), Repair::On)?;
        if it.peek >= 0 {
            let none = (-1i32).to_ne_bytes();
            set_socket_option(it.fd.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, &none)?;
        }
        Ok(())
    }

    /// Ends the repair mode of one of them: it is as it was.
    pub fn end(&self, at: usize) {
        self.sockets.get(at).into_iter().for_each(end);
    }

    /// Closes our descriptors of the sockets; the child keeps its own.
    pub fn close(&mut self) {
        self.sockets.clear();
    }

    /// Ends the child. What is in repair mode stays so.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn dismiss(self) -> Result<()> {
        let fail = |e| Error::new("dismiss a process that watches over connections", e);
        self.watcher.dismiss().map_err(fail)
    }
}

/// Whether a process ends within two seconds.
fn ends(process: RawFd) -> bool {
    let mut wanted = libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 };
    // SAFETY: the kernel writes to one structure of ours.
    unsafe { libc::poll(&raw mut wanted, 1, 2000) == 1 }
}

/// Calls nothing but the kernel: it runs behind a fork.
fn silence(it: &Before) {
    set(it.fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, 1);
}

/// Calls nothing but the kernel: it runs behind a fork, too.
fn end(it: &Before) {
    let fd = it.fd.as_raw_fd();
    set(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, SILENT);
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, it.reuse);
    if it.peek >= 0 {
        set(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, it.peek);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> i32 {
        i32::from_ne_bytes(socket_option(fd, level, name, 4).unwrap().try_into().unwrap())
    }

    fn state(fd: &dyn AsFd) -> (i32, i32) {
        let reuse = option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR);
        (option(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR), reuse)
    }

    #[test]
    fn whatever_ends_us_ends_repair_mode() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = [state(&client), state(&server)];
        assert_eq!(before, [(0, 0), (0, 1)]);
        let copy = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().unwrap();
        let repairs = Repairs::watch(vec![copy(&client), copy(&server)], None, None).unwrap();
        for at in 0..2 {
            repairs.begin(at).expect("the suite needs root");
        }
        assert_eq!(state(&client).0, 1);
        repairs.end(0);
        assert_eq!(state(&client), before[0]);
        // What the death of this process would do as well.
        drop(repairs);
        assert_eq!([state(&client), state(&server)], before);
        client.write_all(b"x").unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 1);
        let mut repairs = Repairs::watch(vec![copy(&client), copy(&server)], None, None).unwrap();
        repairs.begin(0).unwrap();
        repairs.close();
        repairs.dismiss().unwrap();
        assert_eq!(state(&client).0, 1, "nobody ends it");
    }

    #[test]
    fn what_is_not_sent_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(never_sent(client.as_fd()).unwrap(), 0);
        let on = 1i32.to_ne_bytes();
        set_socket_option(client.as_fd(), libc::IPPROTO_TCP, libc::TCP_CORK, &on).unwrap();
        (&client).write_all(b"seven..").unwrap();
        assert_eq!(never_sent(client.as_fd()).unwrap(), 7);
    }
}
