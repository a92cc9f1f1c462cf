//! The stage: mounts and files as metadata, contents of files as bulk.

use anyhow::Result;
use floe_capture::{
    memory::{Gather, contents},
    mount_trees::{FilesOf, Own, Space, Stacks, carry_roots, describe, part_of, removed_mounts},
};
use floe_records::{Findings, Namespace, Namespaces, NsId, NsKind, ObjectData, ObjectId, Pid};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of content that go into one record.
const BUFFER: usize = 256 << 10;

/// What has been seen of the tree so far.
pub struct DumpMnt {
    /// Our own mounts, before the tool goes where the tree stands.
    own: Own,
    /// The AUFS mounts among them.
    stacks: Stacks,
    /// Whether the files of the roots travel.
    carry_root: bool,
    /// A process of each mount namespace.
    members: BTreeMap<NsId, Pid>,
    /// Those that are not the one of freeze.
    others: BTreeSet<NsId>,
    /// Pid namespaces.
    pids: BTreeSet<NsId>,
    /// File systems whose files travel, by their devices.
    files: BTreeMap<u64, FilesOf>,
}

impl DumpMnt {
    /// Nothing is known yet.
    pub fn new(carry_root: bool) -> Result<Self> {
        let own = Own::read()?;
        Ok(Self {
            stacks: own.stacks()?,
            own,
            carry_root,
            members: BTreeMap::new(),
            others: BTreeSet::new(),
            pids: BTreeSet::new(),
            files: BTreeMap::new(),
        })
    }
}

impl Stage for DumpMnt {
    fn passed(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Namespaces>() {
            let all: Namespaces = raw.decode()?;
            self.members.entry(all.mnt).or_insert(all.pid);
        } else if raw.is::<Namespace>() {
            let space: Namespace = raw.decode()?;
            if space.kind == NsKind::Mnt && !space.inherited {
                self.others.insert(space.id);
            } else if space.kind == NsKind::Pid {
                self.pids.insert(space.id);
            }
        }
        Ok(())
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        let mut found = Findings::default();
        let (mut spaces, mut trees) = (Vec::new(), Vec::new());
        let mut procs = BTreeMap::new();
        for (id, pid) in &self.members {
            if !self.others.contains(id) {
                continue;
            }
            let space = Space::of(*pid)?;
            let (tree, some) = describe(*id, &space, (&self.own, &self.pids), &mut found);
            trees.push(tree);
            procs.extend(some.into_iter().map(|it| (it.dev, it)));
            spaces.push(space);
        }
        if self.carry_root {
            carry_roots(&mut trees, &mut found);
        }
        found.refusals()?;
        let systems = trees.iter().flat_map(|tree| &tree.systems);
        let carried: BTreeSet<u64> =
            systems.filter(|system| system.carried).map(|system| system.dev).collect();
        for it in procs.values() {
            out.record(it)?;
        }
        let mut stacks = Vec::new();
        for (tree, space) in trees.iter().zip(&spaces) {
            out.record(tree)?;
            stacks.extend(self.stacks.of(tree));
            for removed in removed_mounts(tree.id, space)? {
                out.record(&removed)?;
            }
        }
        stacks.sort_by(|one, other| one.point.0.cmp(&other.point.0));
        stacks.dedup();
        for stack in stacks {
            out.record(stack)?;
        }
        for dev in carried {
            let part = part_of(&trees, dev);
            let files = FilesOf::read(dev, &part.0, &spaces)?;
            for part in &files.trees {
                out.record(part)?;
            }
            self.files.insert(dev, files);
        }
        Ok(())
    }

    fn bulk(&mut self, out: &mut Out) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        for (dev, files) in &self.files {
            for found in &files.regular {
                let file = files.open(found)?;
                let id = ObjectId { dev: *dev, ino: found.ino };
                let mut gather = Gather::new(&file, contents(&file, found.size)?);
                loop {
                    let (ranges, _) = gather.fill(&mut buffer)?;
                    if ranges.is_empty() {
                        break;
                    }
                    let len = ranges.bytes() as usize;
                    out.record(&ObjectData { id, ranges })?;
                    out.bulk(&buffer[..len])?;
                }
            }
        }
        Ok(())
    }
}
