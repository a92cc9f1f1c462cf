//! Files of a file system that is in memory alone, and in mount namespaces of the tree alone (tmpfs(5)), or of the root of the tree
//! where the user wants that (`dumpmnt --carry-root`). They travel with the tree:
//! what they are as metadata, their contents as [`ObjectData`](crate::ObjectData), by their device and inode.

use crate::{Bytes, NodeKind, ObjectId, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// Some of the files of a file system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTree {
    /// Device of the file system.
    pub dev: u64,
    /// How many records of it come before this one.
    pub part: u32,
    /// 1 to 1024 files, each behind the directory that it is in; the very first one is the top.
    pub files: Vec<TreeFile>,
}

/// A name in a directory, and what it leads to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeFile {
    /// Inode number of the directory that it is in; 0 for the top.
    pub dir: u64,
    /// Name; empty for the top.
    pub name: Bytes,
    /// Inode number.
    pub ino: u64,
    /// What it is; `None` for another name of a file that came before.
    pub what: Option<TreeNode>,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeNode {
    /// What it is; `None` for a regular file.
    pub kind: Option<NodeKind>,
    /// Bytes of a regular file.
    pub size: u64,
    /// `st_mode` permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Times of the last access and the last change: seconds, and nanoseconds below 1e9.
    pub times: [(i64, u32); 2],
    /// Extended attributes: name and value.
    pub attributes: Vec<(Bytes, Bytes)>,
}

impl FileTree {
    /// Most files of a record.
    pub const MOST: usize = 1024;

    /// What a file is known by in the stream.
    pub fn object(&self, file: &TreeFile) -> ObjectId {
        ObjectId { dev: self.dev, ino: file.ino }
    }
}

impl TreeNode {
    /// Whether other files can be in it.
    pub fn is_dir(&self) -> bool {
        self.kind == Some(NodeKind::Directory)
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.size <= i64::MAX as u64, "a file of it is larger than any")?;
        ensure(self.kind != Some(NodeKind::OfEnded), "a file of it is of a process")?;
        if let Some(NodeKind::Symlink(to)) = &self.kind {
            sane::text(to)?;
            ensure(!to.0.is_empty(), "a link of it leads nowhere")?;
        }
        sane::attributes(self.mode, &self.times, &self.attributes)
    }
}

impl Resource for FileTree {
    type Key = (u64, u32);
    fn key(&self) -> Self::Key {
        (self.dev, self.part)
    }

    fn check(&self) -> Result<(), String> {
        ensure((1..=Self::MOST).contains(&self.files.len()), "it has no file, or too many")?;
        for (at, file) in self.files.iter().enumerate() {
            let top = at == 0 && self.part == 0;
            let named = if top { file.name.0.is_empty() } else { sane::is_name(&file.name.0) };
            ensure(named, "a name of it is none of a file")?;
            ensure((file.dir == 0) == top && file.ino != 0, "a file of it is nowhere")?;
            ensure(!top || file.what.as_ref().is_some_and(TreeNode::is_dir), "it has no top")?;
            file.what.as_ref().map_or(Ok(()), TreeNode::check)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: Option<NodeKind>) -> Option<TreeNode> {
        let (times, attributes) = ([(0, 0); 2], Vec::new());
        Some(TreeNode { kind, size: 5, mode: 0o644, uid: 0, gid: 0, times, attributes })
    }

    fn file(dir: u64, name: &str, ino: u64, what: Option<TreeNode>) -> TreeFile {
        TreeFile { dir, name: name.into(), ino, what }
    }

    #[test]
    fn names_lie_in_directories() {
        let top = file(0, "", 1, node(Some(NodeKind::Directory)));
        let says =
            |part, files: &[TreeFile]| FileTree { dev: 3, part, files: files.to_vec() }.check();
        let one = file(1, "a", 2, node(None));
        assert_eq!(says(0, &[top.clone(), one.clone(), file(1, "b", 2, None)]), Ok(()));
        assert_eq!(says(1, std::slice::from_ref(&one)), Ok(()));
        for (part, wrong) in [
            (0, vec![]),
            (0, vec![one.clone()]),
            (1, vec![top.clone()]),
            (0, vec![file(0, "", 1, node(None))]),
            (1, vec![file(1, "a/b", 2, node(None))]),
            (1, vec![file(1, "..", 2, node(None))]),
            (1, vec![file(1, "l", 2, node(Some(NodeKind::Symlink("".into()))))]),
        ] {
            assert!(says(part, &wrong).is_err(), "{wrong:?}");
        }
    }
}
