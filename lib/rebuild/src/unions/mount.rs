//! Mounts a union again, just as it was: branches with their attributes, options, the part that was shown, flags.

use super::{all_mounts, plain_options};
use floe_records::Union;
use floe_sys::{
    Error, attach_mount, clone_mount, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, mount_message,
};
use floe_unions::Mount;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// mount(2) takes a page of options, and cuts off what is longer without a word.
const PAGE: usize = 4096;

type Done = Result<(), String>;

/// Mounts it at `point`.
pub(super) fn build(union: &Union, point: &Path) -> Done {
    check(union, point)?;
    match mounted_elsewhere(union, point)? {
        Some(base) => attach(&clone_part(union, &base)?, point)?,
        None => {
            whole(union, point)?;
            part(union, point)?;
        }
    }
    undone(flags(union, point), point)
}

/// Takes a mount of ours off again where what came next has failed.
fn undone<T>(result: Result<T, String>, point: &Path) -> Result<T, String> {
    if result.is_err() {
        // What was wrong is told already.
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
    result
}

fn bytes(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// What mount(2) would tell by a number only.
fn check(union: &Union, point: &Path) -> Done {
    if !point.is_dir() {
        return Err("its mount point is gone".into());
    }
    check_parts(union)
}

/// All of an overlay, attached nowhere.
pub(super) fn detached(union: &Union) -> Result<OwnedFd, String> {
    check_parts(union)?;
    let fs = fsopen(b"overlay").map_err(|e| e.to_string())?;
    let made = set_up(union, &fs).and_then(|()| fsmount(fs.as_fd(), 0));
    made.map_err(|e| explained(&e, &fs))
}

/// Branches and options.
fn check_parts(union: &Union) -> Done {
    for (path, _) in &union.branches {
        if !path.0.starts_with(b"/") {
            return Err(format!("its branch {path} was named from a directory that is not known"));
        }
        if !bytes(&path.0).is_dir() {
            return Err(format!("its branch {path} is gone"));
        }
    }
    let options = plain_options(&union.options.0);
    let name =
        |option: &[u8]| option.split(|b| *b == b'=' || *b == b':').next().map(<[u8]>::to_vec);
    let unknown = options.iter().find(|option| {
        !is_generic(option) && !name(option).is_some_and(|name| OPTIONS.contains(&&name[..]))
    });
    if let Some(option) = unknown {
        let option = String::from_utf8_lossy(option);
        return Err(format!("restore does not know its option {option}"));
    }
    let work = options.iter().find_map(|option| option.strip_prefix(b"workdir="));
    let Some(work) = work.map(unbackslashed) else { return Ok(()) };
    let work = bytes(&work);
    if !work.is_dir() {
        return Err(format!("its workdir {} is gone", work.display()));
    }
    let mark = work.join("work/incompat/volatile");
    if mark.exists() {
        let mark = mark.display();
        return Err(format!(
            "{mark} says that it was volatile and may be broken; remove that if it is not"
        ));
    }
    Ok(())
}

/// Another mount of the same union: two of them must not share an upper directory, so it is bound from there. It is an
/// error where nothing leads to that one.
fn mounted_elsewhere(union: &Union, point: &Path) -> Result<Option<PathBuf>, String> {
    let upper = |options: &[u8]| {
        let all = options.split(|b| *b == b',');
        all.map(floe_unions::unescape).find(|option| option.starts_with(b"upperdir="))
    };
    let Some(own) = upper(&union.options.0) else { return Ok(None) };
    let all =
        all_mounts()?.into_iter().filter(|mount| upper(&mount.options).as_ref() == Some(&own));
    let others: Vec<Mount> = all.collect();
    for mount in &others {
        let at = bytes(&mount.point);
        let whole = mount.root == b"/" && at != point;
        if whole && super::here(at)?.is_some_and(|top| top.mount == *mount) {
            return Ok(Some(at.to_owned()));
        }
    }
    let Some(other) = others.first() else { return Ok(None) };
    let at = String::from_utf8_lossy(&other.point);
    Err(format!("its upper directory is in use by the mount at {at}"))
}

fn unbackslashed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        out.extend(if byte == b'\\' { rest.next() } else { Some(&byte) });
    }
    out
}

/// All of the union.
fn whole(union: &Union, point: &Path) -> Done {
    if union.fs_type.0 == b"aufs" {
        return aufs(union, point);
    }
    let data = overlay_data(union);
    let alone = union.options.0.windows(4).any(|part| part == b"dir+");
    if data.len() < PAGE && !alone { by_page(union, point, &data) } else { by_layers(union, point) }
}

fn by_page(union: &Union, point: &Path, data: &[u8]) -> Done {
    let (kind, source) = (OsStr::from_bytes(&union.fs_type.0), OsStr::from_bytes(&union.source.0));
    mount(Some(source), point, Some(kind), generic(union), Some(OsStr::from_bytes(data)))
        .map_err(|e| e.to_string())
}

/// fsconfig(2) takes layer by layer, however many there are.
fn by_layers(union: &Union, point: &Path) -> Done {
    let fs = fsopen(b"overlay").map_err(|e| e.to_string())?;
    let made = set_up(union, &fs).and_then(|()| fsmount(fs.as_fd(), 0));
    attach(&made.map_err(|e| explained(&e, &fs))?, point)
}

fn set_up(union: &Union, fs: &OwnedFd) -> Result<(), Error> {
    let set = |key: &[u8], value: &[u8]| fsconfig_set_string(fs.as_fd(), key, value);
    set(b"source", &union.source.0)?;
    for (path, permission) in &union.branches {
        set(if permission.0 == b"rw" { b"upperdir" } else { b"lowerdir+" }, &path.0)?;
    }
    for option in plain_options(&union.options.0) {
        match option.iter().position(|b| *b == b'=') {
            _ if option == b"rw" => {}
            Some(at) => set(&option[..at], &option[at + 1..])?,
            None => fsconfig_set_flag(fs.as_fd(), &option)?,
        }
    }
    fsconfig_create(fs.as_fd())
}

/// The error, and what the kernel says of it.
fn explained(error: &Error, fs: &OwnedFd) -> String {
    let mut text = error.to_string();
    while let Ok(Some(message)) = mount_message(fs.as_fd()) {
        text = format!("{text} ({message})");
    }
    text
}

/// As many branches as fit in a page, then the others one by one at the bottom.
fn aufs(union: &Union, point: &Path) -> Done {
    let (data, later) = aufs_data(union);
    by_page(union, point, &data)?;
    for branch in later {
        let append = [b"append:", &branch[..]].concat();
        let none: Option<&str> = None;
        let (flags, data) = (MsFlags::MS_REMOUNT | generic(union), OsStr::from_bytes(&append));
        let shown = String::from_utf8_lossy(&branch);
        let done = mount(none, point, none, flags, Some(data))
            .map_err(|e| format!("its branch {shown}: {e}"));
        undone(done, point)?;
    }
    Ok(())
}

/// The part of the union that was shown, in the place of the whole.
fn part(union: &Union, point: &Path) -> Done {
    if union.root.0 == b"/" {
        return Ok(());
    }
    let part = undone(clone_part(union, point), point)?;
    umount2(point, MntFlags::MNT_DETACH).map_err(|e| format!("its part {}: {e}", union.root))?;
    attach(&part, point)
}

/// From where all of it is mounted.
fn clone_part(union: &Union, base: &Path) -> Result<OwnedFd, String> {
    let inner = union.root.0.strip_prefix(b"/").unwrap_or(&union.root.0);
    clone_mount(&base.join(OsStr::from_bytes(inner))).map_err(|e| e.to_string())
}

fn attach(tree: &OwnedFd, point: &Path) -> Done {
    attach_mount(tree.as_fd(), point).map_err(|e| e.to_string())
}

/// Options of the mount itself.
const FLAGS: [(&[u8], MsFlags); 8] = [
    (b"ro", MsFlags::MS_RDONLY),
    (b"nosuid", MsFlags::MS_NOSUID),
    (b"nodev", MsFlags::MS_NODEV),
    (b"noexec", MsFlags::MS_NOEXEC),
    (b"noatime", MsFlags::MS_NOATIME),
    (b"nodiratime", MsFlags::MS_NODIRATIME),
    (b"relatime", MsFlags::MS_RELATIME),
    (b"nosymfollow", MsFlags::from_bits_retain(256)),
];

fn flags(union: &Union, point: &Path) -> Done {
    let words: Vec<&[u8]> = union.flags.0.split(|b| *b == b',').collect();
    let all = FLAGS.iter().filter(|(name, _)| words.contains(name));
    let mut flags = all.fold(MsFlags::empty(), |all, (_, flag)| all | *flag);
    if !flags.intersects(MsFlags::MS_NOATIME | MsFlags::MS_RELATIME) {
        flags |= MsFlags::MS_STRICTATIME;
    }
    let none: Option<&str> = None;
    mount(none, point, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, none)
        .map_err(|e| format!("its flags {}: {e}", union.flags))
}

/// Options of the super block that mount(2) takes as flags, and that not every file system understands as text.
const GENERIC: [(&[u8], MsFlags); 5] = [
    (b"rw", MsFlags::empty()),
    (b"ro", MsFlags::MS_RDONLY),
    (b"sync", MsFlags::MS_SYNCHRONOUS),
    (b"dirsync", MsFlags::MS_DIRSYNC),
    (b"lazytime", MsFlags::MS_LAZYTIME),
];

fn generic(union: &Union) -> MsFlags {
    union.options.0.split(|b| *b == b',').fold(MsFlags::empty(), |all, option| {
        all | GENERIC.iter().find(|(name, _)| *name == option).map_or(all, |(_, flag)| *flag)
    })
}

/// Options of the two file systems, besides branches. The image may come from a stranger: what is not among them is not handed
/// to the kernel.
const OPTIONS: [&[u8]; 56] = [
    // overlayfs (Documentation/filesystems/overlayfs.rst).
    b"workdir",
    b"redirect_dir",
    b"index",
    b"uuid",
    b"nfs_export",
    b"xino",
    b"metacopy",
    b"verity",
    b"volatile",
    b"userxattr",
    b"default_permissions",
    b"nooverride_creds",
    b"override_creds",
    // AUFS (aufs.5).
    b"dirperm1",
    b"nodirperm1",
    b"noxino",
    b"trunc_xino",
    b"notrunc_xino",
    b"trunc_xino_path",
    b"itrunc_xino",
    b"trunc_xib",
    b"notrunc_xib",
    b"create",
    b"cpup",
    b"coo",
    b"dirren",
    b"nodirren",
    b"v",
    b"quiet",
    b"q",
    b"silent",
    b"plink",
    b"noplink",
    b"udba",
    b"dio",
    b"nodio",
    b"dirwh",
    b"rdcache",
    b"rdblk",
    b"rdhash",
    b"sum",
    b"nosum",
    b"wsum",
    b"verbose",
    b"noverbose",
    b"warn_perm",
    b"nowarn_perm",
    b"diropq",
    b"always_diropq",
    b"whiteouted_diropq",
    b"acl",
    b"noacl",
    b"shwh",
    b"noshwh",
    b"refrof",
    b"norefrof",
];

fn is_generic(option: &[u8]) -> bool {
    GENERIC.iter().any(|(name, _)| *name == option)
}

/// Options of an AUFS mount, which do not hold the branches (unless asked to), and what did not fit.
fn aufs_data(union: &Union) -> (Vec<u8>, Vec<Vec<u8>>) {
    let options = plain_options(&union.options.0).into_iter().filter(|option| !is_generic(option));
    let rest: Vec<u8> = options.flat_map(|option| [b",", &option[..]].concat()).collect();
    let mut later = union.branches.iter().map(|(path, permission)| match permission.0.as_slice() {
        b"" => path.0.clone(),
        permission => [&path.0[..], b"=", permission].concat(),
    });
    let mut data = b"br".to_vec();
    let mut over = Vec::new();
    for branch in later.by_ref() {
        if data.len() + branch.len() + rest.len() + 1 >= PAGE {
            over.push(branch);
            break;
        }
        data.push(b':');
        data.extend(branch);
    }
    over.extend(later);
    data.extend(rest);
    (data, over)
}

/// Options of an overlay mount, with its layers as they were given.
fn overlay_data(union: &Union) -> Vec<u8> {
    let options = union.options.0.split(|b| *b == b',').filter(|option| !is_generic(option));
    let parts: Vec<Vec<u8>> =
        options.map(|option| escaped(&floe_unions::unescape(option))).collect();
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
    use super::{super::union, *};

    #[test]
    fn aufs_gets_its_branches_and_attributes_back() {
        let union =
            union("aufs", "rw,si=12ab,dirperm1", &[("/a", "rw"), ("/b c", "ro+wh"), ("/d", "")]);
        assert_eq!(aufs_data(&union), (b"br:/a=rw:/b c=ro+wh:/d,dirperm1".to_vec(), Vec::new()));
    }

    #[test]
    fn what_does_not_fit_in_a_page_is_appended() {
        let paths: Vec<String> = (0..70).map(|n| format!("/layers/{n:080}")).collect();
        let branches: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "ro")).collect();
        let (data, later) = aufs_data(&union("aufs", "rw,dirperm1", &branches));
        assert!(data.len() < PAGE && data.ends_with(b",dirperm1"));
        let first = data.split(|b| *b == b':').count() - 1;
        assert_eq!(first + later.len(), 70);
        assert_eq!(later[0], format!("{}=ro", paths[first]).into_bytes());
        assert_eq!(later.last(), Some(&format!("{}=ro", paths[69]).into_bytes()));
    }

    #[test]
    fn options_are_those_of_mount() {
        let union =
            union("overlay", "ro,lowerdir=/a\\040b\\054c\\134\\054f\\134:d:/e,xino=off", &[]);
        assert_eq!(overlay_data(&union), b"lowerdir=/a b\\,c\\,f\\:d:/e,xino=off");
    }

    #[test]
    fn only_known_options_are_handed_on() {
        let says = |options| build(&union("overlay", options, &[]), Path::new("/tmp")).unwrap_err();
        assert_eq!(says("rw,context=x"), "restore does not know its option context=x");
        assert_eq!(says("rw,lowerdir=/a,exec"), "restore does not know its option exec");
        assert!(!says("rw,index=off,workdir=/nowhere").contains("option"));
    }

    #[test]
    fn a_missing_or_unknown_branch_is_named() {
        let says = |branch| {
            let union = union("overlay", "rw", &[(branch, "ro")]);
            build(&union, Path::new("/tmp")).unwrap_err()
        };
        assert!(says("/nowhere/at/all").contains("/nowhere/at/all is gone"));
        assert!(says("l/ABC").contains("l/ABC was named from a directory"));
    }
}
