//! pidfd_open(2), by kernel/fork.c's (fs/pidfs.c's) show_fdinfo.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
    subject,
};
use floe_records::{AnyRecord, FileId, Finding, Findings, Pid, Pidfd, PidfdTarget, Tid};
use floe_sys::pidfd_exit_status;
use nix::sys::statfs::{FsType, fstatfs};
use std::os::fd::BorrowedFd;

/// PIDFD_THREAD.
const THREAD: u32 = libc::O_EXCL as u32;
/// Flags that a pidfd can be given again.
const FLAGS: u32 = THREAD | (libc::O_NONBLOCK | libc::O_APPEND) as u32;
/// In a wait status: a core was dumped.
const CORE: u32 = 0x80;

impl OfFile for Pidfd {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[pidfd]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let refuse = |problem: &str| Problem::new("file.pidfd", problem);
        if seen.flags & !FLAGS != libc::O_RDWR as u32 {
            return Err(refuse("it has flags that pidfd_open(2) does not give"));
        }
        // The file that keeps its place in restore would get the lock.
        if seen.info.line("lock").is_some() {
            return Err(refuse("a lock on a handle of a process cannot be captured"));
        }
        let target = match seen.info.decimal::<i64>("Pid") {
            Ok(-1) => PidfdTarget::Ended(pidfd_exit_status(seen.duplicate()?)?),
            Ok(pid) if (1..=i64::from(i32::MAX)).contains(&pid) => {
                PidfdTarget::Process(Pid(pid as u32))
            }
            Ok(0) => return Err(refuse(OUTSIDE)),
            _ => return Err(refuse("it has an unknown form")),
        };
        let inode = match target {
            PidfdTarget::Ended(_) if has_own_inode(seen.duplicate()?) => Some(seen.info.ino),
            _ => None,
        };
        Ok(Pidfd { file, target, inode })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        for at in 0..files.all.len() {
            let (open, AnyRecord::Pidfd(pidfd)) = &files.all[at] else { continue };
            let (mut pidfd, pid, threads) = (*pidfd, open.pid, open.flags & THREAD != 0);
            let finding = |problem: &str| {
                Finding::of(pid, object(files, pid, pidfd.file), "file.pidfd", problem)
            };
            match &mut pidfd.target {
                PidfdTarget::Process(target) if is_in_tree(files, *target)? => {}
                PidfdTarget::Process(target) => match process_of(files, *target) {
                    Some(process) if threads => {
                        pidfd.target = PidfdTarget::Thread(process, Tid(target.0));
                        files.all[at].1 = AnyRecord::Pidfd(pidfd);
                    }
                    _ => out.refuse(finding(OUTSIDE)),
                },
                PidfdTarget::Thread(..) => {}
                PidfdTarget::Ended(Some(status)) if *status & CORE != 0 => {
                    out.lose(finding("it will not tell that its process dumped a core"));
                    *status &= !CORE;
                    files.all[at].1 = AnyRecord::Pidfd(pidfd);
                }
                PidfdTarget::Ended(_) => {}
            }
        }
        Ok(())
    }
}

/// Of include/uapi/linux/magic.h.
const PID_FS_MAGIC: FsType = FsType(0x5049_4446);

/// Whether each process has an inode of its own. Older kernels have one for all.
fn has_own_inode(fd: BorrowedFd<'_>) -> bool {
    fstatfs(fd).is_ok_and(|about| about.filesystem_type() == PID_FS_MAGIC)
}

const OUTSIDE: &str = "it is a handle of a process outside of the tree";

/// How people know a description.
fn object(files: &Files, pid: Pid, file: FileId) -> String {
    let table = files.tables.iter().find(|table| table.pid == pid);
    let fd = table.and_then(|table| table.fds.iter().find(|fd| fd.file == file));
    fd.map_or_else(|| "a pidfd".to_owned(), |fd| format!("fd {} (pidfd)", fd.fd))
}

/// Also a zombie is: its parent has not waited for it.
pub(crate) fn is_in_tree(files: &Files, pid: Pid) -> Result<bool> {
    if files.pids.contains(&pid) {
        return Ok(true);
    }
    let stat = subject::stat(pid.0)?;
    Ok(stat.is_some_and(|stat| stat.is_dead() && files.pids.contains(&Pid(stat.ppid))))
}

/// The process of the tree of which this is the number of a thread.
pub(crate) fn process_of(files: &Files, tid: Pid) -> Option<Pid> {
    let is_its = |pid: &&Pid| floe_proc::path(pid.0, &format!("task/{tid}")).exists();
    files.pids.iter().find(is_its).copied()
}
