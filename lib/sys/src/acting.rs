//! Sockets made by a process with another number and other credentials: the kernel shows those to the peer for ever (SO_PEERCRED and
//! SO_PEERGROUPS of socket(7)).

use crate::{
    Error, Result, check,
    clone::{CLONE_CLEAR_SIGHAND, arguments, clone3, without_signals},
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Who a process is for the peer of its sockets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identity {
    /// Process.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Version 3 of capget(2).
const CAPABILITIES: u32 = 0x2008_0522;

impl Identity {
    /// socketpair(2), as this process: so many pairs of UNIX sockets of a type, close-on-exec.
    ///
    /// # Errors
    /// EEXIST where the number of the process is taken, EPERM without the right to it or to its credentials.
    pub fn pairs(&self, kind: i32, count: usize) -> Result<Vec<(OwnedFd, OwnedFd)>> {
        // A pipe tells their numbers, a few hundred pairs at a time: it holds a page at least.
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let some = (count - pairs.len()).min(256);
            pairs.extend(self.some_pairs(kind, some)?);
        }
        Ok(pairs)
    }

    fn some_pairs(&self, kind: i32, count: usize) -> Result<Vec<(OwnedFd, OwnedFd)>> {
        let fail = |e: io::Error| Error::new("make pairs of sockets", e);
        let (mut hear, say) = io::pipe().map_err(fail)?;
        let say_fd = say.as_raw_fd();
        let done = self.act(|| {
            for _ in 0..count {
                let mut pair = [0i32; 2];
                // SAFETY: the kernel writes two numbers to `pair`, and reads them from it.
                let made = unsafe {
                    let made =
                        libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr());
                    if made == 0 { libc::write(say_fd, pair.as_ptr().cast(), 8) } else { -1 }
                };
                if made != 8 {
                    return -1;
                }
            }
            0
        });
        drop(say);
        let mut told = Vec::new();
        io::Read::read_to_end(&mut hear, &mut told).map_err(fail)?;
        let number = |bytes: &[u8]| bytes.try_into().map_or(-1, i32::from_ne_bytes);
        // SAFETY: the child has made these in the table that it has in common with us, and nobody else knows them.
        let own = |fd: i32| unsafe { OwnedFd::from_raw_fd(fd) };
        let pairs = told.chunks_exact(8).map(|pair| (own(number(&pair[..4])), own(number(&pair[4..]))));
        let pairs: Vec<_> = pairs.collect();
        done?;
        Ok(pairs)
    }

    /// listen(2), as this process.
    ///
    /// # Errors
    /// As for [`Identity::pairs`].
    pub fn listen(&self, fd: BorrowedFd<'_>, backlog: u32) -> Result<()> {
        let (fd, backlog) = (fd.as_raw_fd(), backlog.min(i32::MAX as u32) as i32);
        // SAFETY: numbers only.
        self.act(|| unsafe { libc::listen(fd, backlog) })
    }

    /// connect(2) to an address as [`socket_name`](crate::socket_name) gives it, as this process, which stands where the calling
    /// thread does.
    ///
    /// # Errors
    /// As for [`Identity::pairs`].
    pub fn connect(&self, fd: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let fd = fd.as_raw_fd();
        // SAFETY: the kernel reads `len` bytes of `name`.
        self.act(|| unsafe { libc::connect(fd, name.as_ptr().cast(), name.len() as u32) })
    }

    /// Has a child with this number and these credentials do something with our descriptors. It runs behind a fork of a process that
    /// may have threads: it must not allocate, and call nothing but the kernel.
    fn act(&self, work: impl FnOnce() -> i32) -> Result<()> {
        let set_tid = [self.pid];
        let flags = CLONE_CLEAR_SIGHAND | libc::CLONE_FILES as u64;
        let mut args = arguments(&set_tid, flags, 0);
        let fail = |e| Error::new(format!("act as process {}", self.pid), e);
        let child = without_signals(|| {
            // SAFETY: the child has its own memory, and calls nothing but the kernel.
            let child = unsafe { clone3(&mut args) };
            if child == 0 {
                let done = if self.become_it() == 0 { work() } else { -1 };
                // SAFETY: errno is the child's own; nothing runs behind _exit(2).
                unsafe { libc::_exit(if done < 0 { *libc::__errno_location() } else { 0 }) }
            }
            check(child)
        })
        .map_err(fail)?;
        let mut status = 0;
        loop {
            // SAFETY: the kernel writes a number to `status`.
            let waited = unsafe { libc::waitpid(child as i32, &mut status, libc::__WALL) };
            match check(waited.into()) {
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(fail(e)),
            }
        }
        match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
            (true, 0) => Ok(()),
            (true, errno) => Err(fail(io::Error::from_raw_os_error(errno))),
            _ => Err(Error::because(format!("act as process {}", self.pid), "it was killed")),
        }
    }

    /// Takes the credentials, with all capabilities kept: it may be that the process had others when it connected. 0 or -1.
    fn become_it(&self) -> i32 {
        let mut head = [CAPABILITIES, 0];
        let mut sets = [0u32; 6];
        // SAFETY: numbers, and memory of ours of the sizes that the calls have: a head of two words, and two times three for the sets
        // of effective, permitted and inheritable capabilities.
        unsafe {
            let same = libc::geteuid() == self.uid && libc::getegid() == self.gid;
            if libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) != 0 && !same {
                return -1;
            }
            if same {
                return 0;
            }
            let unchanged = u32::MAX;
            if libc::syscall(libc::SYS_setresgid, unchanged, self.gid, unchanged) != 0
                || libc::syscall(libc::SYS_setresuid, unchanged, self.uid, unchanged) != 0
                || libc::syscall(libc::SYS_capget, head.as_mut_ptr(), sets.as_mut_ptr()) != 0
            {
                return -1;
            }
            (sets[0], sets[3]) = (sets[1], sets[4]);
            libc::syscall(libc::SYS_capset, head.as_ptr(), sets.as_ptr()) as i32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket_option;
    use std::os::fd::AsFd;

    /// A number that is nobody's just now.
    fn free() -> i32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id() as i32
    }

    fn peer(fd: BorrowedFd<'_>) -> Vec<u32> {
        let value = socket_option(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, 12).unwrap();
        value.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn peers_see_somebody_else() {
        // SAFETY: no arguments.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("SKIPPED: it takes root");
            return;
        }
        let it = Identity { pid: free(), uid: 77, gid: 88, groups: vec![99, 100] };
        let pairs = it.pairs(libc::SOCK_STREAM, 600).unwrap();
        assert_eq!(pairs.len(), 600);
        for fd in [&pairs[0].0, &pairs[599].1] {
            assert_eq!(peer(fd.as_fd()), [it.pid as u32, 77, 88]);
            let groups = socket_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_PEERGROUPS, 64).unwrap();
            assert_eq!(groups, [99u32.to_ne_bytes(), 100u32.to_ne_bytes()].concat());
        }
        let taken = Identity { pid: std::process::id() as i32, ..it.clone() };
        assert_eq!(taken.pairs(libc::SOCK_STREAM, 1).unwrap_err().errno(), Some(libc::EEXIST));
        let listener = crate::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap();
        let name = [&(libc::AF_UNIX as u16).to_ne_bytes()[..], b"\0floe-acting"].concat();
        crate::bind_raw(listener.as_fd(), &name).unwrap();
        it.listen(listener.as_fd(), 3).unwrap();
        let client = crate::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap();
        let other = Identity { uid: 0, gid: 5, ..it.clone() };
        other.connect(client.as_fd(), &name).unwrap();
        let server = crate::accept(listener.as_fd()).unwrap();
        assert_eq!(peer(client.as_fd()), [it.pid as u32, 77, 88]);
        assert_eq!(peer(server.as_fd()), [it.pid as u32, 0, 5]);
    }
}
