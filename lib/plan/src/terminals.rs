//! Controlling terminals: pseudo terminals of the tree, and what its sessions do with them.

use crate::{Step, check::Found};
use floe_records::{Finding, ObjectId, Pid, Process, Pty, Tree};
use std::collections::BTreeMap;

/// The controlling terminal of each session that has one of the tree.
pub(crate) fn of_sessions(tree: &Tree) -> BTreeMap<Pid, ObjectId> {
    let with = |pty: &Pty| pty.session.map(|(session, _)| (session, pty.id));
    tree.all::<Pty>().iter().filter_map(with).collect()
}

/// What members do when all processes are in their groups. A process is born with the terminal of its parent.
pub(crate) fn steps(tree: &Tree, steps: &mut Vec<Step>) {
    let terminals = of_sessions(tree);
    for p in tree.living().filter(|p| p.pid != p.sid && p.tty_nr == 0) {
        steps.extend(terminals.get(&p.sid).map(|pty| Step::GiveUp(p.pid, *pty)));
    }
    for pty in tree.all::<Pty>() {
        let Some((session, group)) = pty.session else { continue };
        // The group of the leader is in the foreground at first.
        let members = tree.all::<Process>().iter().any(|p| p.pgid == group && p.sid == session);
        steps.extend((group != session && members).then_some(Step::Foreground(session, pty.id)));
    }
}

/// Ends of pseudo terminals belong to one, and a session has one.
pub(crate) fn check(tree: &Tree, found: &mut Found) {
    use floe_records::{OutsideTerminal, PtyMaster, PtySlave};
    let mut masters: BTreeMap<ObjectId, usize> = BTreeMap::new();
    for master in tree.all::<PtyMaster>() {
        *masters.entry(master.pty).or_default() += 1;
    }
    let slaves = tree.all::<PtySlave>().iter().map(|slave| (slave.file, slave.pty));
    let ends = tree.all::<PtyMaster>().iter().map(|master| (master.file, master.pty));
    for (file, pty) in ends.chain(slaves) {
        if tree.get::<Pty>(pty).is_none() {
            let problem = "its pseudo terminal does not stand in the stream";
            found.add(|| Finding::about(tree.describe(file), "plan.pty", problem));
        }
    }
    let mut sessions = BTreeMap::new();
    for pty in tree.all::<Pty>() {
        let mut refuse = |problem: &str| {
            let object = format!("pseudo terminal {}", pty.id.ino);
            found.add(|| Finding::about(object, "plan.pty", problem));
        };
        let adopted = tree.all::<OutsideTerminal>().iter().any(|it| it.pty == pty.id);
        if masters.get(&pty.id).copied().unwrap_or(0) != usize::from(!adopted) {
            refuse("it has not one master");
        }
        let Some((session, _)) = pty.session else { continue };
        if sessions.insert(session, pty.id).is_some() {
            refuse("its session has another one");
        }
        if tree.get::<Process>(session).is_none_or(|leader| leader.sid != session) {
            refuse("its session has no leader");
        }
        if !pty.opened {
            refuse("it is the terminal of a session, and was never opened");
        }
    }
}
