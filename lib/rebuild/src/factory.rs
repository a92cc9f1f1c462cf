//! What the making of files shares. Files are made in restore before the first process is: stubs get them by fork.

use crate::{
    cgroups::Cgroups,
    file::unix,
    inet::Ports,
    late_queues::Late,
    object::{carried_file::CarriedFiles, datagram_queue, pty::Made, queue},
    options::{Inherit, OutsideRule, RestoreOptions},
    own_traffic::OwnTraffic,
    segment,
    socket::FreshOptions,
    socket_file,
    stand::Stands,
};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl, open},
    sys::stat::Mode,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Mutex,
};

/// Status flags that fcntl(2) can set on what was not opened by name.
pub(crate) const STATUS: OFlag =
    OFlag::O_NONBLOCK.union(OFlag::O_APPEND).union(OFlag::O_DIRECT).union(OFlag::O_NOATIME);

/// Makes files; undoes what it did outside of itself when it is dropped before [`Factory::keep`].
pub(crate) struct Factory<'a> {
    pub tree: &'a Tree,
    pub stands: Stands<'a>,
    /// Descriptors of restore that take the place of outside ones.
    pub inherit: &'a [Inherit],
    /// Standard streams of restore take the place of those of the tree.
    pub standard: bool,
    /// What takes the place of an outside file otherwise.
    pub outside_rules: &'a [OutsideRule],
    /// Files without a name.
    pub objects: BTreeMap<ObjectId, OwnedFd>,
    /// Those of them that have been made before their turn.
    pub ahead: HashMap<ObjectId, Result<OwnedFd>>,
    /// Those of them that are mapped with MAP_NORESERVE: shared memory is accounted for when it is made, or not at all.
    pub unreserved: BTreeSet<ObjectId>,
    /// Those of them whose first description has been given to the tree, and as what. They are written through it too, so its
    /// status flags come last: with O_APPEND nothing is written in its place.
    pub given: BTreeMap<ObjectId, FileId>,
    /// Both ends of each pipe.
    pub pipes: BTreeMap<ObjectId, (OwnedFd, OwnedFd)>,
    /// Ends of them (`true` for that to write to) that have been given to the tree themselves.
    pub given_ends: BTreeSet<(ObjectId, bool)>,
    /// Named pipes, open for both.
    pub fifos: BTreeMap<ObjectId, OwnedFd>,
    /// Pseudo terminals.
    pub ptys: BTreeMap<ObjectId, Made>,
    /// What the tree has open of each message queue.
    pub of_queues: BTreeMap<ObjectId, Vec<FileId>>,
    /// Descriptions of message queues.
    pub message_queues: BTreeMap<FileId, OwnedFd>,
    /// Names of message queues that were made.
    pub queue_names: Vec<queue::Made>,
    /// UNIX sockets, by inode.
    pub unix: BTreeMap<u64, OwnedFd>,
    /// Sockets that carry messages, by inode.
    pub datagram_sockets: BTreeMap<u64, FileId>,
    /// Those of them that have been made with what is queued in them.
    pub filled: BTreeMap<u64, OwnedFd>,
    pub nodes: Vec<socket_file::Node>,
    /// Into which the tree comes back.
    pub cgroups: Cgroups,
    /// Files that have names and are made with their contents.
    pub carried: CarriedFiles,
    /// Segments of shared memory that were made.
    pub segments: Vec<segment::Made>,
    pub names: unix::Names<'a>,
    pub fresh_options: FreshOptions,
    /// What is sent between UNIX sockets when all is open.
    pub late: Mutex<Option<Late>>,
    /// Pipes that have no name.
    pub nameless_pipes: BTreeSet<ObjectId>,
    /// What will not be quite as it was, in words.
    pub notes: Vec<String>,
    /// Networks, kept away from connections until they go on.
    pub locks: Mutex<Vec<floe_netlock::Held>>,
    /// What restore sends to itself, kept away from NAT.
    pub own_traffic: OwnTraffic,
    pub tcp_ports: Ports,
    pub udp_ports: Ports,
    /// Numbers that outside files have in the tree.
    pub numbers: BTreeMap<FileId, Vec<u32>>,
}

impl<'a> Factory<'a> {
    /// Nothing is made yet.
    pub fn new(
        tree: &'a Tree,
        stands: Stands<'a>,
        cgroups: Cgroups,
        options: &'a RestoreOptions,
    ) -> Self {
        Self {
            tree,
            stands,
            inherit: &options.inherit,
            standard: options.standard,
            outside_rules: &options.outside,
            objects: BTreeMap::new(),
            ahead: HashMap::new(),
            unreserved: unreserved(tree),
            given: BTreeMap::new(),
            pipes: BTreeMap::new(),
            given_ends: BTreeSet::new(),
            fifos: BTreeMap::new(),
            ptys: BTreeMap::new(),
            of_queues: queue::descriptions(tree),
            message_queues: BTreeMap::new(),
            queue_names: Vec::new(),
            unix: BTreeMap::new(),
            datagram_sockets: datagram_queue::sockets(tree),
            filled: BTreeMap::new(),
            nodes: Vec::new(),
            cgroups,
            carried: CarriedFiles::default(),
            segments: Vec::new(),
            names: unix::Names::default(),
            fresh_options: FreshOptions::default(),
            late: Mutex::default(),
            nameless_pipes: tree.all::<Pipe>().iter().map(|pipe| pipe.pipe).collect(),
            notes: Vec::new(),
            locks: Mutex::default(),
            own_traffic: OwnTraffic::default(),
            // Connections share the port of their listener, and are bound in spite of it.
            tcp_ports: Ports::of(
                tree.all::<TcpSocket>()
                    .iter()
                    .map(|tcp| &tcp.socket)
                    .chain(tree.all::<MptcpSocket>().iter().map(|it| &it.socket))
                    .filter(|it| !it.is_connection()),
            ),
            udp_ports: Ports::of(
                tree.all::<UdpSocket>()
                    .iter()
                    .map(|udp| &udp.socket)
                    .chain(tree.all::<DatagramSocket>().iter().map(|it| &it.socket)),
            ),
            numbers: numbers_of_outside_files(tree),
        }
    }

    /// A file without a name.
    pub fn object(&self, id: ObjectId) -> Result<&OwnedFd> {
        let gone = || Error::because("open it", "its content is not in the stream");
        self.objects.get(&id).ok_or_else(gone)
    }

    /// Whether it is an end of a pseudo terminal that could not be made.
    pub fn lacks_pty(&self, id: FileId) -> bool {
        let master = self.tree.get::<PtyMaster>(id).map(|master| master.pty);
        let pty = master.or_else(|| self.tree.get::<PtySlave>(id).map(|slave| slave.pty));
        pty.is_some_and(|pty| !self.ptys.contains_key(&pty))
    }

    /// Whether it is of a message queue that could not be had.
    pub fn lacks_queue(&self, id: FileId) -> bool {
        self.tree.get::<MessageQueue>(id).is_some() && !self.message_queues.contains_key(&id)
    }

    /// The first process that has the file, or is to receive it.
    pub fn stands_with(&self, id: FileId) -> Option<Pid> {
        let holder = self.tree.holder(id).map(|(pid, _)| pid);
        holder.or_else(|| self.tree.get::<OpenFile>(id).map(|open| open.pid))
    }

    /// What takes the place of an outside file that nothing is given for.
    pub fn outside(&self, external: &External) -> Outside {
        let peer = self.tree.get::<OutsideSocket>(external.file).and_then(OutsideSocket::peer_name);
        let is_meant = |rule: &&OutsideRule| {
            let matches = |name: &Bytes| rule.pattern.matches(&name.0);
            matches(&external.what) || peer.as_ref().is_some_and(matches)
        };
        self.outside_rules.iter().rev().find(is_meant).map_or(Outside::Refuse, |rule| rule.outside)
    }

    /// Does something where the first process that has the file stands.
    pub fn within<T: Send>(
        &self,
        id: FileId,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let nobody = || Error::because("make a socket", "no process has it");
        let net = self.tree.get::<SocketSpace>(id).map(|it| it.namespace);
        self.stands.within_network(self.stands_with(id).ok_or_else(nobody)?, net, work)
    }

    /// Makes a socket in the network namespace that it belongs to.
    pub fn socket<T: Send>(
        &self,
        id: FileId,
        make: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        match self.tree.get::<SocketSpace>(id) {
            Some(it) => self.stands.in_network(it.namespace, make),
            None => make(),
        }
    }

    /// Notes what is not as it was.
    pub fn note(&mut self, id: FileId, notes: Vec<String>) {
        let object = self.tree.describe(id);
        self.notes.extend(notes.into_iter().map(|note| format!("{object}: {note}")));
    }

    /// The restore has succeeded.
    pub fn keep(&mut self) {
        self.nodes.clear();
        self.cgroups.keep();
        self.segments.drain(..).for_each(segment::Made::keep);
        self.queue_names.drain(..).for_each(queue::Made::keep);
    }
}

impl Drop for Factory<'_> {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.undo(&self.stands);
        }
    }
}

fn unreserved(tree: &Tree) -> BTreeSet<ObjectId> {
    let vmas = tree.living().flat_map(|p| tree.vmas(p.pid));
    vmas.filter(|vma| vma.shared && vma.has(b"nr")).filter_map(Vma::object).collect()
}

fn numbers_of_outside_files(tree: &Tree) -> BTreeMap<FileId, Vec<u32>> {
    let mut numbers: BTreeMap<FileId, Vec<u32>> = BTreeMap::new();
    let tables = tree.all::<Process>().iter().flat_map(|p| tree.fds(p.pid));
    for fd in tables.filter(|fd| tree.get::<External>(fd.file).is_some()) {
        numbers.entry(fd.file).or_default().push(fd.fd.0);
    }
    numbers
}

/// A description of its own of what a descriptor names.
pub(crate) fn reopen(fd: &OwnedFd, flags: OFlag) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // The link is there to be followed.
    let flags = (flags | OFlag::O_CLOEXEC) & !OFlag::O_NOFOLLOW;
    open(path.as_str(), flags, Mode::empty()).map_err(|e| Error::new("open a file again", e))
}

/// Has signals sent for it (O_ASYNC), where they were. Only fcntl(2) registers that.
pub(crate) fn with_async(fd: OwnedFd, open: &OpenFile) -> Result<OwnedFd> {
    let flags = OFlag::from_bits_retain(open.flags as i32);
    if flags.contains(OFlag::O_ASYNC) && !flags.contains(OFlag::O_PATH) {
        let all = STATUS | OFlag::O_ASYNC;
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags & all))
            .map_err(|e| Error::new("set the flags of an open file", e))?;
    }
    Ok(fd)
}

/// Sets the status flags of what was not opened by name.
pub(crate) fn with_status(fd: OwnedFd, open: &OpenFile) -> Result<OwnedFd> {
    set_status(&fd, open).map(|()| fd)
}

/// The same, of what is open already.
pub(crate) fn set_status(fd: &OwnedFd, open: &OpenFile) -> Result<()> {
    let flags = OFlag::from_bits_truncate(open.flags as i32) & STATUS;
    if !flags.is_empty() {
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags))
            .map_err(|e| Error::new("set the flags of an open file", e))?;
    }
    Ok(())
}
