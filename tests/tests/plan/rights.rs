//! What a plan refuses for lack of a capability where a namespace is to be made.

use crate::refused::rules;
use floe_plan::Machine;
use floe_records::Namespaces;
use floe_tests::tree::{Builder, machine};

#[test]
fn a_pid_namespace_is_made_with_rights() {
    const SYS_ADMIN: u64 = 1 << 21;
    let tree = Builder::new(100).tree();
    let awaits = |members: &mut Namespaces| members.pid_for_children = Namespaces::AWAITED;
    let awaiting = tree.clone().map(awaits).expect("a key");
    let without = Machine { capabilities: machine().capabilities & !SYS_ADMIN, ..machine() };
    assert_eq!(rules(&tree, &without), Vec::<String>::new());
    assert_eq!(rules(&awaiting, &machine()), Vec::<String>::new());
    assert_eq!(rules(&awaiting, &without), ["plan.admin"]);
}
