//! Copies of processes of a held tree, made by fork(2): their memory stays what it was when the tree runs on.
//!
//! The tree must not see them. A copy is no child of it, has no descriptors and runs no instruction of the program
//! (`floe_parasite::copy`); it does not count where a cgroup limits processes. Where that cannot be had nothing is copied, and
//! the one that asks reads the memory of the tree itself, while it stands still.

use crate::{
    copy_room::{self, Room},
    held::Held,
    tree::{INIT, Tree},
};
use floe_parasite::{InjectedRunner, PayloadLayout};
use floe_proc::{Mapping, Status};
use floe_tracee::{RemoteSession, Tracee, may_suspend_seccomp};
use std::cell::Ref;

/// Memory that a session wants besides that of the payload, bytes.
const SCRATCH: usize = 4096;

/// Why nothing was copied, in words.
pub type Reason = String;

/// Copies, stopped and traced by this thread. When this is dropped or the thread ends, they are gone.
#[derive(Debug, Default)]
pub struct Copies(Vec<(u32, Tracee)>);

impl Copies {
    /// Processes, each with its copy.
    pub fn pids(&self) -> Vec<(u32, u32)> {
        self.0.iter().map(|(pid, copy)| (*pid, copy.tid() as u32)).collect()
    }

    /// Adds others.
    pub fn extend(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for (_, copy) in self.0.drain(..) {
            // One that is gone has been killed by somebody else.
            let _ = copy.kill();
        }
    }
}

impl Tree {
    /// Copies these processes, one for each memory, or none of them.
    ///
    /// # Errors
    /// Why not, in words. The tree stands as it did.
    pub fn copies(&self, pids: &[u32]) -> Result<Copies, Reason> {
        let wanted = |held: &&Held| held.zombie.is_none() && pids.contains(&held.pid);
        let wanted: Vec<&Held> = self.held.iter().filter(wanted).collect();
        let plain = |e: floe_sys::Error| e.to_string();
        self.can_be_copied()?;
        let room = Room::of(&wanted).map_err(plain)?;
        room.suffices()?;
        let mut copies = Copies::default();
        for held in wanted {
            copies.0.push((held.pid, copy(held, &*self.mapped(held.pid)?)?));
        }
        room.move_out(copies.0.iter().map(|(_, copy)| copy.tid() as u32)).map_err(plain)?;
        Ok(copies)
    }

    /// An orphan becomes the child of an init or a subreaper, and that may be seen only outside of the tree.
    fn can_be_copied(&self) -> Result<(), Reason> {
        if !self.thawed.is_empty() {
            return Err("its cgroup is frozen anyway".into());
        }
        if self.has_subreaper.get() {
            return Err("a process of it takes orphans in (PR_SET_CHILD_SUBREAPER)".into());
        }
        for held in self.held.iter().filter(|held| held.zombie.is_none()) {
            let space = |name| floe_proc::namespace(held.pid, name).map_err(|e| e.to_string());
            match space("pid_for_children")? {
                None => {
                    let awaits = "awaits the init of a pid namespace, which the copy would be";
                    return Err(format!("process {} {awaits}", held.pid));
                }
                children if children != space("pid")? => {
                    let other = "has another pid namespace for its children";
                    return Err(format!("process {} {other}", held.pid));
                }
                _ => {}
            }
            let ids = Status::of(held.pid).and_then(|status| status.numbers("NSpid"));
            if ids.map_err(|e| e.to_string())?.last() == Some(&INIT) {
                return Err(format!("process {} is the init of a pid namespace", held.pid));
            }
        }
        Ok(())
    }
}

/// Where the mappings of a process are that stands still, and whether anything is in the way of a copy.
#[derive(Debug)]
pub(crate) struct Mapped {
    mappings: Vec<Mapping>,
    has_segments: bool,
}

impl Mapped {
    pub fn of(layout: &crate::layout::Layout) -> Self {
        let files = layout.vmas.iter().filter_map(|vma| vma.file.as_ref());
        let mut shown = files.filter(|file| file.deleted).map(|file| &file.path);
        let has_segments = shown.any(|path| path.0.starts_with(b"/SYSV"));
        Self { mappings: layout.mappings(), has_segments }
    }
}

fn copy(held: &Held, mapped: &Mapped) -> Result<Tracee, Reason> {
    let plain = |e: floe_sys::Error| format!("unable to copy process {}: {}", held.pid, e.cause());
    if mapped.has_segments {
        return Err("it has segments of System V shared memory, which count their users".into());
    }
    let copied = injected(held, ("copy", mapped), |session, (layout, signal)| {
        let mut runner = InjectedRunner::new(session.leader(), layout, signal);
        let copy = floe_parasite::copy(&mut runner).map_err(plain)?;
        match session.clean_copy(&copy) {
            Ok(()) => Ok(Copies(vec![(held.pid, copy)])),
            Err(error) => {
                drop(Copies(vec![(held.pid, copy)]));
                Err(plain(error))
            }
        }
    });
    copied?.0.pop().map(|(_, copy)| copy).ok_or_else(|| "nothing was made".into())
}

impl Tree {
    /// What is known of a process since it was asked. Nothing of the tree has run from then on.
    fn mapped(&self, pid: u32) -> Result<Ref<'_, Mapped>, Reason> {
        Ref::filter_map(self.mapped.borrow(), |all| all.get(&pid))
            .map_err(|_| "it has not been asked".into())
    }

    /// Runs code in a process of it that makes a helper, without which it does not know. `doing` is what to, in a word.
    pub(crate) fn injected<T>(
        &self,
        pid: u32,
        doing: &str,
        work: impl FnOnce(&mut InjectedRunner<'_>) -> floe_sys::Result<T>,
    ) -> Result<T, Reason> {
        let held = self.held.iter().find(|held| held.pid == pid).ok_or("it is gone")?;
        if !self.thawed.is_empty() {
            return Err("its cgroup is frozen anyway".into());
        }
        let children = floe_proc::namespace(pid, "pid_for_children").map_err(|e| e.to_string())?;
        if children.is_none() {
            return Err("it awaits the init of a pid namespace".into());
        }
        let plain = |e: floe_sys::Error| format!("unable to {doing} it: {}", e.cause());
        injected(held, (doing, &*self.mapped(pid)?), |session, (layout, signal)| {
            work(&mut InjectedRunner::new(session.leader(), layout, signal)).map_err(plain)
        })
    }
}

/// Runs code in a process by the payload, with system calls that no filter stops.
fn injected<T>(
    held: &Held,
    (doing, mapped): (&str, &Mapped),
    work: impl FnOnce(&mut RemoteSession, (PayloadLayout, i32)) -> Result<T, Reason>,
) -> Result<T, Reason> {
    let status = Status::of(held.pid).map_err(|e| e.to_string())?;
    let pid = held.pid;
    let plain = |e: floe_sys::Error| format!("unable to {doing} process {pid}: {}", e.cause());
    let leader = held.threads.first().ok_or("it has ended")?;
    let filtered = !matches!(status.line("Seccomp"), None | Some(b"0"));
    if filtered && !may_suspend_seccomp().map_err(plain)? {
        return Err("its system calls are filtered".into());
    }
    let extra = &PayloadLayout::MAPPINGS;
    let mut session =
        RemoteSession::begin_among(leader, &mapped.mappings, SCRATCH, extra).map_err(plain)?;
    let ready = |session: &mut RemoteSession| {
        let caught = status.hex("SigCgt").map_err(plain)?;
        let layout = session.extra().map(PayloadLayout::at);
        let way = layout.zip(InjectedRunner::signal(session.leader(), caught));
        let (layout, signal) = way.ok_or("no code can be brought into it without a trace")?;
        layout.fill_by(|at, code| session.write(at, code)).map_err(plain)?;
        Ok((layout, signal))
    };
    let worked = ready(&mut session).and_then(|way| work(&mut session, way));
    // The first failure tells what went wrong.
    match (worked, session.end()) {
        (Ok(made), Ok(())) => Ok(made),
        (Ok(_), Err(error)) => Err(plain(error)),
        (Err(reason), _) => Err(reason),
    }
}

/// Bytes of pages that are a process's own, by RssAnon of its status.
pub(crate) fn own_bytes(held: &Held) -> floe_sys::Result<u64> {
    let status = Status::of(held.pid)?;
    Ok(copy_room::kibibytes(status.line("RssAnon").unwrap_or_default()))
}
