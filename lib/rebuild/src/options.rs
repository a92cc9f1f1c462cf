//! What a restore is asked for.

use crate::{here::Here, mounts::Outer, new_spaces::OwnUser};
use floe_records::{CgroupMode, NsId, NsKind, OnChange, Outside, PathPattern};
use std::{os::fd::OwnedFd, path::PathBuf, str::FromStr, sync::Arc};

/// What takes the place of which outside files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutsideRule {
    /// What does.
    pub outside: Outside,
    /// Which: a pattern of what they are shown as (`socket:[5]`, a path), and of the names of the peers of sockets.
    pub pattern: PathPattern,
}

impl OutsideRule {
    /// For all files.
    pub fn all(outside: Outside) -> Self {
        Self { outside, pattern: PathPattern(b"**"[..].into()) }
    }
}

/// `WHAT` for all files, or `WHAT:NAME`.
impl FromStr for OutsideRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, pattern) = text.split_once(':').unwrap_or((text, "**"));
        let outside = match what {
            "refuse" => Outside::Refuse,
            "null" => Outside::Null,
            "broken" => Outside::Broken,
            "reconnect" => Outside::Reconnect,
            _ => return Err("it begins with none of refuse, null, broken and reconnect".into()),
        };
        if pattern.is_empty() || pattern.len() > PathPattern::LONGEST {
            return Err("its name is empty or too long".into());
        }
        Ok(Self { outside, pattern: PathPattern(pattern.into()) })
    }
}

/// A descriptor of ours that takes the place of outside files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inherit {
    /// Which.
    pub which: Which,
    /// Its number.
    pub fd: u32,
}

/// Which outside files are meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// Those with this number in the tree.
    Number(u32),
    /// Those that are shown as this (`pipe:[5]`, a path).
    Name(String),
}

impl Inherit {
    /// Whether it is for a file by its name.
    pub fn is_named(&self, what: &[u8]) -> bool {
        matches!(&self.which, Which::Name(name) if name.as_bytes() == what)
    }
}

/// `FD`, `N=FD` or `NAME=FD`.
impl FromStr for Inherit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (which, fd) = text.rsplit_once('=').unwrap_or((text, text));
        let fd = fd.parse().map_err(|_| format!("{fd} is no number of a descriptor"))?;
        if which.is_empty() {
            return Err("what it stands for is empty".into());
        }
        let which = which.parse().map_or_else(|_| Which::Name(which.to_owned()), Which::Number);
        Ok(Self { which, fd })
    }
}

/// The other end of an interface of the tree: `NAME=OTHER`, or `NAME=OTHER@BRIDGE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Veth {
    /// Name of the interface in the tree.
    pub name: String,
    /// What the other end is called.
    pub other: String,
    /// The bridge that it is a port of.
    pub bridge: Option<String>,
}

impl FromStr for Veth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, other) = text.split_once('=').ok_or("it is not NAME=OTHER")?;
        let (other, bridge) = match other.split_once('@') {
            Some((other, bridge)) => (other, Some(bridge.to_owned())),
            None => (other, None),
        };
        // IFNAMSIZ, with the NUL.
        let named = |name: &str| (1..16).contains(&name.len());
        if !named(name) || !named(other) || !bridge.as_deref().is_none_or(named) {
            return Err("a name in it is none of an interface".into());
        }
        Ok(Self { name: name.into(), other: other.into(), bridge })
    }
}

/// What a user may ask of a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Descriptors of ours that take the place of outside ones.
    pub inherit: Vec<Inherit>,
    /// Our standard streams take the place of those of the tree.
    pub standard: bool,
    /// Paths of the tree are looked up below it.
    pub root: PathBuf,
    /// What is bound in the place of mounts of the tree, by their mount points.
    pub external: Vec<(Vec<u8>, PathBuf)>,
    /// What takes the place of a user namespace that the tree has of its own.
    pub user: Option<Arc<OwnUser>>,
    /// Our own mount namespace and network namespace, as they were before we have left them.
    pub outer: Arc<Outer>,
    /// What `root` leads to, where the tree is in the mount namespace that restore was started in, and restore has left that.
    pub top: Option<Arc<OwnedFd>>,
    /// What takes the place of other outside files; the last rule for a file counts.
    pub outside: Vec<OutsideRule>,
    /// What becomes of files that have changed, behind what the stream says.
    pub on_change: Vec<OnChange>,
    /// Kinds of namespaces of which the tree belongs into ours, whichever it was in.
    pub joined: Vec<NsKind>,
    /// Namespaces of the tree that restore has made anew ([`crate::new_spaces`]), and is in, if it is no user namespace.
    pub made: Vec<NsId>,
    /// Kinds of those that are left empty.
    pub empty: Vec<NsKind>,
    /// What takes the place of the other ends of interfaces that were outside of the tree.
    pub veth: Vec<Veth>,
    /// Into which cgroups the tree comes back.
    pub cgroup: CgroupMode,
    /// Where restore itself is.
    pub here: Here,
}
