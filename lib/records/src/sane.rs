//! What records check of themselves. Metadata is input from a stranger: nothing of it is believed.

use crate::{
    Bytes, FdNum, FileId, FileRef, NsId, NsKind, ObjectId, Pid, Reference, SocketOption, Tid,
};

/// Longest path with its NUL, as the kernel takes it (PATH_MAX).
pub const PATH_MAX: usize = 4096;
/// Bytes of a `siginfo_t`.
pub const SIGINFO: usize = 128;
/// Highest signal number.
pub const SIGNALS: u32 = 64;
/// First address behind user space: TASK_SIZE of x86_64 with four levels of page tables.
pub const USER_END: u64 = 0x7fff_ffff_f000;

/// Something else in the stream that a record names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Link {
    /// A process that lives.
    Process(Pid),
    /// A process of the tree, which may have ended.
    Member(Pid),
    /// A thread, which must be of this process.
    Thread(Pid, Tid),
    /// An open file description.
    File(FileId),
    /// A file without a name.
    Object(ObjectId),
    /// What was removed and is no regular file.
    Removed(ObjectId),
    /// One of the two.
    Nameless(ObjectId),
    /// A message queue.
    Queue(ObjectId),
    /// A descriptor of a process that lives, which must lead to this description.
    Descriptor(Pid, FdNum, FileId),
    /// A namespace, which must be of this kind.
    Namespace(NsId, NsKind),
}

/// Says what is wrong where a condition does not hold.
///
/// # Errors
/// The problem, where it does not.
pub fn ensure(holds: bool, problem: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem.to_owned()) }
}

/// A path from a root.
pub(crate) fn path(path: &Bytes) -> Result<(), String> {
    ensure(path.0.first() == Some(&b'/'), "a path in it is not absolute")?;
    text(path)
}

/// What the kernel takes as a string.
pub(crate) fn text(text: &Bytes) -> Result<(), String> {
    ensure(text.0.len() < PATH_MAX, "a path or name in it is too long")?;
    ensure(!text.0.contains(&0), "a path or name in it has a zero byte")
}

/// Whether it is the name of a file in a directory.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| *byte != b'/' && *byte != 0;
    (1..=255).contains(&name.len()) && name.iter().all(plain) && name != b"." && name != b".."
}

/// Each greater than the one before.
pub(crate) fn ascending<T: PartialOrd>(mut all: impl Iterator<Item = T>) -> bool {
    let Some(mut last) = all.next() else { return true };
    all.all(|next| {
        let up = last < next;
        last = next;
        up
    })
}

/// Permissions, times and extended attributes of a file.
pub(crate) fn attributes(
    mode: u32,
    times: &[(i64, u32); 2],
    attributes: &[(Bytes, Bytes)],
) -> Result<(), String> {
    ensure(mode <= 0o7777, "it has impossible permissions")?;
    ensure(times.iter().all(|time| time.1 < 1_000_000_000), "it has an impossible time")?;
    // XATTR_NAME_MAX, XATTR_SIZE_MAX and XATTR_LIST_MAX.
    let sane = |(name, value): &(Bytes, Bytes)| {
        (1..=255).contains(&name.0.len()) && !name.0.contains(&0) && value.0.len() <= 65_536
    };
    let few = attributes.len() <= 65_536 / 3;
    ensure(few && attributes.iter().all(sane), "it has impossible attributes")
}

/// Queued signals.
pub(crate) fn queue(queued: &[Bytes]) -> Result<(), String> {
    let number = |info: &Bytes| info.0.first_chunk().copied().map(i32::from_ne_bytes);
    let whole = |info: &Bytes| {
        info.0.len() == SIGINFO && number(info).is_some_and(|n| (1..=SIGNALS as i32).contains(&n))
    };
    ensure(queued.iter().all(whole), "a queued signal is none")
}

/// Socket options: few, small, each once; each multicast group once.
pub(crate) fn options(options: &[SocketOption]) -> Result<(), String> {
    let groups = options.iter().filter(|option| option.is_group()).count();
    ensure(options.len() - groups <= 256 && groups <= 4096, "it has too many socket options")?;
    let small = options.iter().all(SocketOption::is_sane);
    ensure(small, "a socket option has a value of an impossible length")?;
    let group = |option: &SocketOption| match option.is_group() {
        true => option.value.0.get(..136).unwrap_or_default().to_vec(),
        false => Vec::new(),
    };
    let names = options.iter().map(|option| (option.level, option.name, group(option)));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    ensure(ascending(names.into_iter()), "it has a socket option twice")
}

impl FileRef {
    /// What must stand in the stream where it was removed.
    pub(crate) fn removed(&self) -> Option<Link> {
        self.deleted.then(|| Link::Removed(self.object()))
    }

    /// What an open file with this name says of paths; see [`Resource::references`](crate::Resource::references).
    pub(crate) fn references(&mut self, pid: Pid, visit: &mut dyn FnMut(Reference<'_>)) {
        if !self.deleted {
            visit(Reference::File(pid, "open file", self));
        }
    }

    /// What else an open file with this name speaks of; see [`Resource::links`](crate::Resource::links).
    pub(crate) fn links(&self, pid: Pid, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(pid));
        self.removed().into_iter().for_each(visit);
    }

    /// See [`Resource::check`](crate::Resource::check).
    pub(crate) fn check(&self) -> Result<(), String> {
        path(&self.path)
    }
}
