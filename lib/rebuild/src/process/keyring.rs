//! Session keyrings. That of the root of the tree is joined by restore itself, before anything else is: what restore makes has it.
//! A process with another one joins that.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Finding, IdMaps, IdRange, Keyring, Pid, SessionKeyring, Tree};
use floe_sys::Result;
use std::collections::BTreeMap;

/// KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_CHOWN and KEYCTL_SETPERM of keyctl(2).
const JOIN: i32 = 1;
const CHOWN: i32 = 4;
const SETPERM: i32 = 5;

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
    let maps = tree.all::<IdMaps>().first();
    let outside = |id: u32, map: fn(&IdMaps) -> &Vec<IdRange>| match maps {
        None => Some(id),
        Some(maps) => map(maps).iter().find_map(|(inside, outside, len)| {
            let at = id.checked_sub(*inside).filter(|at| at < len)?;
            outside.checked_add(at)
        }),
    };
    let owner = outside(keyring.uid, |maps| &maps.users);
    let group = outside(keyring.gid, |maps| &maps.groups);
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
        let id = script.call(libc::SYS_keyctl, [JOIN.into(), name]);
        let number = |value: u32| Arg::Val(value.into());
        let owner = [CHOWN.into(), id.into(), number(keyring.uid), number(keyring.gid)];
        script.call(libc::SYS_keyctl, owner);
        let permissions = [SETPERM.into(), id.into(), number(keyring.permissions)];
        script.call(libc::SYS_keyctl, permissions);
        Ok(())
    }
}
