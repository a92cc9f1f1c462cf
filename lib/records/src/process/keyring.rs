//! The session keyring of a process (session-keyring(7)), where it is the tree's own.

use crate::{Bytes, Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// The session keyring of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyring {
    /// Thread group.
    pub pid: Pid,
    /// Nothing where it was that of freeze, or the one that all processes of the user have who have no other.
    pub session: Option<SessionKeyring>,
}

/// A session keyring. What is in it does not travel: the kernel numbers keys, and shows some of them to nobody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionKeyring {
    /// Its number: processes with the same one share it.
    pub id: u32,
    /// Its description, up to 4095 bytes; `_ses` for one that was made without a name.
    pub name: Bytes,
    /// Owner, in the user namespace of the process.
    pub uid: u32,
    /// Group, likewise.
    pub gid: u32,
    /// Permissions (keyctl_setperm(3)).
    pub permissions: u32,
}

impl SessionKeyring {
    /// What the kernel calls one without a name.
    pub const NAMELESS: &'static [u8] = b"_ses";
    /// KEY_MAX_DESC_SIZE of security/keys/keyctl.c.
    const LONGEST: usize = 4095;
}

impl Resource for Keyring {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let Some(session) = &self.session else { return Ok(()) };
        let name = &session.name.0;
        let fits = (1..=SessionKeyring::LONGEST).contains(&name.len());
        ensure(fits, "its name is empty or too long")?;
        ensure(!name.contains(&0) && name[0] != b'.', "it has a name that cannot be given")
    }
}
