//! Membership in cgroups: read once for all threads, and written by `freeze` with the directories on the way.

use crate::{
    Result,
    files::Files,
    frozen::{Frozen, Thawed},
    namespace::cgroup_roots,
    origin, parallel,
    resource::OfObject,
    subject,
};
use floe_cgroups::{Directory, Mounts, lines};
use floe_records::{
    AnyRecord, Bytes, Cgroup, CgroupDirectory, CgroupMode, Finding, Findings, Members, Options,
    Pid, Record, Tid, cgroup_property,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    sync::Arc,
};

/// Permission bits that the kernel gives files of a cgroup.
const FRESH: [u32; 5] = [0o644, 0o444, 0o200, 0o222, 0o666];

impl OfObject for Cgroup {
    /// They are found by way of processes.
    fn collect(_: &Files, _: &mut Findings) -> Result<Vec<Self>> {
        Ok(Vec::new())
    }
}

/// Hierarchy and path.
pub(crate) type Place = (Bytes, Bytes);
/// A thread, and the process that it is of.
type Member = (Pid, Tid);

/// What /proc/TID/cgroup says, and the threads of which it says so.
type Groups = BTreeMap<Vec<u8>, Vec<Member>>;

/// The frozen cgroups that a process is in, each with the number of processes in it.
pub(crate) fn frozen_above(pid: u32) -> Result<Vec<(Place, usize)>> {
    let (mounts, mut frozen) = (Mounts::read()?, Vec::new());
    for line in lines(&floe_proc::read_record(pid, "cgroup")?) {
        for end in above(line.path).chain([line.path.len()]) {
            let place: Place = (line.hierarchy.into(), line.path[..end].into());
            if !freezes(&place) || place.1.0 == b"/" {
                continue;
            }
            let directory = Directory::open(&mounts.directories(&place.0.0, &place.1.0))?;
            if let Some(directory) = directory
                && directory.is_told_to_freeze()?
            {
                frozen.push((place, directory.processes()?.len()));
            }
        }
    }
    Ok(frozen)
}

/// Who of a tree is in which cgroups.
#[derive(Debug)]
pub(crate) struct Memberships {
    root: u32,
    groups: Groups,
    /// Each with its directory, where that is seen; of the roots of hierarchies it is not looked for.
    all: Vec<(Place, Members, Option<Arc<Directory>>)>,
    /// One with more empty ones below it than are carried.
    many: Option<Place>,
}

impl Memberships {
    /// Reads those of all threads; the first process is the root of the tree.
    pub fn read(pids: &[u32]) -> Result<Self> {
        let (root, groups) = (pids.first().copied().unwrap_or(0), groups(pids)?);
        let (mounts, mut all) = (Mounts::read()?, BTreeMap::new());
        for (place, members) in places(root, &groups) {
            let directory = match place.1.0.as_slice() {
                b"/" => None,
                path => Directory::open(&mounts.directories(&place.0.0, path))?,
            };
            all.insert(place, (members, directory.map(Arc::new)));
        }
        let (mut empty, mut many) = (Vec::new(), None);
        let own = own(&groups);
        // Those below a root that the tree has of its own are its own as well.
        let tops = cgroup_roots::tops(pids)?;
        let has_below =
            |(place, (members, _)): &(&Place, &(Members, _))| members.any() || tops.contains(place);
        for (place, (_, directory)) in all.iter().filter(has_below) {
            if let Some(directory) = directory
                && !add_empty(place, directory, &own, &mut empty)?
            {
                many.get_or_insert_with(|| place.clone());
            }
        }
        for (place, directory) in empty {
            let nobody = Members::Listed(Vec::new());
            all.entry(place).or_insert_with(|| (nobody, Some(Arc::new(directory))));
        }
        let all = all.into_iter().map(|(place, (members, directory))| (place, members, directory));
        Ok(Self { root, groups, all: all.collect(), many })
    }

    /// Looks for what cannot be kept. Gives what is frozen, and must be thawed to be captured.
    pub fn look(&self, options: &Options, out: &mut Findings) -> Result<Frozen> {
        let ignores = options.cgroup == CgroupMode::Ignore;
        let mut frozen = Frozen::default();
        for (place, _, directory) in self.all.iter().filter(|(place, ..)| place.1.0 != b"/") {
            let problem = directory.as_ref().map_or(Ok(None), |of| self.frozen(place, of))?;
            if let Some(problem) = problem {
                let finding = Finding::of(Pid(self.root), name(place), "cgroup.frozen", problem);
                out.refuse(finding.hint("thaw it first"));
            } else if !ignores {
                self.kept(place, directory.is_some(), out);
            }
            if let Some(directory) = directory.as_ref().filter(|_| freezes(place))
                && directory.is_told_to_freeze()?
            {
                frozen.0.push((place.clone(), Arc::clone(directory)));
            }
        }
        if ignores {
            self.ignored(out)?;
        } else if let Some(place) = &self.many {
            let problem = format!("of the empty cgroups below it only {MOST_EMPTY} are carried");
            out.lose(Finding::about(name(place), "cgroup.empty", problem));
        }
        Ok(frozen)
    }

    /// Whether a cgroup can be found again.
    fn kept(&self, place: &Place, is_seen: bool, out: &mut Findings) {
        if place.1.0.starts_with(b"/..") {
            let problem = "it is outside of the cgroup namespace of freeze";
            let finding = Finding::of(Pid(self.root), name(place), "cgroup.namespace", problem);
            let hint = "--cgroup ignore has the tree come back in the cgroups of restore";
            out.refuse(finding.hint(hint));
        } else if !is_seen {
            let problem = "its directory is not seen here: unless restore sees it, it comes back in that of restore";
            let finding = Finding::about(name(place), "cgroup.hidden", problem);
            out.lose(finding.hint("mount its hierarchy where freeze runs"));
        }
    }

    /// The records of them; none where restore is to ignore them.
    pub fn records(self, options: &Options, thawed: &Thawed) -> Result<Vec<AnyRecord>> {
        if options.cgroup == CgroupMode::Ignore {
            return Ok(Vec::new());
        }
        let record = |(place, members, directory): (Place, _, Option<Arc<Directory>>)| {
            let mut about = directory.map(|directory| describe(&directory)).transpose()?;
            if let Some(about) = &mut about {
                about.frozen |= thawed.contains(&place);
            }
            let (hierarchy, path) = place;
            Ok(Cgroup { hierarchy, path, members, directory: about }.any())
        };
        self.all.into_iter().map(record).collect()
    }

    /// Why a cgroup cannot be thawed that is frozen.
    fn frozen(&self, place: &Place, directory: &Directory) -> Result<Option<String>> {
        if !freezes(place) || !directory.is_frozen()? {
            return Ok(None);
        }
        if !directory.is_told_to_freeze()? {
            // Of version 1: one above it is, which is looked at as well, if it can be.
            let above = above(&place.1.0).count() > 0;
            return Ok((!above).then(|| "it is frozen by one above that is not seen here".into()));
        }
        if let Err(e) = directory.freezer() {
            return Ok(Some(format!("it is frozen, and cannot be thawed: {e}")));
        }
        let processes = directory.processes()?;
        let all = origin::processes_in(place) == Some(processes.len());
        if !directory.is_version_2() && !all && !floe_proc::is_in_initial_pid_namespace()? {
            // Version 1 shows only those of ours.
            let problem =
                "it is frozen, and what else would be thawed is not seen from this pid namespace";
            return Ok(Some(problem.into()));
        }
        let own = own(&self.groups);
        let stranger = processes.into_iter().find(|pid| !own.contains(pid));
        Ok(stranger.map(|pid| match pid {
            0 => {
                "it is frozen, and a process of another pid namespace would be thawed with the tree"
                    .into()
            }
            _ => format!(
                "it is frozen, and process {pid}, which is not of the tree, would be thawed with it"
            ),
        }))
    }

    /// What a restore in the cgroups of freeze would not bring back.
    fn ignored(&self, out: &mut Findings) -> Result<()> {
        let own = floe_proc::read_record(std::process::id(), "cgroup")?;
        for (text, members) in &self.groups {
            let names = differing(text, &own);
            let Some((pid, _)) = members.first().filter(|_| !names.is_empty()) else { continue };
            let object = format!("cgroup {names}");
            let problem = "it comes back in that of restore";
            let finding = if self.groups.len() == 1 {
                Finding::about(object, "cgroup", format!("the tree is in it, and {problem}"))
            } else {
                let problem = format!("{} of the threads are in it, and {problem}", members.len());
                Finding::of(*pid, object, "cgroup", problem)
            };
            out.lose(finding.hint("leave out --cgroup ignore, or run restore in that cgroup"));
        }
        Ok(())
    }
}

/// Reads what /proc says of all threads of these processes.
fn groups(pids: &[u32]) -> Result<Groups> {
    let mut threads: Vec<Member> = Vec::new();
    for &pid in pids {
        threads.extend(subject::tids(pid)?.into_iter().map(|tid| (Pid(pid), Tid(tid))));
    }
    let read = |thread: &Member| subject::unless_gone(floe_proc::read_record(thread.1.0, "cgroup"));
    let texts = parallel::each(&threads, read);
    let mut groups = Groups::new();
    for (thread, text) in threads.into_iter().zip(texts) {
        let text = text?;
        match groups.get_mut(&text) {
            Some(members) => members.push(thread),
            // What has ended is moved into the root of each hierarchy.
            None if subject::stat(thread.1.0)?.is_none_or(|stat| stat.is_dead()) => {}
            None => drop(groups.insert(text, vec![thread])),
        }
    }
    // Of one that has just ended.
    groups.remove(&Vec::new());
    Ok(groups)
}

/// What is in which cgroup, and the cgroups above those, of which some may be empty.
fn places(root: u32, groups: &Groups) -> BTreeMap<Place, Members> {
    let mut places: BTreeMap<Place, Members> = BTreeMap::new();
    for (text, members) in groups {
        let has_root = members.iter().any(|(_, tid)| tid.0 == root);
        for line in lines(text) {
            let hierarchy = Bytes::from(line.hierarchy);
            for end in above(line.path) {
                let place = (hierarchy.clone(), line.path[..end].into());
                places.entry(place).or_insert(Members::Listed(Vec::new()));
            }
            let place = (hierarchy, line.path.into());
            let entry = places.entry(place).or_insert(Members::Listed(Vec::new()));
            match entry {
                _ if has_root => *entry = Members::Others,
                Members::Listed(all) => all.extend(members),
                Members::Others => {}
            }
        }
    }
    for members in places.values_mut() {
        if let Members::Listed(all) = members {
            all.sort_unstable();
        }
    }
    places
}

/// Most cgroups with nothing in them that are carried.
const MOST_EMPTY: usize = 1000;

/// Finds the cgroups below one of the tree's that nobody else is in, as managers of processes keep them empty. Says whether they
/// are all.
fn add_empty(
    place: &Place,
    directory: &Directory,
    own: &BTreeSet<u32>,
    to: &mut Vec<(Place, Directory)>,
) -> Result<bool> {
    let mut left = vec![(place.clone(), directory.below()?)];
    while let Some(((hierarchy, above), below)) = left.pop() {
        for (name, directory) in below {
            if directory.processes()?.iter().any(|pid| !own.contains(pid)) {
                continue;
            }
            if to.len() == MOST_EMPTY {
                return Ok(false);
            }
            let path = Bytes([&above.0[..], b"/", &name].concat());
            left.push(((hierarchy.clone(), path.clone()), directory.below()?));
            to.push(((hierarchy.clone(), path), directory));
        }
    }
    Ok(true)
}

/// The processes of the tree.
fn own(groups: &Groups) -> BTreeSet<u32> {
    groups.values().flatten().map(|(pid, _)| pid.0).collect()
}

/// Where the paths end of all cgroups above one, but the root.
fn above(path: &[u8]) -> impl Iterator<Item = usize> {
    path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at)
}

/// How people know it.
fn name((hierarchy, path): &Place) -> String {
    format!("cgroup {}", Cgroup::shown(hierarchy, path))
}

/// One that somebody has frozen while the tree was stopped.
pub(crate) fn frozen_meanwhile(place: &Place) -> Finding {
    let problem = "it was frozen meanwhile, and threads that do not run cannot be asked anything";
    Finding::about(name(place), "cgroup.frozen", problem).hint("try again")
}

/// Whether cgroups of this hierarchy can be frozen.
fn freezes(place: &Place) -> bool {
    place.0.0.is_empty() || place.0.0.split(|b| *b == b',').any(|name| name == b"freezer")
}

/// What makes it again.
fn describe(directory: &Directory) -> Result<CgroupDirectory> {
    let about = directory.stat()?;
    let (mut properties, mut files) = (Vec::new(), Vec::new());
    for (name, file) in directory.entries()? {
        if file.is_dir() {
            continue;
        }
        let (owner, mode) = ((file.uid(), file.gid()), file.mode() & 0o7777);
        if owner != (0, 0) || !FRESH.contains(&mode) {
            files.push((Bytes::from(&name[..]), owner, mode));
        }
        if let Some((at, _)) = cgroup_property(&name) {
            let value = directory.property(&name)?;
            properties.extend(value.map(|value| (at, (name.into(), value.into()))));
        }
    }
    properties.sort_by_key(|(at, _)| *at);
    Ok(CgroupDirectory {
        mode: about.st_mode & 0o7777,
        owner: (about.st_uid, about.st_gid),
        frozen: directory.is_told_to_freeze()?,
        properties: properties.into_iter().map(|(_, property)| property).collect(),
        files,
    })
}

/// The lines of one membership that are not in another one, without the numbers of the hierarchies.
fn differing(text: &[u8], own: &[u8]) -> String {
    let own: BTreeSet<_> = lines(own).map(|line| (line.hierarchy, line.path)).collect();
    let theirs = lines(text).filter(|line| !own.contains(&(line.hierarchy, line.path)));
    let names = theirs.map(|line| Cgroup::shown(&line.hierarchy.into(), &line.path.into()));
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let own = b"4:memory:/a\n1:name=systemd:/\n0::/\n";
        assert_eq!(differing(own, own), "");
        let theirs = b"4:memory:/b c\n1:name=systemd:/\n0::/app:1\n";
        assert_eq!(differing(theirs, own), "memory:/b c /app:1");
    }

    #[test]
    fn threads_apart_are_listed_and_those_above_are_there() {
        let member = |tid| (Pid(tid / 10 * 10), Tid(tid));
        let groups = [
            (&b"1:cpu:/a/b\n0::/\n"[..], vec![member(10), member(11)]),
            (b"1:cpu:/a/c/d\n0::/\n", vec![member(12), member(20)]),
        ];
        let groups = groups.map(|(text, members)| (text.to_vec(), members)).into_iter().collect();
        let places = places(10, &groups);
        let shown = places.iter().map(|((hierarchy, path), members)| {
            let members = match members {
                Members::Others => "others".to_owned(),
                Members::Listed(all) => {
                    format!("{:?}", all.iter().map(|m| m.1.0).collect::<Vec<_>>())
                }
            };
            format!("{hierarchy}:{path} {members}")
        });
        let all: Vec<String> = shown.collect();
        assert_eq!(
            all,
            [":/ others", "cpu:/a []", "cpu:/a/b others", "cpu:/a/c []", "cpu:/a/c/d [12, 20]"]
        );
    }
}
