//! Files of processes in /proc, when all processes exist.

use crate::{
    named::flags,
    resource::{Context, ForFile},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{FdNum, FileId, OpenFile, Pid, ProcFile, Tree};
use floe_sys::{Error, Result};
use nix::{
    fcntl::{OFlag, open as open_path},
    sys::stat::{Mode, fstat},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::PathBuf,
};

/// The /proc of a process, so that what is opened lies on a mount that it sees; ours where that is none, or one that shows others.
fn shown_to(pid: Pid) -> PathBuf {
    let its = floe_proc::path(pid.0, "root/proc");
    let own = std::fs::read_link("/proc/self").ok();
    match std::fs::read_link(its.join("self")).ok().filter(|it| own.as_ref() == Some(it)) {
        Some(_) => its,
        None => PathBuf::from("/proc"),
    }
}

impl ForFile for ProcFile {
    fn late(
        &self,
        open: &OpenFile,
        _: &Tree,
        _: &mut BTreeMap<FileId, OwnedFd>,
    ) -> Result<OwnedFd> {
        let name = OsStr::from_bytes(&self.path.0);
        let path = shown_to(open.pid).join(self.process.to_string()).join(name);
        let fail = |e| Error::new(format!("open {}", path.display()), e);
        // No link is followed, and the description does not have O_NOFOLLOW by that.
        let place = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = open_path(&path, place, Mode::empty()).map_err(fail)?;
        let kind = fstat(&found).map_err(fail)?.st_mode & libc::S_IFMT;
        let wanted = if self.directory { libc::S_IFDIR } else { libc::S_IFREG };
        if kind != wanted {
            return Err(Error::because(
                format!("open {}", path.display()),
                "it is of another kind",
            ));
        }
        let flags = flags(open) | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        open_path(&path, flags, Mode::empty()).map_err(fail)
    }

    /// The kernel makes what stands in front of the position when that is set, and what it has made goes on to be read: so that comes when
    /// everything is as it was. Where it cannot be set, what is read begins anew.
    fn apply(
        &self,
        context: Context<'_>,
        _: Pid,
        fd: FdNum,
        script: &mut Script<'_>,
    ) -> Result<()> {
        let open = context.tree.get::<OpenFile>(self.file);
        let path = OFlag::O_PATH.bits() as u32;
        if let Some(open) = open.filter(|open| open.pos != 0 && open.flags & path == 0) {
            let number = Arg::Val(u64::from(fd.0));
            let args = [number, Arg::Val(open.pos), Arg::Val(libc::SEEK_SET as u64)];
            script.try_call(libc::SYS_lseek, args);
        }
        Ok(())
    }
}
