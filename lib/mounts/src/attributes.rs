//! Options of a mount itself, in text and as mount_setattr(2) has them.

/// MOUNT_ATTR_*: those to set, and all that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear before that.
    pub clear: u64,
}

const RDONLY: u64 = 1;
const NOSUID: u64 = 2;
const NODEV: u64 = 4;
const NOEXEC: u64 = 8;
/// The bits of one of three values, of which relatime is 0.
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;
const ALL: u64 = RDONLY | NOSUID | NODEV | NOEXEC | ATIME | NODIRATIME | NOSYMFOLLOW;

/// Those that mountinfo shows; `None` where one of them cannot be set.
pub fn attributes(flags: &[u8]) -> Option<Attributes> {
    let (mut set, mut atime) = (0, STRICTATIME);
    for flag in flags.split(|byte| *byte == b',') {
        set |= match flag {
            b"rw" => 0,
            b"ro" => RDONLY,
            b"nosuid" => NOSUID,
            b"nodev" => NODEV,
            b"noexec" => NOEXEC,
            b"nodiratime" => NODIRATIME,
            b"nosymfollow" => NOSYMFOLLOW,
            b"noatime" => {
                atime = NOATIME;
                0
            }
            b"relatime" => {
                atime = 0;
                0
            }
            _ => return None,
        };
    }
    Some(Attributes { set: set | atime, clear: ALL })
}

/// The same as mountinfo shows them; `None` for what cannot be shown so.
pub(crate) fn shown(set: u64) -> Option<Vec<u8>> {
    let mut text = if set & RDONLY != 0 { b"ro".to_vec() } else { b"rw".to_vec() };
    let names: [(u64, &[u8]); 5] = [
        (NOSUID, b",nosuid"),
        (NODEV, b",nodev"),
        (NOEXEC, b",noexec"),
        (NODIRATIME, b",nodiratime"),
        (NOSYMFOLLOW, b",nosymfollow"),
    ];
    let mut add = |name: &[u8]| text.extend(name);
    names[..3].iter().filter(|(bit, _)| set & bit != 0).for_each(|(_, name)| add(name));
    match set & ATIME {
        0 => add(b",relatime"),
        NOATIME => add(b",noatime"),
        STRICTATIME => {}
        _ => return None,
    }
    names[3..].iter().filter(|(bit, _)| set & bit != 0).for_each(|(_, name)| add(name));
    // An idmapped mount among them.
    if set & !ALL != 0 {
        add(b",unknown");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_is_set() {
        let set = |text: &str| attributes(text.as_bytes()).map(|it| it.set);
        assert_eq!(set("rw,relatime"), Some(0));
        assert_eq!(set("rw"), Some(STRICTATIME));
        assert_eq!(set("ro,nosuid,noatime"), Some(RDONLY | NOSUID | NOATIME));
        assert_eq!(set("rw,nodiratime,relatime"), Some(NODIRATIME));
        assert_eq!(set("rw,relatime,idmapped"), None);
    }
}
