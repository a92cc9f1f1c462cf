//! The network namespace that tables are made in.

use crate::{Connection, message::answers, table};
use floe_sys::{Error, Result, network_namespace, set_socket_option};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use nix::{
    sched::{CloneFlags, setns},
    sys::stat::{fstat, stat},
};
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    os::fd::{AsFd, BorrowedFd},
};

/// More than the kernel answers at once: it repeats a message that it refuses.
const ROOM: usize = 128 << 10;

/// The network namespace of a socket, where tables can be made.
#[derive(Debug)]
pub struct Network {
    socket: Socket,
}

impl Network {
    /// Of the calling thread.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn here() -> Result<Self> {
        let socket = Socket::new(NETLINK_NETFILTER);
        Ok(Self { socket: socket.map_err(|e| Error::new("make a netlink socket", e))? })
    }

    /// That of a socket.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN in it, or where it is another one than that of the calling thread and cannot be entered.
    pub fn of(socket: BorrowedFd<'_>) -> Result<Self> {
        let (space, doing) =
            (network_namespace(socket)?, "enter the network namespace of a socket");
        let fail = |e: nix::Error| Error::new(doing, e);
        let own = stat("/proc/thread-self/ns/net").map_err(fail)?.st_ino;
        if fstat(&space).map_err(fail)?.st_ino == own {
            return Self::here();
        }
        floe_sys::apart(doing, || {
            setns(&space, CloneFlags::CLONE_NEWNET).map_err(fail)?;
            Self::here()
        })
    }

    /// Keeps the network away from these connections until the result is dropped, or the process ends.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN; others where the kernel has no nf_tables, or no tables that end with their process
    /// (before Linux 5.12).
    pub fn hold(self, id: u64, connections: &BTreeSet<Connection>) -> Result<Held> {
        self.transact(&table::make(&table::held_name(id), true, connections), "lock the network")?;
        Ok(Held { network: self, id, locked: true })
    }

    /// Keeps what has our mark away from connection tracking and NAT until the result is dropped, or the process ends.
    ///
    /// # Errors
    /// As [`Network::hold`], and where the kernel cannot say so (CONFIG_NFT_CT).
    pub fn untrack(self, id: u64) -> Result<Held> {
        self.transact(&table::untrack(&table::held_name(id)), "keep NAT from own datagrams")?;
        Ok(Held { network: self, id, locked: true })
    }

    /// Keeps the network away from them until somebody unlocks it, see [`Held::unlock`].
    ///
    /// # Errors
    /// As [`Network::hold`]; EEXIST where there is such a table.
    pub fn leave(&self, id: u64, connections: &BTreeSet<Connection>) -> Result<()> {
        let made = table::make(&table::left_name(id), false, connections);
        self.transact(&made, "leave the network locked")
    }

    /// The message that removes a table that was left, when it is written to [`Network::socket`].
    pub fn removal(id: u64) -> Vec<u8> {
        table::delete(&[table::left_name(id)]).0
    }

    /// The netlink socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends a transaction and reads what has come of it: all answers are there when send(2) returns.
    fn transact(&self, (message, last): &(Vec<u8>, u32), doing: &str) -> Result<()> {
        let fail = |e: std::io::Error| Error::new(doing, e);
        let size = i32::try_from(2 * message.len()).unwrap_or(i32::MAX).max(1 << 16);
        // Without the right to it the kernel says more below.
        let _ = set_socket_option(
            self.socket(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            &size.to_ne_bytes(),
        );
        self.socket.send(message, 0).map_err(fail)?;
        let (mut buffer, mut done, mut refused) = (Vec::with_capacity(ROOM), false, None);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(0) => break,
                Ok(_) => {
                    for (number, code) in answers(&buffer) {
                        done |= number == *last && code == 0;
                        // What is refused behind the first one follows from it.
                        refused = refused.or(Some(code).filter(|code| *code != 0));
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(fail(e)),
            }
        }
        match refused {
            Some(code) => Err(fail(std::io::Error::from_raw_os_error(code))),
            None if done => Ok(()),
            None => Err(Error::because(doing, "the kernel has not answered")),
        }
    }
}

/// A table that ends with its process: connections that the network is kept away from, or what has our mark.
#[derive(Debug)]
pub struct Held {
    network: Network,
    id: u64,
    locked: bool,
}

impl Held {
    /// Where it is.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Gives the network back at once, and with it that of a table that was left, where there still is one. That this is dropped
    /// later takes the kernel some 15 ms: it waits until nobody can be using tables of ours.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN; then nothing has changed.
    pub fn unlock(&mut self, left: Option<u64>) -> Result<()> {
        let remove = |left| self.network.transact(&self.tables(left), "unlock the network");
        match (remove(left), left) {
            (Err(e), Some(_)) if e.errno() == Some(libc::ENOENT) => remove(None)?,
            (done, _) => done?,
        }
        self.locked = false;
        Ok(())
    }

    /// The message that unlocks the network like [`Held::unlock`], when it is written to [`Network::socket`]. Where one of the
    /// tables is not there it does nothing.
    pub fn removal(&self, left: Option<u64>) -> Vec<u8> {
        self.tables(left).0
    }

    fn tables(&self, left: Option<u64>) -> (Vec<u8>, u32) {
        let names = left.map(table::left_name).into_iter().chain([table::held_name(self.id)]);
        table::delete(&names.collect::<Vec<_>>())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.locked {
            // Children may have the socket too. Where it fails, the last of them that closes it ends the table.
            let _ = self.unlock(None);
        }
    }
}
