//! Session keyrings. That of the root of the tree is joined by restore itself, before anything else is: what restore makes has it.
//! A process with another one joins that.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Finding, Keyring, Pid, SessionKeyring, Tree};
use floe_sys::Result;
use std::collections::BTreeMap;

fn of(tree: &Tree, pid: Pid) -> Option<&SessionKeyring> {
    tree.get::<Keyring>(pid)?.session.as_ref()
}

fn of_root(tree: &Tree) -> Option<&SessionKeyring> {
    of(tree, tree.root()?.pid)
}

/// The name by which it is joined; one that is there already is joined again.
fn name(keyring: &SessionKeyring) -> Option<Vec<u8>> {
    let name = keyring.name.0.as_slice();
    (name != SessionKeyring::NAMELESS).then(|| [name, b"\0"].concat())
}

/// Joins the session keyring of the root of the tree, where it had one of its own. Where that cannot be had, as below a filter that
/// an engine has set, the tree has that of restore.
pub fn join_keyring(tree: &Tree) -> Option<Finding> {
    let keyring = of_root(tree)?;
    // Its own user namespace is not there yet.
    let (owner, group) = match tree.root().and_then(|root| tree.id_maps(root.pid)) {
        None => (Some(keyring.uid), Some(keyring.gid)),
        Some(maps) => (maps.user_outside(keyring.uid), maps.group_outside(keyring.gid)),
    };
    let name = name(keyring);
    let joined = floe_sys::join_session_keyring(name.as_deref(), owner, group, keyring.permissions);
    let error = joined.err()?;
    let object = format!("session keyring {}", keyring.name);
    Some(Finding::about(object, "rebuild.keyring", format!("it is that of restore: {error}")))
}

/// Session keyrings that several processes had in common, and the root did not: each gets one.
pub fn parted_keyrings(tree: &Tree) -> Vec<Finding> {
    let root = of_root(tree).map(|keyring| keyring.id);
    let mut first = BTreeMap::new();
    let mut lost = Vec::new();
    for it in tree.all::<Keyring>() {
        let Some(keyring) = it.session.as_ref().filter(|it| Some(it.id) != root) else { continue };
        if first.insert(keyring.id, it.pid).is_some() {
            let object = format!("session keyring {}", keyring.name);
            let problem = "processes that shared it have each one of that name";
            lost.push(Finding::of(it.pid, object, "rebuild.keyring", problem));
        }
    }
    lost
}

impl ForProcess for Keyring {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let root = of_root(context.tree).map(|keyring| keyring.id);
        let Some(keyring) = of(context.tree, pid).filter(|it| Some(it.id) != root) else {
            return Ok(());
        };
        let name = name(keyring).map_or(Arg::Val(0), |name| script.bytes(&name).into());
        let number = |value: u32| Arg::Val(value.into());
        let join = number(libc::KEYCTL_JOIN_SESSION_KEYRING);
        let id = script.call(libc::SYS_keyctl, [join, name]);
        let (uid, gid) = (number(keyring.uid), number(keyring.gid));
        script.call(libc::SYS_keyctl, [number(libc::KEYCTL_CHOWN), id.into(), uid, gid]);
        let permissions = [number(libc::KEYCTL_SETPERM), id.into(), number(keyring.permissions)];
        script.call(libc::SYS_keyctl, permissions);
        Ok(())
    }
}
