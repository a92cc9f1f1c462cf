//! Lines of /proc/PID/mountinfo (proc_pid_mountinfo(5)).

use crate::{escape::unescape, fs_type::is_passing};
use std::collections::BTreeMap;

/// A mount as one mount namespace sees it, from the root of a process.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mount {
    /// Mount id.
    pub id: u32,
    /// Mount id of the one that it is mounted on; for the root of the namespace, one that is not shown.
    pub parent: u32,
    /// `major:minor` as makedev(3) packs it.
    pub dev: u64,
    /// The part of the file system that is mounted.
    pub root: Vec<u8>,
    /// Where.
    pub point: Vec<u8>,
    /// Options of the mount itself: `rw,nosuid,noatime`.
    pub flags: Vec<u8>,
    /// Peer group: what is mounted or unmounted on one of its members is so on all.
    pub peers: Option<u32>,
    /// The peer group whose mounts and unmounts come here as well.
    pub master: Option<u32>,
    /// It cannot be bound.
    pub unbindable: bool,
    /// Type.
    pub fs_type: Vec<u8>,
    /// What was named as the device.
    pub source: Vec<u8>,
    /// Options of the super block, still escaped.
    pub options: Vec<u8>,
}

impl Mount {
    /// The value of an option, `NAME=VALUE` or `NAME:VALUE`, unescaped.
    pub fn option(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.options.split(|b| *b == b',').find_map(|option| {
            let value = option.strip_prefix(name)?;
            value.strip_prefix(b"=").or_else(|| value.strip_prefix(b":")).map(unescape)
        })
    }

    /// AUFS or overlayfs.
    pub fn is_union(&self) -> bool {
        matches!(self.fs_type.as_slice(), b"aufs" | b"overlay")
    }
}

/// All mounts, in the order of the file: later ones lie above earlier ones.
pub fn mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(mount).collect()
}

/// The topmost mount at each place, by ascending mount point, but for file systems in which the kernel shows itself.
pub fn lasting_mounts(text: &[u8]) -> Vec<Mount> {
    let all = mounts(text).into_iter().map(|mount| (mount.point.clone(), mount));
    let topmost: BTreeMap<Vec<u8>, Mount> = all.collect();
    topmost.into_values().filter(|mount| !is_passing(&mount.fs_type)).collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|b| *b == b' ');
    let text = |word: Option<&[u8]>| std::str::from_utf8(word?).ok().map(str::to_owned);
    let id = text(words.next())?.parse().ok()?;
    let parent = text(words.next())?.parse().ok()?;
    let dev = text(words.next())?;
    let (major, minor) = dev.split_once(':')?;
    let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
    let (root, point) = (unescape(words.next()?), unescape(words.next()?));
    let flags = words.next()?.to_vec();
    let (mut peers, mut master, mut unbindable) = (None, None, false);
    // Optional fields end with a lone dash.
    loop {
        let word = words.next()?;
        let number = |prefix: &[u8]| text(word.strip_prefix(prefix))?.parse::<u32>().ok();
        peers = number(b"shared:").or(peers);
        master = number(b"master:").or(master);
        unbindable |= word == b"unbindable";
        if word == b"-" {
            break;
        }
    }
    let fs_type = unescape(words.next()?);
    let source = unescape(words.next()?);
    let options = words.next().unwrap_or_default().to_vec();
    let dev = (major & 0xfff) << 8 | minor & 0xff | (minor & !0xff) << 12 | (major & !0xfff) << 32;
    Some(Mount {
        id,
        parent,
        dev,
        root,
        point,
        flags,
        peers,
        master,
        unbindable,
        fs_type,
        source,
        options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let text = b"32 30 0:27 / /mnt/c\\0403 rw,relatime shared:1 - aufs none rw,si=26e6,br:/a\\040b=rw:/c=ro\n";
        let mounts = mounts(text);
        assert_eq!(mounts.len(), 1);
        assert_eq!((mounts[0].id, mounts[0].parent, mounts[0].dev), (32, 30, 27));
        assert_eq!((mounts[0].peers, mounts[0].master), (Some(1), None));
        assert_eq!(mounts[0].point, b"/mnt/c 3");
        assert_eq!(mounts[0].option(b"si").unwrap(), b"26e6");
        assert_eq!(mounts[0].option(b"br").unwrap(), b"/a b=rw:/c=ro");
        assert!(mounts[0].is_union());
        assert_eq!(
            (&mounts[0].flags[..], &mounts[0].source[..]),
            (&b"rw,relatime"[..], &b"none"[..])
        );
    }

    #[test]
    fn what_lasts_is_on_top_and_no_view_of_the_kernel() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /proc rw - proc proc rw\n\
                     3 1 0:6 / /tmp rw - tmpfs tmpfs rw\n4 3 8:1 /x /tmp rw - ext4 /dev/sda rw\n";
        let lasting = lasting_mounts(text);
        let places: Vec<_> = lasting.iter().map(|m| (&m.point[..], &m.root[..])).collect();
        assert_eq!(places, [(&b"/"[..], &b"/"[..]), (b"/tmp", b"/x")]);
    }

    #[test]
    fn rubbish_is_no_mount() {
        assert_eq!(mounts(b"\nx y\n36 35 0:43 / /mnt rw"), []);
    }
}
