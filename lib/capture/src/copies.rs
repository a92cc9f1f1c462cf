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
use floe_proc::Status;
use floe_tracee::{RemoteSession, Tracee, may_suspend_seccomp};

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
            copies.0.push((held.pid, copy(held)?));
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

fn copy(held: &Held) -> Result<Tracee, Reason> {
    let status = Status::of(held.pid).map_err(|e| e.to_string())?;
    let plain = |e: floe_sys::Error| format!("unable to copy process {}: {}", held.pid, e.cause());
    let leader = held.threads.first().ok_or("it has ended")?;
    let filtered = !matches!(status.line("Seccomp"), None | Some(b"0"));
    if filtered && !may_suspend_seccomp().map_err(plain)? {
        return Err("its system calls are filtered".into());
    }
    let mappings = floe_proc::mappings(held.pid).map_err(plain)?;
    if mappings.iter().any(|mapping| mapping.shared && mapping.name.starts_with(b"/SYSV")) {
        return Err("it has segments of System V shared memory, which count their users".into());
    }
    let extra = &PayloadLayout::MAPPINGS;
    let mut session =
        RemoteSession::begin_among(leader, &mappings, SCRATCH, extra).map_err(plain)?;
    let copied = copy_within(&mut session, held, &status);
    // The first failure tells what went wrong.
    match (copied, session.end()) {
        (Ok(copy), Ok(())) => Ok(copy),
        (Ok(copy), Err(error)) => {
            drop(Copies(vec![(held.pid, copy)]));
            Err(plain(error))
        }
        (Err(reason), _) => Err(reason),
    }
}

fn copy_within(
    session: &mut RemoteSession,
    held: &Held,
    status: &Status,
) -> Result<Tracee, Reason> {
    let plain = |e: floe_sys::Error| format!("unable to copy process {}: {}", held.pid, e.cause());
    let caught = status.hex("SigCgt").map_err(plain)?;
    let layout = session.extra().map(PayloadLayout::at);
    let way = layout.zip(InjectedRunner::signal(session.leader(), caught));
    let (layout, signal) = way.ok_or("no code can be brought into it without a trace")?;
    layout.fill_by(|at, code| session.write(at, code)).map_err(plain)?;
    let copy = floe_parasite::copy(&mut InjectedRunner::new(session.leader(), layout, signal));
    let copy = copy.map_err(plain)?;
    match session.clean_copy(&copy) {
        Ok(()) => Ok(copy),
        Err(error) => {
            drop(Copies(vec![(held.pid, copy)]));
            Err(plain(error))
        }
    }
}

/// Bytes of pages that are a process's own, by RssAnon of its status.
pub(crate) fn own_bytes(held: &Held) -> floe_sys::Result<u64> {
    let status = Status::of(held.pid)?;
    Ok(copy_room::kibibytes(status.line("RssAnon").unwrap_or_default()))
}
