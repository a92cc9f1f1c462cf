//! Slaves of pseudo terminals, opened by their names, or as the controlling terminal of a session of that moment.

use crate::{
    factory::Factory,
    object::pty::{Made, slave_flags},
    resource::ForFile,
};
use floe_records::{Bytes, FileRef, OpenFile, PtySlave};
use floe_sys::{Error, Result, open_controlling, open_slave};
use nix::sys::stat::{SFlag, fstat};
use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
};

/// O_LARGEFILE as F_GETFL gives it: open(2) sets it on 64-bit systems, and TIOCGPTPEER does not.
const LARGEFILE: u32 = 0o100_000;

impl ForFile for PtySlave {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let doing = "open the slave of a pseudo terminal";
        let made = make.ptys.get(&self.pty);
        let made = made.ok_or_else(|| Error::because(doing, "it could not be made"))?;
        let flags = slave_flags(open);
        match &self.name {
            Some(name) if self.controlling => controlling(name, made, open, make),
            Some(name) if open.flags & LARGEFILE != 0 => {
                by_name(&renamed(name, self, made), made, open, make)
            }
            _ => open_slave(made.master.as_fd(), flags.bits()).map_err(|e| Error::new(doing, e)),
        }
    }
}

/// The name with the index that it has now.
fn renamed(name: &FileRef, slave: &PtySlave, made: &Made) -> FileRef {
    let old = slave.pty.ino.to_string();
    let path = match name.path.0.strip_suffix(old.as_bytes()) {
        Some(dir) if made.index != slave.pty.ino => {
            Bytes([dir, made.index.to_string().as_bytes()].concat())
        }
        _ => name.path.clone(),
    };
    FileRef { path, ..name.clone() }
}

/// By its name, where that leads to this one.
fn by_name(name: &FileRef, made: &Made, open: &OpenFile, make: &Factory<'_>) -> Result<OwnedFd> {
    let fail = |e: std::io::Error| Error::new(format!("open {}", name.path), e);
    let node = open_slave(made.master.as_fd(), libc::O_PATH).map_err(fail)?;
    let node = fstat(&node).map_err(|e| fail(e.into()))?;
    let found = make.stands.found(open.pid, name, SFlag::S_IFCHR)?;
    if (found.stat.st_dev, found.stat.st_ino) != (node.st_dev, node.st_ino) {
        let problem = "it is another terminal than the slave of its master";
        return Err(Error::because(format!("open {}", name.path), problem));
    }
    make.stands.open(open.pid, name, &found, slave_flags(open))
}

/// By the name of the controlling terminal, where a process stands that has it.
fn controlling(
    name: &FileRef,
    made: &Made,
    open: &OpenFile,
    make: &Factory<'_>,
) -> Result<OwnedFd> {
    let doing = || format!("open {}", name.path);
    let path =
        CString::new(name.path.0.clone()).map_err(|e| Error::because(doing(), e.to_string()))?;
    let closed = || Error::because(doing(), "its slave was never opened");
    let slave = made.slave.as_ref().ok_or_else(closed)?;
    let flags = slave_flags(open).bits();
    make.stands.within(open.pid, || open_controlling(slave.as_fd(), &path, flags))
}
