//! What a plan refuses of what a stream says about inherited pages.

use crate::refused::{refuses, rules, whole};
use floe_records::*;
use floe_tests::tree::machine;

/// Of the two processes of `whole`, the child takes its only own page from its parent, and both keep it.
fn inherits() -> Vec<Inherited> {
    use InheritedPart::{Kept, Supplied, Taken};
    let page = vec![(Addr(0x60_0000), 4096)];
    let all = [(200, Supplied), (200, Taken), (100, Kept), (200, Kept)];
    all.map(|(pid, part)| Inherited { pid: Pid(pid), part, ranges: page.clone() }).to_vec()
}

#[test]
fn what_is_inherited() {
    let with = |change: &dyn Fn(&mut Vec<Inherited>)| {
        let (mut tree, mut all) = (whole(), inherits());
        change(&mut all);
        all.into_iter().for_each(|record| tree.add(record));
        tree.tree()
    };
    assert_eq!(rules(&with(&|_| {}), &machine()), Vec::<String>::new());
    let rule = "plan.inherited";
    let bad = |what: &str, change: &dyn Fn(&mut Vec<Inherited>)| {
        refuses(what, &with(change), rule);
    };
    bad("what the parent never has", &|all| drop(all.remove(0)));
    bad("supplied and not taken", &|all| drop(all.remove(1)));
    bad("kept by nobody", &|all| all.truncate(2));
    bad("where no mapping is", &|all| all[2].ranges[0].0 = Addr(0x80_0000));
    bad("in a mapping that has no pages of its own", &|all| {
        all.iter_mut().for_each(|one| one.ranges[0].0 = Addr(0x7fff_0000_0000));
    });
    bad("not aligned", &|all| all[3].ranges[0].1 = 100);
    bad("twice", &|all| all[3].ranges.push((Addr(0x60_0000), 4096)));
    bad("twice, in two records", &|all| {
        let long = vec![(Addr(0x5f_f000), 8192)];
        all.push(Inherited { ranges: long, ..all[3].clone() });
    });
    bad("beyond user space", &|all| all[3].ranges[0].0 = Addr(u64::MAX - 4095));
    bad("the root has no parent", &|all| {
        all[0].pid = Pid(100);
        all[1].pid = Pid(100);
    });
    let mut tree = whole();
    inherits().into_iter().for_each(|record| tree.add(Inherited { pid: Pid(300), ..record }));
    refuses("a process that has ended", &tree.tree(), "plan.reference");
}
