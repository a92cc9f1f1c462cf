//! `fixture-bench MIB FILE [OPTION N]...`: holds MIB mebibytes of random bytes and whatever the options ask for, and
//! measures its own pauses: whenever the main thread wakes later than it asked to, the gap goes to FILE, in
//! microseconds, one per line. The first line is `ready`.
//!
//! | option | adds |
//! |---|---|
//! | `--mappings` | N private mappings of two pages that cannot merge, the first page of each written |
//! | `--reserved` | the same, none of their pages touched |
//! | `--sparse` | one mapping of N MiB, one page in a hundred of it written, at random places |
//! | `--descriptors` | N descriptors: a quarter each of regular files, eventfds, pipe ends, ends of socket pairs |
//! | `--mixed` | N descriptors: a tenth each of these and of directories (each of them twice), memfds, timers, signalfds, epoll instances with a watch, devices |
//! | `--files` | N regular files, in the directory FILE.d |
//! | `--eventfds` | N eventfds |
//! | `--threads` | N threads that sleep |
//! | `--processes` | N children that sleep |
//! | `--tree` | N descendants that sleep, eight deep |

use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::EventFd,
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect},
        resource::{Resource, getrlimit, setrlimit},
        signal::SigSet,
        signalfd::SignalFd,
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        timerfd::{ClockId, TimerFd, TimerFlags},
    },
    unistd::{ForkResult, fork, pause, pipe},
};
use std::{
    ffi::c_void,
    fs::File,
    io::{self, Read, Write},
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    ptr::NonNull,
    time::{Duration, Instant},
};

const NAP: Duration = Duration::from_micros(200);
const NOTABLE: Duration = Duration::from_micros(500);
const PAGE: usize = 4096;
/// Generations of `--tree`.
const DEPTH: u32 = 8;
/// Stack of a sleeping thread, bytes.
const STACK: usize = 64 << 10;

fn main() -> io::Result<()> {
    // Descriptors inherited from the caller are not part of the measurement.
    // SAFETY: this process has opened nothing yet above the standard streams.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    let mut situation = Situation::default();
    let mut positional = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--") {
            Some(option) => situation.add(option, number(args.next())?)?,
            None => positional.push(arg),
        }
    }
    let mut positional = positional.into_iter();
    let mib = number(positional.next())?;
    let path = PathBuf::from(positional.next().ok_or_else(|| usage("FILE is missing"))?);
    let open = situation.set_up(&path)?;
    let mut memory = vec![0u8; mib << 20];
    File::open("/dev/urandom")?.read_exact(&mut memory)?;
    let mut out = File::options().append(true).create(true).open(path)?;
    out.write_all(b"ready\n")?;
    let error = measure(&mut out);
    drop((memory, open));
    Err(error)
}

/// Notes the gaps until FILE cannot be written.
fn measure(out: &mut File) -> io::Error {
    let mut last = Instant::now();
    loop {
        std::thread::sleep(NAP);
        let now = Instant::now();
        let gap = now - last;
        last = now;
        if gap > NAP + NOTABLE
            && let Err(error) = writeln!(out, "{}", gap.as_micros())
        {
            return error;
        }
    }
}

fn usage(problem: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("fixture-bench MIB FILE [OPTION N]...: {problem}"),
    )
}

fn number(word: Option<String>) -> io::Result<usize> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| usage("a number is missing"))
}

/// What the process is to have besides its random bytes.
#[derive(Default)]
struct Situation {
    mappings: usize,
    reserved: usize,
    sparse_mib: usize,
    files: usize,
    eventfds: usize,
    pipes: usize,
    pairs: usize,
    /// Of each kind of [`others`].
    others: usize,
    threads: usize,
    processes: usize,
    tree: usize,
}

impl Situation {
    fn add(&mut self, option: &str, n: usize) -> io::Result<()> {
        match option {
            "mappings" => self.mappings += n,
            "reserved" => self.reserved += n,
            "sparse" => self.sparse_mib += n,
            "files" => self.files += n,
            "eventfds" => self.eventfds += n,
            "descriptors" => {
                self.files += n / 4;
                self.eventfds += n / 4;
                self.pipes += n / 8;
                self.pairs += n / 8;
            }
            "mixed" => {
                self.add("descriptors", n / 10 * 4)?;
                self.others += n / 10;
            }
            "threads" => self.threads += n,
            "processes" => self.processes += n,
            "tree" => self.tree += n,
            _ => return Err(usage(&format!("--{option} is unknown"))),
        }
        Ok(())
    }

    /// Makes it all. Gives the descriptors, to be kept open.
    fn set_up(&self, path: &Path) -> io::Result<Vec<OwnedFd>> {
        tree(self.processes, 1)?;
        tree(self.tree, DEPTH)?;
        mappings(self.mappings, true)?;
        mappings(self.reserved, false)?;
        if self.sparse_mib > 0 {
            sparse(self.sparse_mib << 20)?;
        }
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        let mut open = files(self.files, path)?;
        for _ in 0..self.eventfds {
            open.push(EventFd::new()?.into());
        }
        for _ in 0..self.pipes {
            open.extend(<[OwnedFd; 2]>::from(pipe()?));
        }
        for _ in 0..self.pairs {
            let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty())?;
            open.extend(<[OwnedFd; 2]>::from(pair));
        }
        others(self.others, &mut open)?;
        for _ in 0..self.threads {
            std::thread::Builder::new().stack_size(STACK).spawn(sleep)?;
        }
        Ok(open)
    }
}

fn sleep() {
    loop {
        pause();
    }
}

/// Descendants of this process, made first: they share nothing of what comes later. `depth` generations, in each of which all have
/// about as many children.
fn tree(count: usize, depth: u32) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let children = (1..=count).rev().find(|n| n.checked_pow(depth).is_some_and(|all| all <= count));
    let (children, depth) = (children.unwrap_or(1), depth - 1);
    for nth in 0..children {
        // SAFETY: this process has one thread.
        if let ForkResult::Child = unsafe { fork() }? {
            let below = count - children;
            tree(below / children + usize::from(nth < below % children), depth)?;
            sleep();
        }
    }
    Ok(())
}

fn reserve(len: usize) -> io::Result<NonNull<c_void>> {
    let len = NonZeroUsize::new(len).ok_or_else(|| usage("a size is zero"))?;
    let (access, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_NORESERVE);
    // SAFETY: a new mapping at an address of the kernel's choice. It is never unmapped.
    Ok(unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_PRIVATE | flags) }?)
}

/// Writes one page of a mapping so that it is not all zeros.
fn touch(mapping: NonNull<c_void>, offset: usize) {
    // SAFETY: callers pass an offset inside a writable mapping that nobody else uses.
    unsafe { mapping.cast::<u8>().add(offset).cast::<usize>().write(offset | 1) };
}

/// Neighbours differ in their protection, else they would be one mapping.
fn mappings(count: usize, touched: bool) -> io::Result<()> {
    const LEN: usize = 2 * PAGE;
    if count == 0 {
        return Ok(());
    }
    let all = reserve(count * LEN)?;
    for offset in (0..count).map(|n| n * LEN) {
        if touched {
            touch(all, offset);
        }
        if offset / LEN % 2 == 1 {
            // SAFETY: inside the mapping made above, behind which nothing holds a reference.
            unsafe { mprotect(all.add(offset), LEN, ProtFlags::PROT_READ) }?;
        }
    }
    Ok(())
}

fn sparse(len: usize) -> io::Result<()> {
    let mapping = reserve(len)?;
    // xorshift64: the same pages in every run.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..len / PAGE / 100 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        touch(mapping, (random % (len / PAGE) as u64) as usize * PAGE);
    }
    Ok(())
}

/// A descriptor of each of six kinds, `count` times.
fn others(count: usize, open: &mut Vec<OwnedFd>) -> io::Result<()> {
    for _ in 0..count / 2 {
        let directory: OwnedFd = File::open("/")?.into();
        open.extend([directory.try_clone()?, directory]);
    }
    for _ in 0..count {
        open.push(memfd_create(c"bench", MFdFlags::empty())?);
        open.push(TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty())?.into());
        open.push(SignalFd::new(&SigSet::empty())?.as_fd().try_clone_to_owned()?);
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        if let Some(watched) = open.last() {
            epoll.add(watched, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
        }
        open.push(epoll.0);
        open.push(File::open("/dev/null")?.into());
    }
    Ok(())
}

fn files(count: usize, path: &Path) -> io::Result<Vec<OwnedFd>> {
    let dir = path.with_added_extension("d");
    if count > 0 {
        std::fs::create_dir_all(&dir)?;
    }
    let file = |n| {
        let name = dir.join(format!("{n}"));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(name)?;
        writeln!(file, "{n}")?;
        Ok(file.into())
    };
    (0..count).map(file).collect()
}
