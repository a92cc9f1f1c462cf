//! The branches of an AUFS mount, topmost first: from sysfs, from the mount options, from a list.

use floe_mounts::unescape;
use std::{fs, io, path::Path, thread::sleep, time::Duration};

/// How often a busy super block is asked again.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// One branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its directory, as the reader of sysfs sees it.
    pub path: Vec<u8>,
    /// Permission and attributes, for example `rw` or `ro+wh`; empty where none were given.
    pub permission: Vec<u8>,
}

/// `PATH=PERMISSION`, escaped. The path may hold `=` itself.
fn branch(text: &[u8]) -> Branch {
    let cut = text.iter().rposition(|b| *b == b'=').filter(|at| is_permission(&text[at + 1..]));
    let (path, permission) = match cut {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[..0]),
    };
    Branch { path: unescape(path), permission: permission.to_vec() }
}

fn is_permission(text: &[u8]) -> bool {
    let first = text.split(|b| *b == b'+').next().unwrap_or_default();
    matches!(first, b"rw" | b"ro" | b"rr")
}

impl Branch {
    /// Whether whiteouts count in it: in those that can be written to, and in others by their attribute `wh`.
    pub fn has_whiteouts(&self) -> bool {
        let mut words = self.permission.split(|b| *b == b'+');
        matches!(words.next(), Some(b"rw" | b"")) || words.any(|word| word == b"wh")
    }
}

/// From `DIR/si_SI/brN`, by ascending number. `None` where sysfs does not have it.
pub fn from_sysfs(dir: &Path, si: &[u8]) -> io::Result<Option<Vec<Branch>>> {
    let dir = dir.join(format!("si_{}", String::from_utf8_lossy(si)));
    // A branch that is removed while we read changes the numbers of others: begin again.
    for _ in 0..TRIES {
        match read_all(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && dir.exists() => sleep(PAUSE),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A path that does not fit in a page: the ioctl may tell it.
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => return Ok(None),
            read => return read.map(|branches| (!branches.is_empty()).then_some(branches)),
        }
    }
    read_all(&dir).map(Some)
}

fn read_all(dir: &Path) -> io::Result<Vec<Branch>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|n| n.strip_prefix("br")?.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    let one = |number| {
        let text = patiently(|| fs::read(dir.join(format!("br{number}"))))?;
        Ok(branch(text.strip_suffix(b"\n").unwrap_or(&text)))
    };
    numbers.into_iter().map(one).collect()
}

/// AUFS answers EBUSY while somebody else works on the super block.
fn patiently<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..TRIES {
        match read() {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => sleep(PAUSE),
            done => return done,
        }
    }
    read()
}

/// From mount options: `br:A=rw:B=ro`, `br=…` or `dirs=…`, escaped as in mountinfo.
pub fn from_options(options: &[u8]) -> Option<Vec<Branch>> {
    let list = options.split(|b| *b == b',').find_map(|option| {
        [&b"br:"[..], b"br=", b"dirs="].iter().find_map(|prefix| option.strip_prefix(*prefix))
    })?;
    Some(list.split(|b| *b == b':').filter(|part| !part.is_empty()).map(branch).collect())
}

/// Branches of stacks that are seen from elsewhere, as people list them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(Vec<(Vec<u8>, Vec<Branch>)>);

impl Given {
    /// From lines `PATH=PERMISSION`, topmost first. A line `POINT:` says which mount those below it belong to; without
    /// one they belong to any.
    pub fn parse(text: &[u8]) -> Self {
        let mut all = vec![(Vec::new(), Vec::new())];
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match (line.strip_suffix(b":"), all.last_mut()) {
                (Some(point), _) => all.push((unescape(point), Vec::new())),
                (None, Some((_, branches))) => branches.push(branch(line)),
                (None, None) => {}
            }
        }
        Self(all)
    }

    /// Those of the mount at `point`.
    pub fn of(&self, point: &[u8]) -> Option<Vec<Branch>> {
        let any = self.0.first().filter(|(_, branches)| !branches.is_empty());
        let own = self.0.iter().skip(1).find(|(of, _)| of == point);
        own.or(any).map(|(_, branches)| branches.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(branches: &[Branch]) -> Vec<&[u8]> {
        branches.iter().map(|b| b.path.as_slice()).collect()
    }

    #[test]
    fn sysfs_is_read_in_numeric_order() {
        let dir = tempfile::tempdir().unwrap();
        let si = dir.path().join("si_12ab");
        fs::create_dir(&si).unwrap();
        for n in 0..12 {
            fs::write(si.join(format!("br{n}")), format!("/layers/b{n}=ro+wh\n")).unwrap();
            fs::write(si.join(format!("brid{n}")), "64\n").unwrap();
        }
        let branches = from_sysfs(dir.path(), b"12ab").unwrap().unwrap();
        let want: Vec<Vec<u8>> = (0..12).map(|n| format!("/layers/b{n}").into_bytes()).collect();
        assert_eq!(paths(&branches), want);
        assert_eq!(branches[11].permission, b"ro+wh");
        assert_eq!(from_sysfs(dir.path(), b"none").unwrap(), None);
    }

    #[test]
    fn odd_names_are_read() {
        let text = "/a\\040b=rw\n/t\\011\\012=ro\n/x=y=rr+wh\n/ü\n/back\\134slash=rw\n";
        let list = Given::parse(text.as_bytes()).of(b"/anywhere").unwrap();
        let want: [&[u8]; 5] = [b"/a b", b"/t\t\n", b"/x=y", "/ü".as_bytes(), b"/back\\slash"];
        assert_eq!(paths(&list), want);
        assert_eq!(list[3].permission, b"");
    }

    #[test]
    fn lists_are_kept_apart() {
        let given = Given::parse(b"/mnt/one:\n/a=rw\n/b=ro\n/mnt/t\\040wo:\n/c=rw\n");
        assert_eq!(paths(&given.of(b"/mnt/one").unwrap()), [&b"/a"[..], b"/b"]);
        assert_eq!(paths(&given.of(b"/mnt/t wo").unwrap()), [&b"/c"[..]]);
        assert_eq!(given.of(b"/mnt/three"), None);
    }

    #[test]
    fn whiteouts_count_where_they_may_be() {
        let counts = |permission: &str| {
            Branch { path: Vec::new(), permission: permission.into() }.has_whiteouts()
        };
        assert!(counts("rw") && counts("rw+nolwh") && counts("ro+wh") && counts("rr+wh+unpin"));
        assert!(!counts("ro") && !counts("rr") && !counts("ro+nolwh"));
    }

    #[test]
    fn options_are_read() {
        let list = from_options(b"rw,si=1,br:/a=rw:/b\\040c=ro+wh,dirperm1").unwrap();
        assert_eq!(paths(&list), [&b"/a"[..], b"/b c"]);
        assert_eq!(paths(&from_options(b"dirs=/x:/y=ro").unwrap()), [b"/x", b"/y"]);
        assert_eq!(from_options(b"rw,si=1,brs"), None);
    }

    #[test]
    fn a_busy_super_block_is_asked_again() {
        let mut asked = 0;
        let got = patiently(|| {
            asked += 1;
            if asked < 3 { Err(io::Error::from(io::ErrorKind::ResourceBusy)) } else { Ok(7) }
        });
        assert_eq!((got.unwrap(), asked), (7, 3));
    }
}
