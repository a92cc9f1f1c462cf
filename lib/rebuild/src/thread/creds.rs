//! Who a thread is. What takes privileges comes while it has them all.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Creds, Finding, Tree};
use floe_sys::{Error, Result};
use nix::unistd::{Uid, getresuid};
use std::collections::BTreeSet;

const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;

/// Users and groups that restore may not give to the threads of a tree.
///
/// # Errors
/// Where our own credentials cannot be read.
pub fn beyond_rights(tree: &Tree) -> Result<Vec<Finding>> {
    let have = floe_sys::effective_capabilities()?;
    let own = getresuid().map_err(|e| Error::new("read our user ids", e))?;
    let own = [own.real, own.effective, own.saved].map(Uid::as_raw);
    let mut no = BTreeSet::new();
    for creds in tree.all::<Creds>() {
        let mut refuse = |problem: String, hint: &str| {
            let finding = Finding::of(creds.pid, "credentials", "rebuild.creds", problem);
            no.insert(finding.hint(hint));
        };
        let other = creds.uids.iter().find(|uid| !own.contains(uid));
        if let Some(uid) = other.filter(|_| have & CAP_SETUID == 0) {
            refuse(format!("it is user {uid}, which restore may not become"), "give it CAP_SETUID");
        }
        if have & CAP_SETGID == 0 {
            refuse("restore may not set its groups".to_owned(), "give it CAP_SETGID");
        }
    }
    Ok(no.into_iter().collect())
}

impl ForThread for Creds {
    fn apply(&self, context: Context<'_>, _: Phase, b: &mut Script<'_>) -> Result<()> {
        let c = &inside(context, self)?;
        let v = |n: u32| Arg::Val(u64::from(n));
        let prctl = |b: &mut Script<'_>, option: i32, value: u64| {
            b.call(libc::SYS_prctl, [option.into(), Arg::Val(value), 0.into(), 0.into(), 0.into()]);
        };
        let [inheritable, permitted, effective, bounding, ambient] = c.caps;
        let maps = context.files.maps_of(self.pid);
        let all = context.capabilities(self.pid)?;
        // Inheritable ones may lie outside of a bounding set that was narrowed later.
        capset(b, [all, all, inheritable]);
        for cap in (0..64).filter(|cap| bounding >> cap & 1 == 0) {
            b.try_call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP.into(), Arg::Val(cap)]);
        }
        prctl(b, libc::PR_SET_KEEPCAPS, 1);
        // Where nobody may set them, all have those of the first.
        if maps.is_none_or(|maps| !maps.denies_groups) {
            let groups = c.groups.iter().flat_map(|g| g.to_ne_bytes());
            let groups = b.bytes(&groups.collect::<Vec<u8>>());
            b.call(libc::SYS_setgroups, [Arg::Val(c.groups.len() as u64), groups.into()]);
        }
        b.call(libc::SYS_setresgid, [v(c.gids[0]), v(c.gids[1]), v(c.gids[2])]);
        // Without the capability, setfsgid(2) and setfsuid(2) do nothing, and say nothing.
        b.call(libc::SYS_setfsgid, [v(c.gids[3])]);
        b.call(libc::SYS_setresuid, [v(c.uids[0]), v(c.uids[1]), v(c.uids[2])]);
        // A change of the user takes the effective ones away.
        capset(b, [all, all, inheritable]);
        b.call(libc::SYS_setfsuid, [v(c.uids[3])]);
        capset(b, [all, all, inheritable]);
        for cap in (0..64).filter(|cap| ambient >> cap & 1 != 0) {
            let raise = Arg::Val(libc::PR_CAP_AMBIENT_RAISE as u64);
            let args = [libc::PR_CAP_AMBIENT.into(), raise, Arg::Val(cap), 0.into(), 0.into()];
            b.call(libc::SYS_prctl, args);
        }
        prctl(b, libc::PR_SET_SECUREBITS, u64::from(c.securebits));
        capset(b, [effective, permitted, inheritable]);
        if c.no_new_privs {
            prctl(b, libc::PR_SET_NO_NEW_PRIVS, 1);
        }
        Ok(())
    }
}

/// What its users and groups are called where it is.
fn inside(context: Context<'_>, creds: &Creds) -> Result<Creds> {
    let mut inside = creds.clone();
    let Some(maps) = context.files.maps_of(creds.pid) else { return Ok(inside) };
    let none = || Error::because("name its users and groups", "its user namespace has no such ids");
    for id in &mut inside.uids {
        *id = maps.user(*id).ok_or_else(none)?;
    }
    // Where nobody may set groups, they are those from before.
    let groups = inside.groups.iter_mut().filter(|_| !maps.denies_groups);
    for id in inside.gids.iter_mut().chain(groups) {
        *id = maps.group(*id).ok_or_else(none)?;
    }
    Ok(inside)
}

/// capset(2): effective, permitted and inheritable ones.
fn capset(b: &mut Script<'_>, sets: [u64; 3]) {
    /// _LINUX_CAPABILITY_VERSION_3.
    const VERSION: u32 = 0x2008_0522;
    let header: Vec<u8> = [VERSION, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
    let half = |at: u32| sets.map(|set| (set >> at) as u32);
    let data: Vec<u8> = [half(0), half(32)].concat().iter().flat_map(|w| w.to_ne_bytes()).collect();
    let (header, data) = (b.bytes(&header), b.bytes(&data));
    b.call(libc::SYS_capset, [header.into(), data.into()]);
}
