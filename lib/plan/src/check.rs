//! Whether the metadata is whole: input from a stranger, of which every reference is checked.

use floe_records::*;
use std::collections::BTreeSet;

/// Everything that makes the metadata not whole.
pub(crate) fn check(tree: &Tree) -> Refusals {
    let mut no = Vec::new();
    stream(tree, &mut no);
    let mut seen = BTreeSet::new();
    for (at, p) in tree.all::<Process>().iter().enumerate() {
        if at > 0 && !seen.contains(&p.ppid) {
            no.push(Finding::of(p.pid, "process", "plan.parent", "its parent is not in the tree"));
        }
        seen.insert(p.pid);
        if !matches!(p.state, State::Zombie(_)) {
            living(tree, p, &mut no);
        }
    }
    for t in tree.all::<Thread>() {
        if t.regs.0.len() != 216 || !seen.contains(&t.pid) {
            let problem = "its registers or its process are missing";
            no.push(Finding::of(t.pid, "thread", "plan.thread", problem));
        }
    }
    for open in tree.all::<OpenFile>() {
        let known = Kind::of(open.kind).is_some_and(|kind| kind.scope() == Scope::file);
        if !known || !has_kind(tree, open) {
            let object = tree.describe(open.id);
            no.push(Finding::about(object, "plan.file", "what it is does not stand in the stream"));
        }
    }
    Refusals(no)
}

fn stream(tree: &Tree, no: &mut Vec<Finding>) {
    let mut refuse =
        |problem: String| no.push(Finding::about("the stream", "plan.stream", problem));
    for tool in ["dumpfs", "dumpmem"] {
        if tree.get::<Stage>(tool).is_none() {
            refuse(format!("it has not been through {tool}"));
        }
    }
    let counts = (tree.all::<Process>().len() as u32, tree.all::<Thread>().len() as u32);
    let end = tree.all::<TreeEnd>().first();
    if end.map(|end| (end.processes, end.threads)) != Some(counts) {
        refuse("its tree is not whole".into());
    }
    if let Some(begin) = tree.begin() {
        if begin.format != FORMAT {
            refuse(format!("it has format {}, and this is format {FORMAT}", begin.format));
        }
        if begin.arch != "x86_64" {
            refuse(format!("it comes from {}, and this is x86_64", begin.arch));
        }
        if begin.page_size != 4096 {
            refuse(format!("its pages have {} bytes, and those here 4096", begin.page_size));
        }
        if tree.root().is_some_and(|root| root.pid != begin.root) {
            refuse("its first process is not its root".into());
        }
    }
}

fn living(tree: &Tree, p: &Process, no: &mut Vec<Finding>) {
    let mut refuse = |object: String, problem: &str| {
        no.push(Finding::of(p.pid, object, "plan.process", problem));
    };
    let leader = tree.get::<Thread>(Tid(p.pid.0)).is_some_and(|leader| leader.pid == p.pid);
    if tree.get::<Mm>(p.pid).is_none() || !leader {
        refuse("process".into(), "its address space or its leader is missing");
    }
    for fd in tree.fds(p.pid) {
        if tree.get::<OpenFile>(fd.file).is_none() {
            refuse(format!("fd {}", fd.fd), "names a file that is not in the stream");
        }
    }
}

macro_rules! kinds {
    (
        frame $frame:tt
        namespace $namespace:tt
        process $process:tt
        thread $thread:tt
        file { $($f:ident: $F:ident $fk:literal $fv:literal $fp:tt;)* }
        descriptor $descriptor:tt
        object $object:tt
        bulk $bulk:tt
    ) => {
        /// Whether the record of what it is stands in the stream.
        fn has_kind(tree: &Tree, open: &OpenFile) -> bool {
            match open.kind {
                $($fk => tree.get::<$F>(open.id).is_some(),)*
                _ => false,
            }
        }
    };
}
resources!(kinds);
