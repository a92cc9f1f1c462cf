//! What becomes of one reference, decided by comparing what two views of the kernel say.

use crate::{Place, Unions};

const DELETED: &[u8] = b" (deleted)";

/// What becomes of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The path is what processes see.
    Keep,
    /// This is what processes see.
    Rewrite(Vec<u8>),
    /// No name leads to the file any more.
    Nameless,
}

/// Decides about a path that stands in `maps` (relative to the root of the process, without ` (deleted)`), where
/// /proc/PID/map_files shows `link` (asked for only where it matters). Without a fault both are the same; with it `link` lies in a branch. Some
/// kernels show the branch in both.
pub fn decide(unions: &Unions, path: &[u8], link: impl FnOnce() -> Option<Vec<u8>>) -> Decision {
    match unions.place(path) {
        Place::Union(seen) => {
            return if seen == path { Decision::Keep } else { Decision::Rewrite(seen) };
        }
        Place::Nameless => return Decision::Nameless,
        Place::Elsewhere => {}
    }
    let Some(link) = link() else { return Decision::Keep };
    let link = link.strip_suffix(DELETED).unwrap_or(&link);
    // An orphan lives on without a name; a pseudo-link still has the one that maps shows.
    match unions.place(link) {
        Place::Nameless if contains(link, b"/.wh..wh.orph/") => Decision::Nameless,
        _ => Decision::Keep,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
