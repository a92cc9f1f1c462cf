//! The stage: rewrites references into branches, and notes the union mounts that are used.

use crate::{
    content,
    view::{Sources, View},
};
use anyhow::Result;
use floe_records::*;
use floe_stream::RawRecord;
use floe_toolkit::{Out, Stage};
use floe_unions::{Decision, decide};
use std::collections::BTreeMap;

/// The stage.
pub struct AufsFix {
    sources: Sources,
    views: BTreeMap<Pid, View>,
    used: Vec<Union>,
    /// How many of them are written.
    written: usize,
    /// Mappings whose content must be carried.
    lost: Vec<Refusal>,
    refused: Vec<Refusal>,
    /// What was done and why.
    told: Vec<String>,
}

impl AufsFix {
    /// Looks at `sources`.
    pub fn new(sources: Sources) -> Self {
        let views = BTreeMap::new();
        let (used, lost, refused, told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { sources, views, used, written: 0, lost, refused, told }
    }

    /// What was done so far, a sentence each.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// One reference of a process; true when it was changed.
    fn file(
        &mut self,
        pid: Pid,
        what: &str,
        file: &mut FileRef,
        range: Option<(u64, u64)>,
    ) -> bool {
        let Some(view) = self.views.get(&pid) else { return false };
        let link = || range.and_then(|(start, end)| view.link(start, end));
        let mut decision = decide(&view.unions, &file.path.0, link);
        // A process may well have opened the file of a branch by its own name.
        if decision != Decision::Keep && self.sources.is_live() && content::is_there(pid.0, file) {
            decision = Decision::Keep;
        }
        let old = file.path.to_string();
        let changed = decision != Decision::Keep;
        match decision {
            Decision::Keep => {}
            Decision::Rewrite(path) => (file.path, file.outside) = (path.into(), false),
            Decision::Nameless => file.deleted = true,
        }
        if let Some(stack) = view.over(&file.path.0).filter(|_| !file.outside) {
            let union = view.record(stack);
            if !self.used.contains(&union) {
                self.told.push(format!(
                    "pid {pid}: stands on {} at {}, {} branches",
                    union.fs_type,
                    union.point,
                    union.branches.len()
                ));
                self.used.push(union);
            }
        }
        if changed {
            let new = match file.deleted {
                true => "has no name: its content travels".to_owned(),
                false => format!("-> {}: it is in a branch", file.path),
            };
            self.told.push(format!("pid {pid}: {what}: {old} {new}"));
        }
        changed
    }

    fn vmas(&mut self, vmas: &mut Vmas) -> Result<bool> {
        let mut changed = false;
        for vma in &mut vmas.vmas {
            if vma.kind != VmaKind::File {
                continue;
            }
            let Some(mut file) = vma.file.take() else { continue };
            let what = format!("{:x}-{:x}", vma.start.0, vma.end.0);
            let range = (vma.start.0, vma.end.0);
            changed |= self.file(vmas.pid, &what, &mut file, Some(range));
            let view = self.views.get(&vmas.pid);
            let on_union = view.is_some_and(|view| view.over(&file.path.0).is_some());
            // Of a recording there is nothing to compare with, but it may tell what hides the mapped file now.
            let hidden = || {
                let view = view?;
                view.unions.hidden(&view.link(range.0, range.1)?, &|path| view.exists(path))
            };
            let nameless = file.deleted;
            vma.file = Some(file);
            let gone = nameless
                || match self.sources.is_live() {
                    true => on_union && !content::is_what_is_mapped(vmas.pid.0, vma)?,
                    false => hidden().is_some(),
                };
            changed |= gone && self.carry(vmas.pid, &what, vma);
        }
        Ok(changed)
    }

    /// A mapping of something that its path does not lead to any more; true when it was changed.
    fn carry(&mut self, pid: Pid, what: &str, vma: &mut Vma) -> bool {
        let name = vma.file.as_ref().map_or_else(String::new, |file| file.path.to_string());
        let refusal = |problem: &str, hint: &str| Refusal {
            pid: Some(pid),
            object: format!("{what} {name}"),
            problem: problem.to_owned(),
            hint: hint.to_owned(),
        };
        if vma.shared {
            let problem = "it maps a file, shared, that its name does not lead to any more";
            self.refused.push(refusal(problem, "have the program map it again"));
            return false;
        }
        self.told.push(format!(
            "pid {pid}: {what}: {name}: leads to other content than what is mapped: its content travels"
        ));
        let hint = "put aufsfix before dumpmem";
        self.lost.push(refusal("its pages must travel, and dumpmem has not known that", hint));
        vma.kind = VmaKind::Content;
        vma.file = None;
        true
    }

    /// References of a process that come with one record.
    fn fixed<T: Record>(
        &mut self,
        raw: RawRecord,
        fix: impl FnOnce(&mut Self, &mut T) -> Result<bool>,
    ) -> Result<RawRecord> {
        let mut record: T = raw.decode()?;
        // What needs no change goes on byte for byte.
        if fix(self, &mut record)? { Ok(RawRecord::encode(&record)?) } else { Ok(raw) }
    }

    fn open_file(&mut self, open: &mut OpenFile) -> bool {
        match &mut open.what {
            FileKind::Regular(file, _)
            | FileKind::Directory(file)
            | FileKind::Device(file, _)
            | FileKind::Fifo(file) => self.file(open.pid, "open file", file, None),
            FileKind::Unix(socket) if socket.name.0.first() == Some(&b'/') => {
                let path = socket.name.0.strip_suffix(b"\0").unwrap_or(&socket.name.0).to_vec();
                let mut file = FileRef {
                    path: path.into(),
                    outside: false,
                    dev: 0,
                    ino: 0,
                    mnt_id: None,
                    deleted: false,
                };
                let changed = self.file(open.pid, "socket", &mut file, None) && !file.deleted;
                if changed {
                    file.path.0.push(0);
                    socket.name = file.path;
                }
                changed
            }
            _ => false,
        }
    }
}

impl Stage for AufsFix {
    fn record(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            let process: Process = raw.decode()?;
            if let Some(view) = View::read(&self.sources, process.pid.0)? {
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
        let raw = if raw.is::<Vmas>() {
            self.fixed(raw, Self::vmas)?
        } else if raw.is::<Mm>() {
            self.fixed(raw, |me, mm: &mut Mm| Ok(me.file(mm.pid, "exe", &mut mm.exe, None)))?
        } else if raw.is::<Fs>() {
            // The root is seen from outside of itself, and stays.
            self.fixed(raw, |me, fs: &mut Fs| Ok(me.file(fs.pid, "cwd", &mut fs.cwd, None)))?
        } else if raw.is::<OpenFile>() {
            self.fixed(raw, |me, open: &mut OpenFile| Ok(me.open_file(open)))?
        } else if raw.is::<MappedFile>() {
            self.fixed(raw, |me, mapped: &mut MappedFile| {
                Ok(me.file(mapped.pid, "mapped file", &mut mapped.file, None))
            })?
        } else {
            raw
        };
        Ok(Some(raw))
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        if !self.refused.is_empty() {
            return Err(Refusals(std::mem::take(&mut self.refused)).into());
        }
        self.ahead(out)
    }

    fn ahead(&mut self, out: &mut Out) -> Result<()> {
        for union in &self.used[self.written..] {
            out.record(union)?;
        }
        self.written = self.used.len();
        Ok(())
    }

    fn needs_target(&self) -> bool {
        false
    }
}
