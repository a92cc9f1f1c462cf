//! Which applications of resources the list calls for.

use floe_plan::{Phase, Step, Subject};
use floe_records::*;

/// Whether no process before it has the same that is set so.
fn does(tree: &Tree, p: &Process, kind: Kind, phase: Phase) -> bool {
    let own = |share| tree.owner(p.pid, share) == p.pid;
    match kind {
        Kind::Vmas | Kind::Mm | Kind::Aio => own(Share::Memory),
        Kind::Fs => own(Share::Directories),
        Kind::ProcessSignals => phase == Phase::Queue || own(Share::Actions),
        _ => true,
    }
}

macro_rules! list {
    (
        frame $frame:tt
        namespace $namespace:tt
        process { $($p:ident: $P:ident $pk:literal $pv:literal [$($pp:ident)*];)* }
        thread { $($t:ident: $T:ident $tk:literal $tv:literal [$($tp:ident)*];)* }
        file { $($f:ident: $F:ident $fk:literal $fv:literal [$($fp:ident)*];)* }
        descriptor { $($d:ident: $D:ident $dk:literal $dv:literal [$($dp:ident)*];)* }
        object $object:tt
        bulk $bulk:tt
    ) => {
        /// Whether a resource is there to be applied.
        pub(crate) fn has(tree: &Tree, subject: Subject, kind: Kind) -> bool {
            match (kind, subject) {
                $((Kind::$P, Subject::Process(pid)) => {
                    tree.all::<floe_records::$P>().iter().any(|row| row.pid == pid)
                })*
                $((Kind::$T, Subject::Thread(pid, tid)) => {
                    tree.get::<floe_records::$T>(tid).is_some_and(|row| row.pid == pid)
                })*
                $((Kind::$F, Subject::File(_, _, file)) => {
                    tree.get::<floe_records::$F>(file).is_some()
                })*
                $((Kind::$D, Subject::File(pid, fd, file)) => {
                    tree.attached::<floe_records::$D>(pid, fd, file).is_some()
                })*
                _ => false,
            }
        }

        /// Every application of a resource that the list calls for, as its step prints itself.
        pub(crate) fn wanted(tree: &Tree) -> Vec<String> {
            let mut all = Vec::new();
            let mut want = |phase: Phase, subject: Subject, kind: Kind| {
                match (phase, subject) {
                    (Phase::Prepare, _) => {}
                    (Phase::Late, Subject::File(_, _, file)) => {
                        all.push(format!("{:?}", Step::Late(file, kind)));
                    }
                    _ => all.push(format!("{:?}", Step::Apply(phase, subject, kind))),
                }
            };
            for p in tree.living() {
                $($(
                    if does(tree, p, Kind::$P, Phase::$pp) {
                        want(Phase::$pp, Subject::Process(p.pid), Kind::$P);
                    }
                )*)*
            }
            for t in tree.all::<Thread>() {
                $($(want(Phase::$tp, Subject::Thread(t.pid, t.tid), Kind::$T);)*)*
            }
            $($(
                for row in tree.all::<floe_records::$F>() {
                    let (pid, fd) = tree.holder(row.file).expect("somebody has it");
                    want(Phase::$fp, Subject::File(pid, fd, row.file), Kind::$F);
                }
            )*)*
            $($(
                for row in tree.all::<floe_records::$D>() {
                    let (pid, fd) = match row.attached() {
                        Attached::Description(file) => tree.holder(file).expect("somebody has it"),
                        Attached::Descriptor(pid, fd) => (pid, fd),
                    };
                    let file = tree.fd(pid, fd).expect("it is there").file;
                    want(Phase::$dp, Subject::File(pid, fd, file), Kind::$D);
                }
            )*)*
            all
        }
    };
}
floe_records::resources!(list);
