//! What the ioctl AUFS_CTL_BRINFO tells: an array of 4096 bytes for each branch, topmost first, that hold its id
//! (two bytes), its permission bits (four, at 4), and its path (from 8 to a zero byte); `linux/aufs_type.h`.

use crate::Branch;

/// Bytes for each branch.
pub const SIZE: usize = 4096;

const PERMISSIONS: [(u32, &str); 3] = [(1, "rw"), (2, "ro"), (4, "rr")];
const ICEX: u32 = 0b1_1111 << 7;
const ATTRIBUTES: [(u32, &str); 13] = [
    (1 << 3, "coo_reg"),
    (1 << 4, "coo_all"),
    (1 << 5, "fhsm"),
    (1 << 6, "unpin"),
    (ICEX, "icex"),
    (1 << 7, "icexsec"),
    (1 << 8, "icexsys"),
    (1 << 9, "icextr"),
    (1 << 10, "icexusr"),
    (1 << 11, "icexoth"),
    (1 << 12, "wh"),
    (1 << 13, "nolwh"),
    (1 << 14, "moo"),
];

/// The branches; `None` where the text is not of this form.
pub fn branches(text: &[u8]) -> Option<Vec<Branch>> {
    let (entries, []) = text.as_chunks::<SIZE>() else { return None };
    entries.iter().map(one).collect()
}

fn one(entry: &[u8; SIZE]) -> Option<Branch> {
    let bits = u32::from_ne_bytes(entry[4..8].try_into().ok()?);
    let path = entry[8..].split(|b| *b == 0).next()?;
    let permission = PERMISSIONS.iter().find(|(bit, _)| bits & bit != 0)?.1;
    let mut text = permission.to_owned();
    let mut left = bits;
    for (bit, name) in ATTRIBUTES {
        if left & bit == bit {
            left &= !bit;
            text += "+";
            text += name;
        }
    }
    path.starts_with(b"/").then(|| Branch { path: path.to_vec(), permission: text.into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bits: u32, path: &str) -> [u8; SIZE] {
        let mut entry = [0; SIZE];
        entry[4..8].copy_from_slice(&bits.to_ne_bytes());
        entry[8..8 + path.len()].copy_from_slice(path.as_bytes());
        entry
    }

    #[test]
    fn bits_become_words() {
        let text =
            [entry(1 | 1 << 13, "/a b"), entry(2 | 1 << 12 | ICEX, "/c"), entry(4, "/d")].concat();
        let found = branches(&text).unwrap();
        let words: Vec<_> = found.iter().map(|b| (&b.path[..], &b.permission[..])).collect();
        assert_eq!(
            words,
            [(&b"/a b"[..], &b"rw+nolwh"[..]), (b"/c", b"ro+icex+wh"), (b"/d", b"rr")]
        );
    }

    #[test]
    fn another_form_is_none() {
        assert_eq!(branches(&entry(1, "relative")), None);
        assert_eq!(branches(&entry(0, "/a")), None);
        assert_eq!(branches(b"short"), None);
    }
}
