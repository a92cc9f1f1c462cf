//! Hierarchies as /proc/PID/cgroup names them, and where they are mounted.

use floe_sys::{Error, Result};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// A line of /proc/PID/cgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// The controllers, or the name: `cpu,cpuacct`, `name=systemd`; nothing for version 2.
    pub hierarchy: &'a [u8],
    /// The path of the cgroup, seen from the cgroup namespace of the reader.
    pub path: &'a [u8],
}

/// The lines of /proc/PID/cgroup. No path has a newline in it: the kernel makes no such cgroup.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b':');
        parts.next()?;
        Some(Line { hierarchy: parts.next()?, path: parts.next()? })
    })
}

/// Whether two names are those of one hierarchy: the order of controllers depends on the kernel.
pub fn is_same_hierarchy(one: &[u8], other: &[u8]) -> bool {
    let words = |name: &'_ [u8]| {
        let mut words: Vec<Vec<u8>> = name.split(|b| *b == b',').map(<[u8]>::to_vec).collect();
        words.sort_unstable();
        words
    };
    one == other || words(one) == words(other)
}

/// A path without one that it begins with, both absolute: `/a/b` below `/a` is `/b`, and `/a` itself is nothing.
pub fn relative<'a>(path: &'a [u8], above: &[u8]) -> Option<&'a [u8]> {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    let rest = path.strip_prefix(above)?;
    let rest = if rest == b"/" { &rest[1..] } else { rest };
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// The hierarchies that are mounted for this process.
#[derive(Clone, Debug)]
pub struct Mounts(Vec<floe_unions::Mount>);

impl Mounts {
    /// Reads them.
    ///
    /// # Errors
    /// Where /proc/self/mountinfo cannot be read.
    pub fn read() -> Result<Self> {
        let path = "/proc/self/mountinfo";
        let text = fs::read(path).map_err(|e| Error::new(format!("read {path}"), e))?;
        Ok(Self::of(&text))
    }

    fn of(text: &[u8]) -> Self {
        let all = floe_unions::mounts(text).into_iter();
        Self(all.filter(|m| matches!(m.fs_type.as_slice(), b"cgroup" | b"cgroup2")).collect())
    }

    /// Where the directory of a cgroup is; `None` where its hierarchy, or this part of it, is not mounted. More than one where
    /// it is mounted at several places, of which others may be covered.
    pub fn directories(&self, hierarchy: &[u8], path: &[u8]) -> Vec<PathBuf> {
        let of = self.0.iter();
        let of = of.filter(|mount| is_of(&mount.fs_type, &mount.options, hierarchy));
        let below = of.filter_map(|mount| {
            let rest = relative(path, &mount.root)?;
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let point = Path::new(OsStr::from_bytes(&mount.point));
            Some(if rest.is_empty() {
                point.to_owned()
            } else {
                point.join(OsStr::from_bytes(rest))
            })
        });
        below.collect()
    }
}

/// Whether a mount of a type, with these options of its super block, is of this hierarchy. A controller is in one hierarchy only.
pub fn is_of(fs_type: &[u8], options: &[u8], hierarchy: &[u8]) -> bool {
    match fs_type {
        b"cgroup2" => hierarchy.is_empty(),
        b"cgroup" if hierarchy.is_empty() => false,
        b"cgroup" => {
            let has = |word: &[u8]| options.split(|b| *b == b',').any(|option| option == word);
            hierarchy.split(|b| *b == b',').all(has)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let all: Vec<_> = lines(b"4:cpu,cpuacct:/a:b\n1:name=systemd:/\n0::/c\n\n").collect();
        let line = |hierarchy, path| Line { hierarchy, path };
        assert_eq!(
            all,
            [line(b"cpu,cpuacct", b"/a:b"), line(b"name=systemd", b"/"), line(b"", b"/c")]
        );
        assert!(is_same_hierarchy(b"cpu,cpuacct", b"cpuacct,cpu"));
        assert!(!is_same_hierarchy(b"cpu", b"cpu,cpuacct"));
    }

    #[test]
    fn paths_below_others() {
        let cases: [(&str, &str, Option<&str>); 7] = [
            ("/a/b", "/a", Some("/b")),
            ("/a", "/a", Some("")),
            ("/ab", "/a", None),
            ("/a", "/", Some("/a")),
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/../b", "/..", Some("/b")),
        ];
        for (path, above, rest) in cases {
            let found = relative(path.as_bytes(), above.as_bytes());
            assert_eq!(found, rest.map(str::as_bytes), "{path} below {above}");
        }
    }

    #[test]
    fn mounts_are_found_by_hierarchy_and_root() {
        let text = b"1 0 0:1 / /sys/fs/cgroup/cpu\\040x rw - cgroup none rw,cpu,cpuacct\n\
            2 0 0:2 /docker/1 /u rw - cgroup2 none rw,nsdelegate\n3 0 0:3 / /n rw - cgroup none rw,name=systemd\n\
            4 0 0:4 / /cgroup rw - tmpfs none rw\n";
        let mounts = Mounts::of(text);
        let at = |hierarchy: &str, path: &str| -> Vec<String> {
            let all = mounts.directories(hierarchy.as_bytes(), path.as_bytes());
            all.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(at("cpuacct,cpu", "/"), ["/sys/fs/cgroup/cpu x"]);
        assert_eq!(at("", "/docker/1/a"), ["/u/a"]);
        assert_eq!(at("", "/docker/10"), [""; 0]);
        assert_eq!(at("name=systemd", "/b"), ["/n/b"]);
        assert_eq!(at("memory", "/"), [""; 0]);
    }
}
