//! The stage: rewrites references into branches, and notes the union mounts that are used.

use crate::{content, sources::Sources, space::Space, used::Used, view::View};
use anyhow::{Context, Result};
use floe_records::*;
use floe_stream::RawRecord;
use floe_toolkit::{Out, Stage};
use floe_unions::{Decision, Place};
use std::{collections::BTreeMap, os::unix::fs::FileTypeExt, rc::Rc};

/// The stage.
pub struct AufsFix {
    sources: Sources,
    spaces: BTreeMap<u64, Rc<Space>>,
    views: BTreeMap<Pid, View>,
    used: Used,
    /// Mappings whose content must be carried.
    lost: Vec<Finding>,
    refused: Vec<Finding>,
    /// What was done and why, where somebody wants to know.
    told: Option<Vec<String>>,
}

/// What became of a file reference.
struct Fixed {
    changed: bool,
    nameless: bool,
}

impl AufsFix {
    /// Looks at `sources`.
    pub fn new(sources: Sources) -> Self {
        let (spaces, views, used) = (BTreeMap::new(), BTreeMap::new(), Used::default());
        let (lost, refused) = (Vec::new(), Vec::new());
        Self { sources, spaces, views, used, lost, refused, told: None }
    }

    /// What was done since it was asked for the last time, a sentence each.
    pub fn told(&mut self) -> Vec<String> {
        self.told.replace(Vec::new()).unwrap_or_default()
    }

    fn tell(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(sentence());
        }
    }

    fn refuse(&mut self, pid: Pid, object: String, problem: &str, hint: &str) {
        self.refused.push(Finding::of(pid, object, "union.name", problem).hint(hint));
    }

    /// One reference of a process.
    fn file(
        &mut self,
        pid: Pid,
        what: &str,
        file: &mut FileRef,
        range: Option<(u64, u64)>,
    ) -> Result<Fixed> {
        let Some(view) = self.views.get(&pid) else {
            return Ok(Fixed { changed: false, nameless: false });
        };
        let old = view.absolute(&file.path.0, file.outside);
        let (decision, reported) = decide(view, file, &old, range);
        let (mut changed, mut nameless) = (false, false);
        let why = self.told.as_ref().map(|_| why(view, &reported));
        match decision {
            Decision::Keep => {}
            Decision::Nameless => nameless = true,
            Decision::Rewrite(path) => {
                let (path, outside) = view.relative(&path);
                (file.path, file.outside, changed) = (path.into(), outside, true);
            }
        }
        let (space, now) = (view.space.clone(), view.absolute(&file.path.0, file.outside));
        if changed || nameless {
            let new = if changed { format!("-> {}", file.path) } else { "has no name".into() };
            let why = why.unwrap_or_default();
            self.tell(|| format!("pid {pid}: {what}: {} {new}: {why}", shown(&old)));
        } else if let Some((start, end)) = range {
            self.tell_link(pid, what, &now, (start, end));
        }
        let new = self.used.note(pid, &space, &now, &mut self.refused);
        if new.with_context(|| format!("pid {pid}"))?
            && let Some(union) = self.used.last()
        {
            let (fs_type, point) = (union.fs_type.clone(), union.point.clone());
            self.tell(|| format!("pid {pid}: stands on {fs_type} at {point}, and on its branches"));
        }
        Ok(Fixed { changed, nameless })
    }

    /// A mapping that map_files shows in a branch, and whose path is right.
    fn tell_link(&mut self, pid: Pid, what: &str, path: &[u8], range: (u64, u64)) {
        let Some(view) = self.views.get(&pid).filter(|_| self.told.is_some()) else { return };
        let link = view.link(range.0, range.1).filter(|link| link != path);
        let Some(link) =
            link.filter(|link| view.space.unions.branch_of(link, &view.root).is_some())
        else {
            return;
        };
        let (why, link) = (why(view, &Some(link.clone())), shown(&link));
        let path = shown(path);
        self.tell(|| format!("pid {pid}: {what}: {link} -> {path}: {why}, as maps shows it"));
    }

    /// A reference whose content is not carried by anybody.
    fn named(&mut self, pid: Pid, what: &str, file: &mut FileRef) -> Result<bool> {
        let fixed = self.file(pid, what, file, None)?;
        if fixed.nameless {
            let problem = "it is in a branch of a union and has no name there, and its content is not carried";
            self.refuse(pid, format!("{what} {}", file.path), problem, "have the program close it");
        }
        Ok(fixed.changed)
    }

    /// A mapping, perhaps of a file.
    fn mapping(&mut self, pid: Pid, vma: &mut Vma) -> Result<bool> {
        let Some(mut file) = vma.file.take_if(|_| vma.kind == VmaKind::File) else {
            return Ok(false);
        };
        let what = format!("{:x}-{:x}", vma.start.0, vma.end.0);
        let range = (vma.start.0, vma.end.0);
        let fixed = self.file(pid, &what, &mut file, Some(range))?;
        let gone = match self.views.get(&pid) {
            _ if fixed.nameless => true,
            Some(view) if self.sources.is_live() => !is_still_there(view, pid, vma, &file)?,
            // There is nothing to compare with, but a recording may tell what hides the mapped file now.
            Some(view) => {
                view.link(range.0, range.1).is_some_and(|link| view.hidden(&link).is_some())
            }
            None => false,
        };
        vma.file = Some(file);
        Ok(gone && self.carry(pid, &what, vma) || fixed.changed)
    }

    /// A mapping of something that its path does not lead to any more; true when it was changed.
    fn carry(&mut self, pid: Pid, what: &str, vma: &mut Vma) -> bool {
        let name = vma.file.as_ref().map_or_else(String::new, |file| file.path.to_string());
        let object = format!("{what} {name}");
        if vma.shared {
            let problem = "it maps a file, shared, that its name does not lead to any more";
            self.refuse(pid, object, problem, "have the program map it again");
            return false;
        }
        self.tell(|| {
            let problem = "leads to other content than what is mapped: its content travels";
            format!("pid {pid}: {what}: {name}: {problem}")
        });
        let problem = "its pages must travel, and dumpmem has not known that";
        let finding = Finding::of(pid, object, "union.order", problem);
        self.lost.push(finding.hint("put aufsfix before dumpmem"));
        vma.kind = VmaKind::Detached;
        vma.file = None;
        true
    }

    /// One reference of a record; true when it was changed.
    fn reference(&mut self, reference: Reference<'_>) -> Result<bool> {
        match reference {
            Reference::File(pid, what, file) => self.named(pid, what, file),
            Reference::Root(pid, root) => self.root(pid, root),
            Reference::Mapping(pid, vma) => self.mapping(pid, vma),
            Reference::Mapped(mapped) => {
                let fixed = self.file(mapped.pid, "mapped file", &mut mapped.file, None)?;
                Ok(self.describe(mapped)? || fixed.changed)
            }
            Reference::Socket(pid, name) => self.address(pid, name),
        }
    }

    /// Describes a mapped file of a union by what its path leads to, as restore will find it; true where that differs.
    /// What the kernel shows of the mapping may be the file of a branch, which was copied up and appended to since.
    fn describe(&mut self, mapped: &mut MappedFile) -> Result<bool> {
        let live = self.sources.is_live();
        let Some(view) = self.views.get(&mapped.pid).filter(|_| live) else { return Ok(false) };
        let path = view.absolute(&mapped.file.path.0, mapped.file.outside);
        let there = view.space.over(&path).and_then(|_| content::open_regular(&view.reach(&path)?));
        let Some(there) = there else { return Ok(false) };
        let mut head = vec![0; floe_elf::HEAD as usize];
        let now = floe_capture::mapped_file(mapped.pid, &mapped.file, &there, &mut head)
            .with_context(|| format!("pid {}: unable to read {}", mapped.pid, mapped.file.path))?;
        if *mapped == now {
            return Ok(false);
        }
        let was = std::mem::replace(mapped, now);
        self.tell(|| {
            let (pid, path, old, new) = (was.pid, &was.file.path, was.size, mapped.size);
            format!("pid {pid}: mapped file: {path}: its branch shows another one, of {old} bytes: of {new} bytes in the union")
        });
        Ok(true)
    }

    /// The root of a process, which is seen from outside of itself.
    fn root(&mut self, pid: Pid, root: &mut FileRef) -> Result<bool> {
        let mut seen = FileRef { outside: true, ..root.clone() };
        let changed = self.named(pid, "root", &mut seen)?;
        if let Some(view) = self.views.get(&pid).filter(|_| changed) {
            root.path = view.absolute(&seen.path.0, seen.outside).into();
        }
        Ok(changed)
    }

    /// The address of a UNIX socket. What is a socket for the process keeps its name.
    fn address(&mut self, pid: Pid, name: &mut Bytes) -> Result<bool> {
        let Some(view) = self.views.get(&pid).filter(|_| name.0.first() == Some(&b'/')) else {
            return Ok(false);
        };
        let path = name.0.strip_suffix(b"\0").unwrap_or(&name.0).to_vec();
        let here =
            view.reach(&view.absolute(&path, false)).and_then(|path| path.symlink_metadata().ok());
        if self.sources.is_live() && here.is_some_and(|meta| meta.file_type().is_socket()) {
            return Ok(false);
        }
        let mut file = FileRef {
            path: path.into(),
            outside: false,
            dev: 0,
            ino: 0,
            mnt_id: None,
            deleted: false,
        };
        let changed = self.named(pid, "socket", &mut file)?;
        if changed {
            file.path.0.push(0);
            *name = file.path;
        }
        Ok(changed)
    }
}

/// Decides about a file; gives what the kernel reports of it, too, where that is in a branch.
fn decide(
    view: &View,
    file: &FileRef,
    path: &[u8],
    range: Option<(u64, u64)>,
) -> (Decision, Option<Vec<u8>>) {
    let link = range.and_then(|(start, end)| view.link(start, end));
    let there = view.leads_to(path, file);
    let mut decision = view.decide(path, || link.clone(), || there == Some(true));
    let place = |link: &[u8]| view.space.unions.place(link, &view.root);
    let known = || link.as_ref().is_some_and(|link| place(link) == Place::Union(path.to_vec()));
    if decision == Decision::Keep
        && there != Some(true)
        && !file.outside
        && file.path.0 != path
        && !known()
    {
        // A branch path that nobody has told from one below the root of the process.
        decision = view.decide(&file.path.0, || None, || false);
    }
    if decision == Decision::Keep
        && there == Some(false)
        && let Some(found) = below_a_union(view, file, path)
    {
        return (Decision::Rewrite(found), None);
    }
    (decision, Some(file.path.0.clone()))
}

/// Why a reference was rewritten.
fn why(view: &View, reported: &Option<Vec<u8>>) -> String {
    let Some(reported) = reported else {
        return "the kernel names it from the root of that union".into();
    };
    view.space.unions.branch_of(reported, &view.root).map_or_else(String::new, |(stack, branch)| {
        let (fs_type, point) = (shown(&stack.mount.fs_type), shown(&stack.mount.point));
        format!("it is in branch {} of the {fs_type} at {point}", shown(&branch.path))
    })
}

/// On a union of unions the kernel shows some files of it from its own root (Linux 6.18): the path in the namespace, if
/// there is one that leads to the file.
fn below_a_union(view: &View, file: &FileRef, path: &[u8]) -> Option<Vec<u8>> {
    let points = view.space.unions.stacks.iter().map(|stack| &stack.mount.point);
    let paths = points.filter(|point| point.len() > 1).map(|point| [point, path].concat());
    paths.into_iter().find(|path| view.leads_to(path, file) == Some(true))
}

/// Whether the path of a mapping leads to what is mapped. On a union no inode number tells.
fn is_still_there(view: &View, pid: Pid, vma: &Vma, file: &FileRef) -> Result<bool> {
    let path = view.absolute(&file.path.0, file.outside);
    if view.space.over(&path).is_none() && view.leads_to(&path, file) != Some(false) {
        return Ok(true);
    }
    match view.reach(&path) {
        Some(path) => content::is_what_is_mapped(pid.0, vma, &path),
        None => Ok(false),
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Stage for AufsFix {
    fn record(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            let process: Process = raw.decode()?;
            if let Some(view) = View::read(&self.sources, process.pid.0, &mut self.spaces)? {
                self.views.insert(process.pid, view);
            }
        } else if raw.is::<floe_records::Stage>() {
            let stage: floe_records::Stage = raw.decode()?;
            if stage.tool == "dumpmem" && !self.lost.is_empty() {
                return Err(Refusals(std::mem::take(&mut self.lost)).into());
            }
        }
        Ok(())
    }

    fn rewrite(&mut self, raw: RawRecord) -> Result<Option<RawRecord>> {
        if self.views.is_empty() {
            return Ok(Some(raw));
        }
        // What is not known has no reference that could be fixed.
        let Some(mut record) = raw.any()? else { return Ok(Some(raw)) };
        let (mut changed, mut failed) = (false, None);
        record.references(&mut |reference| match self.reference(reference) {
            Ok(fixed) => changed |= fixed,
            Err(error) => drop(failed.get_or_insert(error)),
        });
        failed.map_or(Ok(()), Err)?;
        // What needs no change goes on byte for byte.
        Ok(Some(if changed { RawRecord::of(&record)? } else { raw }))
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        self.ahead(out)
    }

    fn ahead(&mut self, out: &mut Out) -> Result<()> {
        if !self.refused.is_empty() {
            return Err(Refusals(std::mem::take(&mut self.refused)).into());
        }
        for union in self.used.fresh() {
            out.record(union)?;
        }
        Ok(())
    }

    fn needs_target(&self) -> bool {
        false
    }

    fn goes_there(&self) -> bool {
        self.sources.is_live()
    }
}
