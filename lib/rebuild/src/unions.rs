//! Union mounts that the tree stands on: compared before anything is made, and built again where that is wished.

use floe_plan::Tree;
use floe_records::{Bytes, Refusal, Refusals, Union};
use floe_unions::{Mount, Sources, Unions, mounts};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::{
    ffi::OsStr,
    fs,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

/// Mounts that were made for a restore; dropped before [`Rebuilt::keep`] they go again.
#[derive(Debug, Default)]
pub struct Rebuilt(Vec<PathBuf>);

impl Rebuilt {
    /// The restore has succeeded.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Rebuilt {
    fn drop(&mut self) {
        for point in self.0.iter().rev() {
            // Nothing more can be done than try.
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
}

/// Compares the union mounts of the tree with those that are here; `rebuild` mounts what is missing. Paths are
/// looked up below `top`.
pub fn unions(tree: &Tree, top: &Path, rebuild: bool) -> Result<Rebuilt, Refusals> {
    let mut rebuilt = Rebuilt::default();
    let mut no = Vec::new();
    let mut wanted: Vec<&Union> = tree.unions.iter().collect();
    // What is mounted on a union comes behind it.
    wanted.sort_by_key(|union| union.point.0.len());
    for union in wanted {
        let point = at(top, &union.point);
        let problem = match here(&point) {
            Some(found) => differs(union, &found).map(|what| (what, "")),
            None if rebuild => build(union, &point, &mut rebuilt).err().map(|what| (what, "")),
            None => Some((
                "is not mounted here".to_owned(),
                "mount it, or have it mounted with --rebuild-unions",
            )),
        };
        if let Some((problem, hint)) = problem {
            let object = format!("{} at {}", union.fs_type, point.display());
            no.push(Refusal { pid: None, object, problem, hint: hint.into() });
        }
    }
    if no.is_empty() { Ok(rebuilt) } else { Err(Refusals(no)) }
}

fn at(top: &Path, path: &Bytes) -> PathBuf {
    let relative = path.0.strip_prefix(b"/").unwrap_or(&path.0);
    let joined = top.join(OsStr::from_bytes(relative));
    // A trailing slash is no part of a mount point.
    if relative.is_empty() { top.to_owned() } else { joined }
}

/// The topmost union mount at exactly this place.
fn here(point: &Path) -> Option<(Mount, Unions)> {
    let text = fs::read("/proc/self/mountinfo").ok()?;
    let bytes = point.as_os_str().as_bytes();
    let found = mounts(&text).into_iter().rfind(|mount| mount.point == bytes)?;
    if !found.is_union() {
        return None;
    }
    let ask = |_: &Mount| floe_sys::aufs_branch_info(fs::File::open(point).ok()?.as_fd()).ok();
    let sources = Sources { sysfs: Path::new("/sys/fs/aufs"), ask: &ask, given: None };
    let all = Unions::read(std::slice::from_ref(&found), &sources).ok()?;
    Some((found, all))
}

/// How a mount differs from the one that was there.
fn differs(union: &Union, (mount, all): &(Mount, Unions)) -> Option<String> {
    if mount.fs_type != union.fs_type.0 {
        return Some(format!("is {} now", String::from_utf8_lossy(&mount.fs_type)));
    }
    let now = all.stacks.first().map_or(&[][..], |stack| &stack.branches);
    for (n, (path, _)) in union.branches.iter().enumerate() {
        let there = now.get(n).map(|branch| branch.path.as_slice());
        if there != Some(&path.0) {
            let there = there.map_or("none".into(), String::from_utf8_lossy);
            return Some(format!("has {there} as branch {n} now, and had {path}"));
        }
    }
    (now.len() > union.branches.len()).then(|| "has more branches now".to_owned())
}

fn build(union: &Union, point: &Path, rebuilt: &mut Rebuilt) -> Result<(), String> {
    for (path, _) in &union.branches {
        if !Path::new(OsStr::from_bytes(&path.0)).is_dir() {
            return Err(format!("cannot be mounted again: its branch {path} is gone"));
        }
    }
    if union.root.0 != b"/" {
        return Err("cannot be mounted again: only a part of it was mounted".to_owned());
    }
    let data = data(union);
    let fs_type = OsStr::from_bytes(&union.fs_type.0);
    let flags = union.options.0.split(|b| *b == b',').fold(MsFlags::empty(), |all, option| {
        all | GENERIC.iter().find(|(name, _)| *name == option).map_or(all, |(_, flag)| *flag)
    });
    mount(Some(fs_type), point, Some(fs_type), flags, Some(OsStr::from_bytes(&data)))
        .map_err(|e| format!("cannot be mounted again: {e}"))?;
    rebuilt.0.push(point.to_owned());
    Ok(())
}

/// Options that mount(2) takes as flags, and that not every file system understands as text.
const GENERIC: [(&[u8], MsFlags); 5] = [
    (b"rw", MsFlags::empty()),
    (b"ro", MsFlags::MS_RDONLY),
    (b"sync", MsFlags::MS_SYNCHRONOUS),
    (b"dirsync", MsFlags::MS_DIRSYNC),
    (b"lazytime", MsFlags::MS_LAZYTIME),
];

/// Options to mount it with. Those of AUFS do not hold the branches (unless asked to), and hold an id that is new
/// with each mount.
fn data(union: &Union) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    if union.fs_type.0 == b"aufs" {
        let list = union.branches.iter().map(|(path, permission)| match permission.0.as_slice() {
            b"" => path.0.clone(),
            permission => [&path.0[..], b"=", permission].concat(),
        });
        parts.push([&b"br:"[..], &list.collect::<Vec<_>>().join(&b':')].concat());
    }
    let skipped = [&b"si="[..], b"br:", b"br=", b"dirs="];
    for option in union.options.0.split(|b| *b == b',') {
        let generic = GENERIC.iter().any(|(name, _)| *name == option);
        if !generic && !skipped.iter().any(|prefix| option.starts_with(prefix)) {
            parts.push(escaped(&floe_unions::unescape(option)));
        }
    }
    parts.join(&b',')
}

/// What mountinfo escapes is plain for mount(2), but for the comma; overlayfs shows one as it was given.
fn escaped(option: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(option.len());
    for &byte in option {
        if byte == b',' && out.last() != Some(&b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn union(fs_type: &str, options: &str, branches: &[(&str, &str)]) -> Union {
        Union {
            point: "/u".into(),
            fs_type: fs_type.into(),
            root: "/".into(),
            branches: branches.iter().map(|(p, a)| ((*p).into(), (*a).into())).collect(),
            options: options.into(),
        }
    }

    #[test]
    fn aufs_gets_its_branches_and_attributes_back() {
        let union =
            union("aufs", "rw,si=12ab,dirperm1", &[("/a", "rw"), ("/b c", "ro+wh"), ("/d", "")]);
        assert_eq!(data(&union), b"br:/a=rw:/b c=ro+wh:/d,dirperm1");
    }

    #[test]
    fn options_are_those_of_mount() {
        let union =
            union("overlay", "ro,lowerdir=/a\\040b\\054c\\134\\054f\\134:d:/e,xino=off", &[]);
        assert_eq!(data(&union), b"lowerdir=/a b\\,c\\,f\\:d:/e,xino=off");
    }

    #[test]
    fn a_missing_branch_is_named() {
        let union = union("overlay", "rw,lowerdir=/nowhere/at/all", &[("/nowhere/at/all", "ro")]);
        let said = build(&union, Path::new("/tmp"), &mut Rebuilt::default()).unwrap_err();
        assert!(said.contains("/nowhere/at/all"), "{said}");
    }
}
