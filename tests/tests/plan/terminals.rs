//! Pseudo terminals of the tree, and the sessions that they control.

use crate::{model, refused::rules};
use floe_plan::{Step, plan};
use floe_records::*;
use floe_tests::{
    made,
    tree::{Builder, machine},
};

fn pty(session: Option<(u32, u32)>) -> Pty {
    Pty {
        id: ObjectId { dev: 9, ino: 4 },
        flags: [0; 4],
        characters: Bytes(vec![0; Pty::CHARACTERS]),
        speeds: [38_400; 2],
        size: [24, 80, 0, 0],
        owner: (0, 5, 0o620),
        opened: true,
        locked: false,
        exclusive: (false, false),
        packet: false,
        stopped: None,
        session: session.map(|(session, group)| (Pid(session), Pid(group))),
        named: false,
        lines: Vec::new(),
        input: 0,
        output: 0,
        bytes: Vec::new(),
    }
}

/// A process with the master, a session below it with a group in the foreground, one in the background and a member that has given
/// the terminal up.
fn session(pty: Pty) -> Builder {
    let mut tree = Builder::new(100);
    let (pid, id) = (Pid(100), pty.id);
    let name = made::file(b"/dev/ptmx");
    let master = tree.file(2, |file| PtyMaster { file, pid, name, pty: id });
    tree.fd(100, 5, master);
    let member = |p: &mut Process, group: u32, terminal: i32| {
        (p.sid, p.pgid, p.tty_nr) = (Pid(110), Pid(group), terminal);
    };
    tree.process(110, 100, |p| member(p, 110, 0x8804));
    tree.process(111, 110, |p| member(p, 111, 0x8804));
    tree.process(112, 110, |p| member(p, 110, 0));
    tree.process(113, 112, |p| member(p, 110, 0));
    let name = Some(made::file(b"/dev/pts/4"));
    let slave = tree.file(2, |file| PtySlave { file, pid, name, controlling: false, pty: id });
    tree.fd(110, 0, slave);
    tree.add(pty);
    tree
}

#[test]
fn a_session_has_its_terminal_before_its_members_are_born() {
    let tree = session(pty(Some((110, 111)))).tree();
    assert_eq!(rules(&tree, &machine()), Vec::<String>::new());
    let steps = plan(&tree, &machine()).expect("it can be planned").steps;
    model::play(&tree, &steps).expect("it can be played");
    let id = ObjectId { dev: 9, ino: 4 };
    let at = |step: Step| steps.iter().position(|it| *it == step).expect("it is there");
    assert!(at(Step::Controlling(Pid(110), id)) > at(Step::Session(Pid(110))));
    assert!(at(Step::Foreground(Pid(110), id)) > at(Step::Group(Pid(111), Pid(111))));
    for pid in [112, 113] {
        assert!(at(Step::GiveUp(Pid(pid), id)) > at(Step::Controlling(Pid(110), id)));
    }
}

#[test]
fn a_group_that_has_ended_is_not_put_into_the_foreground() {
    let tree = session(pty(Some((110, 115)))).tree();
    let steps = plan(&tree, &machine()).expect("it can be planned").steps;
    assert!(!steps.iter().any(|step| matches!(step, Step::Foreground(..))));
    model::play(&tree, &steps).expect("it can be played");
}

#[test]
fn ends_and_sessions_belong_to_one_terminal() {
    let refuses = |what: &str, tree: &Tree| {
        assert_eq!(rules(tree, &machine()), ["plan.pty"], "{what}");
    };
    refuses("no leader", &session(pty(Some((111, 111)))).tree());
    refuses("never opened", &session(Pty { opened: false, ..pty(Some((110, 111))) }).tree());
    let mut second = session(pty(Some((110, 111))));
    let id = ObjectId { dev: 9, ino: 4 };
    let (pid, name) = (Pid(100), made::file(b"/dev/ptmx"));
    let master = second.file(2, |file| PtyMaster { file, pid, name, pty: id });
    second.fd(100, 6, master);
    refuses("two masters", &second.tree());
    let mut lone = Builder::new(100);
    let name = made::file(b"/dev/ptmx");
    let master = lone.file(2, |file| PtyMaster { file, pid, name, pty: id });
    lone.fd(100, 5, master);
    refuses("no record", &lone.tree());
    let mut two = session(pty(Some((110, 111))));
    let other = ObjectId { dev: 9, ino: 7 };
    let name = made::file(b"/dev/ptmx");
    let master = two.file(2, |file| PtyMaster { file, pid, name, pty: other });
    two.fd(100, 6, master);
    two.add(Pty { id: other, ..pty(Some((110, 111))) });
    refuses("two for a session", &two.tree());
}

#[test]
fn queues_are_no_longer_than_a_terminal_holds() {
    let good = Pty { input: 4, lines: vec![2, 1], bytes: b"a\n\nb".to_vec(), ..pty(None) };
    assert_eq!(good.check(), Ok(()));
    let bad = [
        Pty { lines: vec![2, 3], ..good.clone() },
        Pty { input: 4096, ..good.clone() },
        Pty { bytes: b"a".to_vec(), ..good.clone() },
        Pty { characters: Bytes(vec![0; 20]), ..good.clone() },
        Pty { opened: false, ..good.clone() },
        Pty { id: ObjectId { dev: 1, ino: 1 << 20 }, ..good },
    ];
    for pty in bad {
        assert!(pty.check().is_err(), "{pty:?}");
    }
}
