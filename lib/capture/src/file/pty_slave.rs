//! Slaves of pseudo terminals, and which of them belong to the world outside of the tree.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    object::tcp_connection::duplicate,
    resource::OfFile,
};
use floe_records::{
    AnyRecord, Bytes, External, FdNum, FileId, Findings, ObjectId, Pid, PtyMaster, PtySlave,
};
use floe_sys::{Error, TerminalNumber, terminal_number};
use nix::{
    sys::stat::{major, makedev, minor},
    unistd::getsid,
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
};

/// Number of tty(4).
const TTY: u64 = makedev(5, 0);

impl OfFile for PtySlave {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let terminal = is_slave(seen.stat.rdev) || seen.stat.rdev == TTY;
        seen.stat.is_char_device() && terminal && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let controlling = seen.stat.rdev == TTY;
        let pty = if controlling {
            // The instance is that of a master with the same index, if there is one.
            ObjectId { dev: 0, ino: index_behind(seen.duplicate()?)? }
        } else {
            ObjectId { dev: seen.stat.dev, ino: minor(seen.stat.rdev) }
        };
        let name = if controlling { Some(seen.file()?) } else { seen.file().ok() };
        Ok(PtySlave { file, pid: Pid(seen.pid), name, controlling, pty })
    }

    /// One whose master is not in the tree is the outside's.
    fn relate(files: &mut Files, _: &mut Findings) -> Result<()> {
        let mut masters: BTreeMap<u64, Vec<(u64, FileId)>> = BTreeMap::new();
        for (open, what) in files.of::<PtyMaster>() {
            if let AnyRecord::PtyMaster(master) = what {
                masters.entry(master.pty.ino).or_default().push((master.pty.dev, open.id));
            }
        }
        let mut all: Vec<PtySlave> = Vec::new();
        for (_, what) in files.of::<PtySlave>() {
            if let AnyRecord::PtySlave(slave) = what {
                all.push(slave.clone());
            }
        }
        for mut slave in all {
            let id = slave.file;
            let same = masters.get(&slave.pty.ino).map_or(&[][..], Vec::as_slice);
            let dev = if files.hung_up.contains(&id) {
                None
            } else if slave.controlling {
                let of_session = same.iter().find(|(_, master)| {
                    let holder = files.place(*master);
                    holder.is_some_and(|at| is_terminal_of(at, slave.pid).unwrap_or(false))
                });
                of_session.map(|(dev, _)| *dev)
            } else {
                same.iter().map(|(dev, _)| *dev).find(|dev| *dev == slave.pty.dev)
            };
            if let Some(dev) = dev {
                slave.pty.dev = dev;
                files.replace(id, slave);
            } else {
                let what = Bytes(files.links.remove(&id).unwrap_or_default());
                files.replace(id, External { file: id, what });
            }
        }
        Ok(())
    }
}

/// UNIX98 slaves: major 136 to 143 (Documentation/admin-guide/devices.txt).
pub(crate) fn is_slave(rdev: u64) -> bool {
    (136..=143).contains(&major(rdev))
}

/// The index of the pseudo terminal behind /dev/tty; one that none has where that is another terminal.
fn index_behind(fd: BorrowedFd<'_>) -> Result<u64, Problem> {
    let packed = match terminal_number(fd, TerminalNumber::Device) {
        Ok(packed) => u64::from(packed.cast_unsigned()),
        Err(e) if e.raw_os_error() == Some(libc::EIO) => return Ok(u64::MAX),
        Err(e) => return Err(Error::new("ask which terminal it is", e).into()),
    };
    // As include/linux/kdev_t.h packs it for user space.
    let rdev = makedev(packed >> 8 & 0xfff, packed & 0xff | packed >> 12 & 0xfff00);
    Ok(if is_slave(rdev) { minor(rdev) } else { u64::MAX })
}

/// Whether the slave of a master is the controlling terminal of the session of a process.
fn is_terminal_of((holder, fd): (Pid, FdNum), pid: Pid) -> Result<bool> {
    let session = getsid(Some(nix::unistd::Pid::from_raw(pid.0 as i32)));
    let master = duplicate(holder, fd)?;
    let of_master = terminal_number(master.as_fd(), TerminalNumber::Session);
    Ok(matches!((session, of_master), (Ok(one), Ok(other)) if one.as_raw() == other))
}
