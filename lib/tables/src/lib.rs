//! Whole descriptor tables, read by a program that runs inside of the kernel (BPF iterators): a few tenths of a microsecond for each
//! descriptor, where files of /proc take ten, and it tells which descriptors lead to one description, which is a sort with
//! kcmp(2) otherwise.
//!
//! It shows what /proc/PID/fdinfo shows, read at the same places of the kernel. Where a kind of file shows more than that and is
//! not one of those below, fdinfo has to be read.
#![forbid(unsafe_code)]

mod program;
mod types;

use floe_proc::Fdinfo;
use floe_sys::{Error, KernelTypes, Result, iterate, load_iterator};
use nix::sys::{eventfd::EventFd, signal::SigSet, signalfd::SignalFd};
use program::{
    CLOEXEC, FD, FILE, FLAGS, INO, LOCKS, MARKS, MORE, MOUNT, NAME, NO_OBJECT, OBJECT, OPERATIONS,
    POS, RECORD, STRUCTURES, TARGET, UNLINKED, UNOWNED, UNREAD,
};
use std::{
    io::Read,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    os::unix::net::UnixDatagram,
};
use types::Types;

/// Records for which there is room from the start, beside those that are expected.
const ROOM: usize = 64;
/// O_CLOEXEC
const CLOSED_BY_EXEC: u32 = 0o2_000_000;

/// What reads tables.
#[derive(Debug)]
pub struct Tables {
    program: OwnedFd,
    places: Places,
    /// The operations of kinds of files of which what they show is known.
    eventfd: u64,
    signalfd: u64,
    /// What a socket shows besides is of no use.
    socket: u64,
}

/// Where what they show stands in objects.
#[derive(Clone, Copy, Debug)]
struct Places {
    count: usize,
    flags: usize,
    id: usize,
    mask: usize,
}

/// A descriptor of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Its number.
    pub fd: u32,
    /// Descriptors with the same number here lead to the same description, all others to other ones: as long as it is open.
    pub description: u64,
    /// Descriptors with the same numbers here were opened by the same name: an entry of a directory, on a mount.
    pub name: (u64, u64),
    /// That name was removed.
    pub unlinked: bool,
    /// No process or signal was ever set for it (F_SETOWN, F_SETSIG, F_NOTIFY).
    pub unowned: bool,
    /// What its fdinfo says; `None` for a kind that shows more than is known here.
    pub info: Option<Fdinfo>,
}

impl Tables {
    /// Loads the program.
    ///
    /// # Errors
    /// Where the kernel does not have it (no BPF, types that are not known), and where we may not (CAP_BPF, CAP_PERFMON).
    pub fn load() -> Result<Self> {
        let unknown = || Error::because("load a program of BPF", "the kernel has other types");
        let bytes = KernelTypes::map()?;
        let names = STRUCTURES.into_iter().chain([TARGET, "eventfd_ctx", "signalfd_ctx"]);
        let types = Types::parse(&bytes, &names.collect::<Vec<_>>()).ok_or_else(unknown)?;
        let target = types.function(TARGET).ok_or_else(unknown)?;
        let code = program::program(&types).ok_or_else(unknown)?;
        let places = Places::of(&types).ok_or_else(unknown)?;
        let program = load_iterator(&code, target)?;
        let mut all = Self { program, places, eventfd: 0, signalfd: 0, socket: 0 };
        all.know()?;
        Ok(all)
    }

    /// Finds out how kinds are known, by one of each of our own.
    fn know(&mut self) -> Result<()> {
        let fail = |e| Error::new("make a descriptor to look at", e);
        let event = EventFd::new().map_err(|e| fail(e.into()))?;
        let signal = SignalFd::new(&SigSet::empty()).map_err(|e| fail(e.into()))?;
        let socket = UnixDatagram::unbound().map_err(fail)?;
        let bytes = self.bytes(std::process::id(), 0)?;
        let operations = |fd: i32| {
            let found = records(&bytes).find(|record| word(record, FD) == fd as u32);
            let none = || Error::because("read our own descriptors", "one is missing");
            found.map(|record| long(record, OPERATIONS)).ok_or_else(none)
        };
        self.eventfd = operations(event.as_fd().as_raw_fd())?;
        self.signalfd = operations(signal.as_fd().as_raw_fd())?;
        self.socket = operations(socket.as_raw_fd())?;
        Ok(())
    }

    /// All descriptors of a process, ascending; about `count`. What is read of one that runs is of one moment for each descriptor.
    pub fn read(&self, pid: u32, count: usize) -> Result<Vec<Shown>> {
        let bytes = self.bytes(pid, count)?;
        Ok(records(&bytes).map(|record| self.shown(record)).collect())
    }

    fn bytes(&self, pid: u32, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity((count + ROOM) * RECORD);
        let read = iterate(self.program.as_fd(), pid)?.read_to_end(&mut bytes);
        read.map_err(|e| Error::new("read a descriptor table", e).pid(pid))?;
        Ok(bytes)
    }

    fn shown(&self, record: &[u8]) -> Shown {
        let (fd, marks) = (word(record, FD), word(record, MARKS));
        let info = self.info(record, marks);
        let (description, name) =
            (long(record, FILE), (long(record, NAME), long(record, NAME + 8)));
        let is = |mark: u32| marks & (mark | UNREAD) == mark;
        let (unlinked, unowned) = (is(UNLINKED), is(UNOWNED));
        Shown { fd, description, name, unlinked, unowned, info }
    }

    /// What fdinfo shows, where that is known.
    fn info(&self, record: &[u8], marks: u32) -> Option<Fdinfo> {
        if marks & (UNREAD | LOCKS) != 0 {
            return None;
        }
        let more = match long(record, OPERATIONS) {
            _ if marks & MORE == 0 => String::new(),
            operations if operations == self.socket => String::new(),
            _ if marks & NO_OBJECT != 0 => return None,
            operations if operations == self.eventfd => {
                let object = &record[OBJECT..];
                let (count, id) = (long(object, self.places.count), word(object, self.places.id));
                // EFD_SEMAPHORE
                let semaphore = word(object, self.places.flags) & 1;
                format!(
                    "eventfd-count: {count:16x}\neventfd-id: {}\neventfd-semaphore: {semaphore}\n",
                    id as i32
                )
            }
            operations if operations == self.signalfd => {
                // The kernel keeps what is not in it.
                let mask = !long(&record[OBJECT..], self.places.mask);
                format!("sigmask:\t{mask:016x}\n")
            }
            _ => return None,
        };
        let (pos, ino) = (long(record, POS) as i64, long(record, INO));
        let cloexec = if marks & CLOEXEC == 0 { 0 } else { CLOSED_BY_EXEC };
        let flags = word(record, FLAGS) & !CLOSED_BY_EXEC | cloexec;
        Some(Fdinfo::known(pos, flags, word(record, MOUNT), ino, &more))
    }
}

impl Places {
    fn of(types: &Types<'_>) -> Option<Self> {
        let [count, flags, id] = types.members("eventfd_ctx", ["count", "flags", "id"])?;
        let [mask] = types.members("signalfd_ctx", ["sigmask"])?;
        let [count, flags, id, mask] =
            [count, flags, id, mask].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let inside = [count, flags, id, mask].iter().all(|at| *at <= program::OBJECT_LEN - 8);
        inside.then_some(Self { count, flags, id, mask })
    }
}

fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(RECORD)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([0, 1, 2, 3].map(|n| bytes[at + n]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|n| bytes[at + n]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        fcntl::{FcntlArg, FlockArg, OFlag, fcntl},
        sys::{
            eventfd::EfdFlags,
            memfd::{MFdFlags, memfd_create},
            signal::Signal,
            timerfd::{ClockId, TimerFd, TimerFlags},
        },
        unistd::{dup, pipe2},
    };
    use std::{
        fs::File,
        io::{Seek, SeekFrom},
        net::{TcpListener, UdpSocket},
    };

    /// As root, with CAP_BPF.
    #[test]
    fn all_is_as_fdinfo_shows_it() {
        let Ok(tables) = Tables::load() else { return };
        let mut file = File::open("/proc/self/exe").unwrap();
        file.seek(SeekFrom::Start(77)).unwrap();
        let event = EventFd::from_value_and_flags(
            3,
            EfdFlags::EFD_SEMAPHORE | EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        );
        let event: OwnedFd = event.unwrap().into();
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGUSR1);
        let signal = SignalFd::new(&mask).unwrap();
        let (reads, writes) = pipe2(OFlag::O_NONBLOCK | OFlag::O_DIRECT).unwrap();
        fcntl(&writes, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        let plain: Vec<OwnedFd> = vec![
            file.into(),
            dup(&event).unwrap(),
            event,
            signal.as_fd().try_clone_to_owned().unwrap(),
            reads,
            writes,
            memfd_create(c"some", MFdFlags::empty()).unwrap(),
            File::open("/dev/null").unwrap().into(),
            File::open("/").unwrap().into(),
            UnixDatagram::unbound().unwrap().into(),
            TcpListener::bind("127.0.0.1:0").unwrap().into(),
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        ];
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty()).unwrap();
        let locked = File::create(std::env::temp_dir().join("floe-tables-lock")).unwrap();
        let locked = nix::fcntl::Flock::lock(locked, FlockArg::LockShared).unwrap();
        let all = tables.read(std::process::id(), 0).unwrap();
        assert!(all.is_sorted_by_key(|shown| shown.fd));
        let shown = |fd: i32| all.iter().find(|it| it.fd == fd as u32).unwrap();
        for fd in &plain {
            let told = shown(fd.as_raw_fd()).info.as_ref().unwrap();
            let read = Fdinfo::of_own(fd.as_fd()).unwrap();
            // What a socket shows besides.
            let lines = read.text().split_inclusive(|byte| *byte == b'\n');
            let text: Vec<u8> =
                lines.filter(|line| !line.starts_with(b"scm_fds")).flatten().copied().collect();
            assert_eq!(String::from_utf8_lossy(told.text()), String::from_utf8_lossy(&text));
        }
        assert_eq!(shown(timer.as_fd().as_raw_fd()).info, None);
        assert_eq!(shown(locked.as_raw_fd()).info, None);
        let of = |nth: usize| shown(plain[nth].as_raw_fd()).description;
        assert_eq!(of(1), of(2));
        let distinct: std::collections::BTreeSet<u64> = (1..plain.len()).map(of).collect();
        assert_eq!(distinct.len(), plain.len() - 2);
        let own = |fd: i32| shown(fd).unowned && !shown(fd).unlinked;
        assert!(
            plain.iter().all(|fd| own(fd.as_raw_fd()) || fd.as_raw_fd() == plain[6].as_raw_fd())
        );
        let other = File::open("/dev/null").unwrap();
        std::fs::remove_file(std::env::temp_dir().join("floe-tables-lock")).unwrap();
        let again = tables.read(std::process::id(), 0).unwrap();
        let now = |fd: i32| again.iter().find(|it| it.fd == fd as u32).unwrap();
        assert!(now(locked.as_raw_fd()).unlinked && !now(plain[8].as_raw_fd()).unlinked);
        assert_eq!(now(other.as_raw_fd()).name, now(plain[7].as_raw_fd()).name);
        assert_ne!(now(other.as_raw_fd()).name, now(plain[8].as_raw_fd()).name);
        assert!(tables.read(1 << 30, 0).unwrap().is_empty());
    }
}
