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
};

impl ForFile for ProcFile {
    fn late(
        &self,
        open: &OpenFile,
        _: &Tree,
        _: &mut BTreeMap<FileId, OwnedFd>,
    ) -> Result<OwnedFd> {
        let name = OsStr::from_bytes(&self.path.0);
        let path = floe_proc::path(self.process.0, "").join(name);
        let fail = |e| Error::new(format!("open {}", path.display()), e);
        let flags = flags(open) | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
        let fd = open_path(&path, flags, Mode::empty()).map_err(fail)?;
        let kind = fstat(&fd).map_err(fail)?.st_mode & libc::S_IFMT;
        let wanted = if self.directory { libc::S_IFDIR } else { libc::S_IFREG };
        if kind != wanted {
            return Err(Error::because(
                format!("open {}", path.display()),
                "it is of another kind",
            ));
        }
        Ok(fd)
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
