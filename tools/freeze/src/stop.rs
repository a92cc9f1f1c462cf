//! The stop, and all that is read behind it.

use crate::{
    failure::plain,
    interrupt::Interrupt,
    tracking::Tracking,
    write::{self, Captured},
};
use anyhow::Result;
use floe_capture::{look::Before, passing::may_pass, tree::Tree};
use floe_records::{Entered, Options};
use std::{thread::sleep, time::Duration};

/// How often a tree is stopped again where what may pass stands in the way, and how long it runs in between.
const AGAIN: u32 = 4;
const RUNS: Duration = Duration::from_millis(20);

/// Stops the tree and reads all that is written of it. What has come between the look and the stop, and may pass (a message that
/// is to be read, a connection that is to be accepted), is given the time for it: then the tree is looked at and stopped again.
/// Where it fails, the tree runs.
pub fn stop(
    (root, entered): (u32, Option<Entered>),
    options: &Options,
    mut before: Before,
    look: impl Fn() -> Result<Before>,
    (tracking, interrupt): (Option<&mut Tracking>, &Interrupt),
) -> Result<(Tree, Captured)> {
    let mut again = AGAIN;
    loop {
        let tree = Tree::seize(root, before).map_err(plain)?;
        let error = match write::collect((root, entered.clone()), options, &tree) {
            Ok(captured) => return tracked(tree, captured, tracking),
            Err(error) => error,
        };
        tree.detach();
        let passes = error.downcast_ref().is_some_and(may_pass);
        if again == 0 || !passes || interrupt.caught().is_some() {
            return Err(error);
        }
        again -= 1;
        sleep(RUNS);
        before = look()?;
    }
}

/// Adds what an image says of one before it and one behind it.
fn tracked(
    tree: Tree,
    mut captured: Captured,
    tracking: Option<&mut Tracking>,
) -> Result<(Tree, Captured)> {
    match tracking.map_or(Ok(()), |tracking| captured.track(tracking, &tree)) {
        Ok(()) => Ok((tree, captured)),
        Err(error) => {
            tree.detach();
            Err(error)
        }
    }
}
