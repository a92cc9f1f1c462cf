//! Terminals of the outside that are made again as those of the tree are, for somebody outside who is given their masters.

use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

/// Major numbers of slaves of pseudo terminals (Documentation/admin-guide/devices.txt).
const SLAVES: std::ops::RangeInclusive<u32> = 136..=143;

/// The tree with pseudo terminals of its own in the place of those whose masters are outside; `given` are files that something is
/// given for. They have no masters in the tree.
///
/// # Errors
/// Where the stream has two records of one thing.
pub fn adopt_terminals(tree: Tree, given: &dyn Fn(&External) -> bool) -> Result<Tree, Duplicate> {
    let is_given = |id: FileId| tree.get::<External>(id).is_none_or(given);
    let outside: Vec<OutsideTerminal> =
        tree.all::<OutsideTerminal>().iter().filter(|it| !is_given(it.file)).cloned().collect();
    let mut ptys: BTreeMap<ObjectId, Pty> = BTreeMap::new();
    for it in outside.iter().filter(|it| !it.controlling) {
        ptys.entry(it.pty).or_insert_with(|| pty(it));
    }
    sessions(&tree, &outside, &mut ptys);
    // Which instance /dev/tty is of, its session tells, and otherwise the index.
    let instance = |it: &OutsideTerminal| {
        if !it.controlling {
            return Some(it.pty);
        }
        let sid = tree.get::<Process>(it.pid).map(|p| p.sid);
        let of_session =
            ptys.values().find(|pty| pty.session.is_some_and(|(own, _)| Some(own) == sid));
        of_session.map(|pty| pty.id)
    };
    let slaves: Vec<PtySlave> = outside
        .iter()
        .filter_map(|it| {
            let (file, pid, name) = (it.file, it.pid, it.name.clone());
            Some(PtySlave { file, pid, name, controlling: it.controlling, pty: instance(it)? })
        })
        .collect();
    let adopted: BTreeSet<FileId> = slaves.iter().map(|slave| slave.file).collect();
    let tree = tree.map(|open: &mut OpenFile| {
        if adopted.contains(&open.id) {
            open.kind = PtySlave::KIND;
        }
    })?;
    let tree = tree.retain(|it: &External| !adopted.contains(&it.file))?;
    let mut tree = tree.retain(|it: &Terminal| !adopted.contains(&it.file))?;
    slaves.into_iter().try_for_each(|slave| tree.insert(slave.any()))?;
    ptys.into_values().try_for_each(|pty| tree.insert(pty.any()))?;
    Ok(tree)
}

/// What is known of it. Nobody but its master can see what is queued in it.
fn pty(it: &OutsideTerminal) -> Pty {
    Pty {
        id: it.pty,
        flags: it.flags,
        characters: it.characters.clone(),
        speeds: it.speeds,
        size: it.size,
        owner: it.owner,
        opened: true,
        locked: false,
        exclusive: (false, false),
        packet: false,
        stopped: None,
        session: None,
        // Its name is what people and programs know it by.
        named: true,
        lines: Vec::new(),
        input: 0,
        output: 0,
        bytes: Vec::new(),
    }
}

/// Whose controlling terminals they are: of two with one index, that which the session has open.
fn sessions(tree: &Tree, outside: &[OutsideTerminal], ptys: &mut BTreeMap<ObjectId, Pty>) {
    for leader in tree.living().filter(|p| p.pid == p.sid) {
        let Some(index) = index(leader.tty_nr) else { continue };
        let sid = |it: &OutsideTerminal| tree.get::<Process>(it.pid).map(|p| p.sid);
        let own = outside.iter().filter(|it| !it.controlling && it.pty.ino == index);
        let mut own: Vec<&OutsideTerminal> = own.collect();
        own.sort_by_key(|it| sid(it) != Some(leader.pid));
        let Some(pty) = own.first().and_then(|it| ptys.get_mut(&it.pty)) else { continue };
        let group = u32::try_from(leader.tty_pgrp).ok().filter(|group| *group != 0).map(Pid);
        let inside = |group: &Pid| tree.all::<Process>().iter().any(|p| p.pgid == *group);
        let group = group.filter(inside).unwrap_or(leader.pgid);
        pty.session.get_or_insert((leader.pid, group));
    }
}

/// The index of a slave by the number that /proc/PID/stat has of it.
fn index(tty_nr: i32) -> Option<u64> {
    let number = tty_nr.cast_unsigned();
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    SLAVES.contains(&major).then(|| u64::from((major - SLAVES.start()) << 20 | minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_terminals_are_read() {
        assert_eq!(index(34816), Some(0));
        assert_eq!(index(34816 + 5), Some(5));
        assert_eq!(index(34816 + (1 << 20)), Some(256));
        assert_eq!((index(0), index(1025), index(-1)), (None, None, None));
    }
}
