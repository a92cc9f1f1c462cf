//! What open files are given when all are open, and which of them restore closes before the tree runs.

use crate::{
    factory::Factory,
    object::pty::{self, Made},
    open::high,
};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::sys::stat::SFlag;
use std::{
    collections::BTreeMap,
    fs::File,
    os::fd::{AsFd, OwnedFd},
};

/// What sockets have been given only until all are bound.
pub(crate) fn sockets(tree: &Tree, files: &BTreeMap<FileId, OwnedFd>, no: &mut Vec<Finding>) {
    let tcp = tree.all::<TcpSocket>().iter().map(|tcp| (tcp.file, &tcp.socket));
    // Connections are in repair mode.
    let tcp = tcp.filter(|(_, socket)| !socket.is_connection());
    let udp = tree.all::<UdpSocket>().iter().map(|udp| (udp.file, &udp.socket));
    for (id, socket) in tcp.chain(udp).filter(|(_, socket)| !socket.name.0.is_empty()) {
        if let Some(fd) = files.get(&id)
            && let Err(e) = crate::inet::settle(socket, fd)
        {
            no.push(Finding::about(tree.describe(id), "rebuild.open", e.to_string()));
        }
    }
}

/// Slaves of pseudo terminals go to the numbers that processes find things at, from `base` on; modes that would have been in the
/// way of opening them go on.
pub(crate) fn terminals(
    tree: &Tree,
    ptys: &mut BTreeMap<ObjectId, Made>,
    base: u32,
    no: &mut Vec<Finding>,
) {
    for (id, made) in ptys {
        let Some(pty) = tree.get::<Pty>(*id) else { continue };
        let slave = made.slave.take().map(|slave| high(base, slave)).transpose();
        let settled = slave.and_then(|slave| {
            made.slave = slave;
            pty::settle(pty, made)
        });
        if let Err(e) = settled {
            let object = format!("pseudo terminal {}", id.ino);
            no.push(Finding::about(object, "rebuild.open", e.to_string()));
        }
    }
}

/// Closes all pipes.
pub(crate) fn close_pipes<'a>(
    make: &'a Factory<'_>,
    files: impl Iterator<Item = &'a OwnedFd>,
) -> Result<()> {
    let fail = |e: std::io::Error| Error::new("close a pipe", e);
    let made = make.pipes.values().flat_map(|(reader, writer)| [reader, writer]);
    let made = made.chain(make.fifos.values());
    let is_pipe = |fd: &&OwnedFd| {
        let mode = nix::sys::stat::fstat(fd).map_err(|e| fail(e.into()))?.st_mode;
        Ok(SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFIFO)
    };
    let mut pipes = Vec::new();
    for fd in made.chain(files) {
        pipes.extend(is_pipe(&fd)?.then_some(fd));
    }
    close(pipes.into_iter())
}

/// Closes all ends of pseudo terminals: one that a process closes hangs up at once.
pub(crate) fn close_terminals(make: &Factory<'_>, files: &BTreeMap<FileId, OwnedFd>) -> Result<()> {
    let masters = make.tree.all::<PtyMaster>().iter().map(|master| master.file);
    let slaves = make.tree.all::<PtySlave>().iter().map(|slave| slave.file);
    let made = make.ptys.values();
    let made = made.flat_map(|made| [&made.master].into_iter().chain(&made.slave));
    close(masters.chain(slaves).filter_map(|id| files.get(&id)).chain(made))
}

/// Numbers that are kept are closed by what takes their place.
fn close<'a>(all: impl Iterator<Item = &'a OwnedFd>) -> Result<()> {
    let fail = |e: std::io::Error| Error::new("open /dev/null", e);
    let null = File::open("/dev/null").map_err(fail)?;
    all.into_iter().try_for_each(|fd| floe_sys::replace_descriptor(fd.as_fd(), null.as_fd()))
}
