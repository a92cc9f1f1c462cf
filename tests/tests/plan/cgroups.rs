//! Cgroups of a tree: what a plan refuses, and who is put into one when.

use crate::{
    model,
    refused::{refuses, rules},
};
use floe_plan::{Step, plan};
use floe_records::*;
use floe_tests::tree::{Builder, machine};

fn cgroup(path: &str, members: Members) -> Cgroup {
    let directory = CgroupDirectory {
        mode: 0o755,
        owner: (0, 0),
        frozen: false,
        properties: vec![("pids.max".into(), "7".into())],
        files: vec![("cgroup.procs".into(), (1, 1), 0o644)],
    };
    let directory = (path != "/").then_some(directory);
    Cgroup { hierarchy: "pids".into(), path: path.into(), members, directory }
}

/// A process with a thread, a child like it, and a child in a cgroup apart, with a child of its own there.
fn tree(change: impl Fn(&mut Cgroup)) -> Tree {
    let mut tree = Builder::new(100);
    tree.process(200, 100, |_| {});
    tree.process(300, 100, |_| {});
    tree.process(400, 300, |_| {});
    tree.thread(100, 101);
    let member = |pid, tid| (Pid(pid), Tid(tid));
    let mut apart = cgroup("/a/b", Members::Listed(vec![member(300, 300), member(400, 400)]));
    change(&mut apart);
    tree.add(cgroup("/a", Members::Others));
    tree.add(apart);
    tree.add(cgroup("/t", Members::Listed(vec![member(100, 101)])));
    tree.tree()
}

#[test]
fn who_is_apart_is_moved_and_children_are_born_there() {
    let tree = tree(|_| {});
    let plan = plan(&tree, &machine()).expect("a plan");
    model::play(&tree, &plan.steps).expect("it can be played");
    let joined = plan.steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Join(_)));
    let joined: Vec<(Step, Step)> = joined.map(|(at, step)| (plan.steps[at - 1], *step)).collect();
    let made = |pid, parent| Step::Create(Pid(pid), parent, ShareSet::default());
    assert_eq!(
        joined,
        [
            (made(100, None), Step::Join(Tid(100))),
            (made(300, Some(Tid(100))), Step::Join(Tid(300))),
            (Step::Thread(Pid(100), Tid(101)), Step::Join(Tid(101))),
        ]
    );
    assert!(plan.steps.contains(&Step::Limit));
}

#[test]
fn records_that_none_can_be() {
    type Change = fn(&mut Cgroup);
    let property = |name: &'static str| {
        move |one: &mut Cgroup| {
            let directory = one.directory.as_mut().expect("a directory");
            directory.properties[0].0 = name.into();
        }
    };
    let all: [(&str, Change); 4] = [
        ("no path", |one| one.path = "a".into()),
        ("a path through itself", |one| one.path = "/a/./b".into()),
        ("a path of two lines", |one| one.path = "/a\n0::/b".into()),
        ("an empty name", |one| one.path = "/a//b".into()),
    ];
    for (what, change) in all {
        refuses(what, &tree(change), "plan.cgroup");
    }
    for name in ["cgroup.kill", "memory.reclaim", "../pids.max", "hugetlb.a/../b.max"] {
        refuses(name, &tree(property(name)), "plan.cgroup");
    }
    assert_eq!(rules(&tree(property("memory.max")), &machine()), Vec::<String>::new());
    let stranger = |one: &mut Cgroup| one.members = Members::Listed(vec![(Pid(9), Tid(9))]);
    refuses("a stranger", &tree(stranger), "plan.reference");
}
