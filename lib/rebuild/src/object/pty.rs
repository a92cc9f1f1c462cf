//! Pseudo terminals, made with the index that they had.

use crate::{factory::Factory, named::flags, resource::ForObject};
use floe_pty::{Queued, Stopped, fill};
use floe_records::*;
use floe_sys::{
    Error, Result, TerminalModes, TerminalNumber, TerminalSetting, open_slave, set_terminal,
    set_window_size, terminal_number,
};
use nix::{
    fcntl::{AtFlags, OFlag},
    sys::stat::{Mode, SFlag, makedev},
    unistd::{Gid, Uid, fchownat},
};
use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// Number of ptmx(4).
const PTMX: u64 = makedev(5, 2);

/// A pseudo terminal that was made.
pub(crate) struct Made {
    pub master: OwnedFd,
    /// A description of our own, where its slave has ever been opened.
    pub slave: Option<OwnedFd>,
    /// Its index.
    pub index: u64,
}

impl ForObject for Pty {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        let (master, index) = master(self, make)?;
        let fail = |e: io::Error| Error::new("set up a pseudo terminal", e);
        set_terminal(master.as_fd(), TerminalSetting::Locked(false)).map_err(fail)?;
        let slave = || open_slave(master.as_fd(), libc::O_RDWR | libc::O_NONBLOCK);
        let slave = self.opened.then(slave).transpose().map_err(fail)?;
        queue(self, master.as_fd(), slave.as_ref().map(AsFd::as_fd)).map_err(fail)?;
        set_window_size(master.as_fd(), self.size).map_err(fail)?;
        own(self, master.as_fd()).map_err(fail)?;
        make.ptys.insert(self.id, Made { master, slave, index });
        Ok(())
    }

    fn describe(&self) -> String {
        format!("pseudo terminal {}", self.id.ino)
    }
}

/// Locks and modes that would stand in the way of opening it.
pub(crate) fn settle(pty: &Pty, made: &Made) -> Result<()> {
    let fail = |e: io::Error| Error::new("set up a pseudo terminal", e);
    let set = |fd: &OwnedFd, what| set_terminal(fd.as_fd(), what).map_err(fail);
    if pty.packet {
        set(&made.master, TerminalSetting::Packet(true))?;
    }
    if pty.locked {
        set(&made.master, TerminalSetting::Locked(true))?;
    }
    if pty.exclusive.0 {
        set(&made.master, TerminalSetting::Exclusive)?;
    }
    if let Some(slave) = made.slave.as_ref().filter(|_| pty.exclusive.1) {
        set(slave, TerminalSetting::Exclusive)?;
    }
    Ok(())
}

/// A master with the index that it had, or with another one where that is taken and none of the tree knows its name.
fn master(pty: &Pty, make: &mut Factory<'_>) -> Result<(OwnedFd, u64)> {
    if let Some(early) = make.stands.mounts.console(pty.id) {
        let master = early.try_clone().map_err(|e| Error::new("keep a pseudo terminal", e))?;
        return Ok((master, pty.id.ino));
    }
    let (pid, name, open_flags, file) = named_master(pty, make)?;
    let found = make.stands.found(pid, &name, SFlag::S_IFCHR)?;
    if found.stat.st_rdev != PTMX {
        let doing = format!("open {}", name.path);
        return Err(Error::because(doing, "it is another device"));
    }
    let others = make.tree.all::<Pty>().iter().filter(|other| other.id != pty.id);
    let others: BTreeSet<u64> = others.map(|other| other.id.ino).collect();
    // The kernel gives the lowest one that is free: those below are kept until ours has come.
    let (mut below, mut taken) = (Vec::new(), false);
    loop {
        let master = make.stands.open(pid, &name, &found, open_flags)?;
        let index = terminal_number(master.as_fd(), TerminalNumber::Index)
            .map_err(|e| Error::new("ask for the index of a pseudo terminal", e))?;
        let index = u64::from(index.cast_unsigned());
        if index == pty.id.ino {
            return Ok((master, index));
        }
        taken |= index > pty.id.ino;
        if taken && pty.named {
            let doing = format!("make pseudo terminal {}", pty.id.ino);
            let problem = format!(
                "its index is taken, and a process has the name of its slave in its arguments or environment: end what has it open (fuser /dev/pts/{})",
                pty.id.ino
            );
            return Err(Error::because(doing, problem));
        }
        if taken && !others.contains(&index) {
            let note = format!("pts/{} is taken, and is pts/{index} now", pty.id.ino);
            make.note(file, vec![note]);
            return Ok((master, index));
        }
        below.push(master);
    }
}

/// What is opened for a master: by whom, by which name, how, and a file to speak of. One whose master is outside comes from the
/// instance of devpts that its slave is in.
fn named_master(pty: &Pty, make: &Factory<'_>) -> Result<(Pid, FileRef, OFlag, FileId)> {
    let gone = || Error::because("make a pseudo terminal", "its master is not in the stream");
    let masters = make.tree.all::<PtyMaster>();
    if let Some(record) = masters.iter().find(|master| master.pty == pty.id) {
        let open = make.tree.get::<OpenFile>(record.file).ok_or_else(gone)?;
        return Ok((open.pid, record.name.clone(), flags(open), record.file));
    }
    let mut outside = make.tree.all::<OutsideTerminal>().iter();
    let slave = outside.find(|it| it.pty == pty.id).ok_or_else(gone)?;
    let path = slave.name.as_ref().map(|name| name.path.0.as_slice());
    let of_slave = path.and_then(|path| path.strip_suffix(pty.id.ino.to_string().as_bytes()));
    let directory = of_slave.filter(|path| path.ends_with(b"/")).unwrap_or(PTS);
    let path = Bytes([directory, b"ptmx"].concat());
    let name = FileRef { path, outside: false, dev: 0, ino: 0, mnt_id: None, deleted: false };
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok((slave.pid, name, flags, slave.file))
}

/// Where devpts is mounted.
const PTS: &[u8] = b"/dev/pts/";

fn queue(pty: &Pty, master: BorrowedFd<'_>, slave: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut modes = TerminalModes { flags: pty.flags, speeds: pty.speeds, ..Default::default() };
    for (to, from) in modes.characters.iter_mut().zip(&pty.characters.0) {
        *to = *from;
    }
    let short = || io::Error::from(io::ErrorKind::InvalidData);
    let (input, output) = pty.bytes.split_at_checked(pty.input as usize).ok_or_else(short)?;
    let stopped = match pty.stopped {
        None => Stopped::No,
        Some(FlowStop::Key) => Stopped::Key,
        Some(FlowStop::Call) => Stopped::Call,
    };
    let queued = Queued { lines: &pty.lines, input, output, stopped };
    fill(master, slave, &modes, &queued)
}

/// Owner and permissions of the node.
fn own(pty: &Pty, master: BorrowedFd<'_>) -> io::Result<()> {
    let node = open_slave(master, libc::O_PATH)?;
    let (uid, gid, mode) = pty.owner;
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    fchownat(&node, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
    // Of a path only, the mode can be changed by its name alone.
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    let at = nix::fcntl::AT_FDCWD;
    let mode = Mode::from_bits_truncate(mode);
    Ok(nix::sys::stat::fchmodat(
        at,
        path.as_str(),
        mode,
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )?)
}

/// The flags that a slave is opened with.
pub(crate) fn slave_flags(open: &OpenFile) -> OFlag {
    flags(open) | OFlag::O_NOCTTY
}
