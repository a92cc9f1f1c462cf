//! Terminals whose masters are outside of the tree: with `--events` restore makes them again and hands over the masters.

use floe_rebuild::{Inherit, Which};
use floe_records::{External, FileId, Process, Tree};
use std::collections::BTreeSet;

/// The tree with such terminals of its own, but for those that something is given for.
pub fn adopted(tree: Tree, inherit: &[Inherit]) -> anyhow::Result<Tree> {
    let tables = tree.all::<Process>().iter().flat_map(|p| tree.fds(p.pid));
    let has_number = |number: u32| inherit.iter().any(|it| it.which == Which::Number(number));
    let given: BTreeSet<FileId> =
        tables.filter(|fd| has_number(fd.fd.0)).map(|fd| fd.file).collect();
    let is_given = |external: &External| {
        given.contains(&external.file) || inherit.iter().any(|it| it.is_named(&external.what.0))
    };
    Ok(floe_plan::adopt_terminals(tree, &is_given)?)
}
