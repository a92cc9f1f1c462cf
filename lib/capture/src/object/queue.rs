//! Message queues themselves. What waits in one can be read only by taking it out, which others would see, and which the death of
//! freeze would make last: so it stays there.

use crate::{
    Result,
    file::message_queue::{RULE, place},
    files::Files,
    ipc_spaces::IpcSpaces,
    namespace::closed_queues,
    origin,
    path::DELETED,
    resource::OfObject,
};
use floe_records::{Finding, Findings, NsKind, ObjectId, Pid, Queue};
use std::{
    collections::BTreeSet,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
};

impl OfObject for Queue {
    fn look(files: &Files, out: &mut Findings) -> Result<()> {
        refusals(files, out)?;
        let named = files.message_queues.values().map(|(queue, _)| queue);
        for queue in named.filter(|queue| !queue.removed && queue.messages > 0) {
            let problem = "messages wait in it, which stay there: they are lost if it is gone when \
                the tree is restored";
            out.lose(finding(files, queue, "queue.unread", problem));
        }
        let closed = || closed_queues::all(|id| files.message_queues.contains_key(&id));
        let mut all = IpcSpaces::of(&files.pids).each_other(closed)?.concat();
        if origin::has_left(NsKind::Ipc)? {
            all.extend(closed()?);
        }
        for queue in all.iter().filter(|queue| queue.messages > 0) {
            let problem = "messages wait in it, and are lost";
            out.lose(finding(files, queue, "queue.unread", problem));
        }
        Ok(())
    }

    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        Self::look(files, out)?;
        Ok(files.message_queues.values().map(|(queue, _)| queue.clone()).collect())
    }
}

/// A queue without a name has nobody but those who have it open.
fn refusals(files: &Files, out: &mut Findings) -> Result<()> {
    let all = files.message_queues.values().map(|(queue, _)| queue);
    let removed: Vec<&Queue> = all.filter(|queue| queue.removed).collect();
    for queue in removed.iter().filter(|queue| queue.messages > 0) {
        let problem = "it was removed (mq_unlink(3)), and messages wait in it";
        let hint = "have the program receive them first";
        out.refuse(finding(files, queue, RULE, problem).hint(hint));
    }
    let ids: BTreeSet<ObjectId> = removed.iter().map(|queue| queue.id).collect();
    let outside = if ids.is_empty() { ids } else { held_outside(&ids, &files.pids)? };
    for queue in removed.iter().filter(|queue| outside.contains(&queue.id)) {
        let problem =
            "it was removed (mq_unlink(3)), and a process outside of the tree has it open";
        out.refuse(finding(files, queue, RULE, problem));
    }
    Ok(())
}

fn finding(files: &Files, queue: &Queue, rule: &'static str, problem: &str) -> Finding {
    match place(files, queue.id) {
        Some((pid, fd)) => Finding::of(pid, format!("fd {fd} ({})", queue.name), rule, problem),
        None => Finding::about(format!("message queue {}", queue.name), rule, problem),
    }
}

/// Those of them that a process outside of the tree has open.
fn held_outside(queues: &BTreeSet<ObjectId>, pids: &[Pid]) -> Result<BTreeSet<ObjectId>> {
    let mut held = BTreeSet::new();
    let own = std::process::id();
    let others = floe_proc::numbers_in("/proc")?.into_iter();
    for pid in others.filter(|pid| !pids.contains(&Pid(*pid)) && *pid != own) {
        // A process that ends meanwhile holds nothing.
        for entry in std::fs::read_dir(floe_proc::path(pid, "fd")).into_iter().flatten().flatten() {
            let removed = std::fs::read_link(entry.path())
                .is_ok_and(|link| link.as_os_str().as_bytes().ends_with(DELETED));
            if let Some(found) = removed.then(|| std::fs::metadata(entry.path()).ok()).flatten() {
                let id = ObjectId { dev: found.dev(), ino: found.ino() };
                held.extend(queues.get(&id));
            }
        }
    }
    Ok(held)
}
