//! `fixture-bench MIB FILE [OPTION N]...`: holds MIB mebibytes of random bytes and whatever the options ask for, and
//! measures its own pauses: whenever the main thread wakes later than it asked to, a line goes to FILE: how long it was
//! away, and when it woke, both in microseconds of the wall clock, which a restore does not set back. The first line is `ready`.
//!
//! On SIGUSR1 it adds a line `hash H` of what it has written to memory; on SIGUSR2 it writes to every hundredth page of the
//! random bytes, with `--dirty 10` to ten times as much, and adds a line `wrote PAGES`.
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
//! | `--dirty` | nothing: SIGUSR2 writes to N percent of the pages |

use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::EventFd,
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect},
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigHandler, SigSet, Signal, signal},
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
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

const NAP: Duration = Duration::from_micros(200);
const NOTABLE: Duration = Duration::from_micros(500);
const PAGE: usize = 4096;
/// Generations of `--tree`.
const DEPTH: u32 = 8;
/// Stack of a sleeping thread, bytes.
const STACK: usize = 64 << 10;

/// SIGUSR1 has come, and SIGUSR2.
static ASKED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

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
    for asks in [Signal::SIGUSR1, Signal::SIGUSR2] {
        // SAFETY: the handler does nothing but to set a flag.
        unsafe { signal(asks, SigHandler::Handler(note)) }?;
    }
    let mut held = situation.set_up(&path)?;
    held.random = vec![0u8; mib << 20];
    File::open("/dev/urandom")?.read_exact(&mut held.random)?;
    let mut out = File::options().append(true).create(true).open(path)?;
    out.write_all(b"ready\n")?;
    measure(&mut held, &mut out)
}

extern "C" fn note(signal: i32) {
    ASKED[usize::from(signal == libc::SIGUSR2)].store(true, Ordering::Relaxed);
}

/// Notes the gaps, and does what it is asked for, until FILE cannot be written.
fn measure(held: &mut Held, out: &mut File) -> io::Result<()> {
    let mut last = SystemTime::now();
    loop {
        std::thread::sleep(NAP);
        let now = SystemTime::now();
        let gap = now.duration_since(last).unwrap_or_default();
        if gap > NAP + NOTABLE {
            let woke = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            writeln!(out, "{} {}", gap.as_micros(), woke.as_micros())?;
        }
        if ASKED[0].swap(false, Ordering::Relaxed) {
            writeln!(out, "hash {:016x}", held.hash())?;
        }
        if ASKED[1].swap(false, Ordering::Relaxed) {
            writeln!(out, "wrote {}", held.write())?;
        }
        // What it was asked for is no gap.
        last = SystemTime::now();
    }
}

/// What is kept until the end.
#[derive(Default)]
struct Held {
    #[expect(dead_code, reason = "they are kept open")]
    open: Vec<OwnedFd>,
    random: Vec<u8>,
    /// The pages of mappings that were written.
    pages: Vec<NonNull<u8>>,
    percent: usize,
}

impl Held {
    /// FNV-1a, of words in the place of bytes.
    fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let mut add = |bytes: &[u8]| {
            for word in bytes.as_chunks().0 {
                hash = (hash ^ u64::from_ne_bytes(*word)).wrapping_mul(0x100_0000_01b3);
            }
        };
        add(&self.random);
        for page in &self.pages {
            // SAFETY: a page of a mapping that is never unmapped, and that nobody writes to any more.
            add(unsafe { std::slice::from_raw_parts(page.as_ptr(), PAGE) });
        }
        hash
    }

    /// Changes some of the random bytes. Gives the number of pages written to.
    fn write(&mut self) -> usize {
        let step = 100 / self.percent.clamp(1, 100);
        let pages = self.random.chunks_mut(PAGE).step_by(step);
        pages.map(|page| page[0] = page[0].wrapping_add(1)).count()
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
    percent: usize,
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
            "dirty" => self.percent = n,
            _ => return Err(usage(&format!("--{option} is unknown"))),
        }
        Ok(())
    }

    /// Makes it all but the random bytes.
    fn set_up(&self, path: &Path) -> io::Result<Held> {
        tree(self.processes, 1)?;
        tree(self.tree, DEPTH)?;
        let mut pages = Vec::new();
        mappings(self.mappings, true, &mut pages)?;
        mappings(self.reserved, false, &mut pages)?;
        if self.sparse_mib > 0 {
            sparse(self.sparse_mib << 20, &mut pages)?;
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
        Ok(Held { open, pages, percent: self.percent, random: Vec::new() })
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
fn touch(mapping: NonNull<c_void>, offset: usize, pages: &mut Vec<NonNull<u8>>) {
    // SAFETY: callers pass the offset of a page inside a writable mapping that nobody else uses.
    unsafe {
        let page = mapping.cast::<u8>().add(offset);
        page.cast::<usize>().write(offset | 1);
        pages.push(page);
    }
}

/// Neighbours differ in their protection, else they would be one mapping.
fn mappings(count: usize, touched: bool, pages: &mut Vec<NonNull<u8>>) -> io::Result<()> {
    const LEN: usize = 2 * PAGE;
    if count == 0 {
        return Ok(());
    }
    let all = reserve(count * LEN)?;
    for offset in (0..count).map(|n| n * LEN) {
        if touched {
            touch(all, offset, pages);
        }
        if offset / LEN % 2 == 1 {
            // SAFETY: inside the mapping made above, behind which nothing holds a reference.
            unsafe { mprotect(all.add(offset), LEN, ProtFlags::PROT_READ) }?;
        }
    }
    Ok(())
}

fn sparse(len: usize, pages: &mut Vec<NonNull<u8>>) -> io::Result<()> {
    let mapping = reserve(len)?;
    // xorshift64: the same pages in every run.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..len / PAGE / 100 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        touch(mapping, (random % (len / PAGE) as u64) as usize * PAGE, pages);
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
