//! Files behind mappings: how they are told apart.

use floe_records::*;

/// Where a name is looked up (`None`: from the root of the mount namespace), the name, the file that it named, and whether
/// it is open for writing too.
pub(crate) type MapKey<'a> = (Option<(NsId, &'a Bytes)>, &'a Bytes, (u64, u64), bool);

pub(crate) fn map_key<'a>(tree: &'a Tree, pid: Pid, name: &'a FileRef, write: bool) -> MapKey<'a> {
    let root = tree.get::<Fs>(pid).filter(|_| !name.outside).map(|fs| &fs.root.path);
    let mount = tree.get::<Namespaces>(pid).map_or(NsId(0), |all| all.mnt);
    (root.map(|root| (mount, root)), &name.path, (name.dev, name.ino), write)
}

/// What is known of a mapped file: of this process, or of another one that sees it under the same name.
pub(crate) fn known<'a>(tree: &'a Tree, pid: Pid, name: &FileRef) -> Option<&'a MappedFile> {
    let key = |pid| (name.path.clone(), name.outside, name.dev, name.ino, pid);
    let table = MappedFile::table(tree);
    table.get(&key(pid)).or_else(|| table.range(key(Pid(0))..=key(Pid(u32::MAX))).next())
}
