//! What a restore is asked for.

use crate::here::Here;
use floe_records::{CgroupMode, NsKind, OnChange, Outside};
use std::path::PathBuf;

/// What a user may ask of a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Descriptors of ours that take the place of outside ones of the same number.
    pub inherit: Vec<u32>,
    /// Paths of the tree are looked up below it.
    pub root: PathBuf,
    /// What takes the place of other outside files.
    pub outside: Outside,
    /// What becomes of files that have changed, behind what the stream says.
    pub on_change: Vec<OnChange>,
    /// Kinds of namespaces of which the tree belongs into ours, whichever it was in.
    pub joined: Vec<NsKind>,
    /// Into which cgroups the tree comes back.
    pub cgroup: CgroupMode,
    /// Where restore itself is.
    pub here: Here,
}
