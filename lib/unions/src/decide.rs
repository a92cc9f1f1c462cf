//! What becomes of one reference, decided by comparing what the kernel says of it in several places.

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

/// Decides about a path that `maps`, or a link of /proc/PID, shows (without ` (deleted)`). All paths are from the root of
/// the mount namespace; `process_root` is the root of the process.
///
/// `link` is what /proc/PID/map_files shows for a mapping. Without the fault both are the same; with it `link` lies in
/// a branch, and `path` is right. `there` tells whether the path leads to the file: a process that opened the file of a branch
/// by its own name keeps that name. Both are asked for only where it matters.
pub fn decide(
    unions: &Unions,
    process_root: &[u8],
    path: &[u8],
    link: impl FnOnce() -> Option<Vec<u8>>,
    there: impl FnOnce() -> bool,
) -> Decision {
    let place = unions.place(path, process_root);
    let in_branch = place != Place::Elsewhere && place != Place::Union(path.to_vec());
    let link = link().map(|mut link| {
        link.truncate(link.strip_suffix(DELETED).map_or(link.len(), <[u8]>::len));
        link
    });
    let behind = link.as_deref().filter(|link| *link != path);
    match (in_branch, behind.map(|link| (link, unions.place(link, process_root)))) {
        // An orphan lives on without a name; a pseudo-link still has the one that maps shows.
        (false, Some((link, Place::Nameless))) if contains(link, b"/.wh..wh.orph/") => {
            Decision::Nameless
        }
        (false, _) => Decision::Keep,
        // The union has a directory of its own that is called like a branch.
        (true, Some((_, Place::Union(seen)))) if seen == path => Decision::Keep,
        (true, _) if there() => Decision::Keep,
        (true, _) => match place {
            Place::Union(seen) => Decision::Rewrite(seen),
            _ => Decision::Nameless,
        },
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Branch, Mount, Stack};

    fn unions() -> Unions {
        let mount = Mount {
            point: b"/".to_vec(),
            root: b"/".to_vec(),
            fs_type: b"aufs".to_vec(),
            ..Mount::default()
        };
        let branch = |path: &str| Branch { path: path.into(), permission: b"rw".to_vec() };
        Unions {
            stacks: vec![Stack {
                mount,
                branches: Some(vec![branch("/l/top"), branch("/l/base")]),
            }],
        }
    }

    fn decided(path: &str, link: &str, there: bool) -> Decision {
        let link = (!link.is_empty()).then(|| link.as_bytes().to_vec());
        decide(&unions(), b"/", path.as_bytes(), || link, || there)
    }

    #[test]
    fn two_views_are_compared() {
        assert_eq!(decided("/bin/app", "/l/base/bin/app", false), Decision::Keep, "the fault");
        assert_eq!(decided("/bin/app", "/bin/app", true), Decision::Keep, "no fault");
        assert_eq!(decided("/new", "/l/base/old", false), Decision::Keep, "renamed");
        assert_eq!(
            decided("/l/top/x", "/l/top/l/top/x", false),
            Decision::Keep,
            "called like a branch"
        );
        let rewritten = Decision::Rewrite(b"/x".to_vec());
        assert_eq!(decided("/l/top/x", "/l/top/x", false), rewritten, "the branch everywhere");
        assert_eq!(decided("/l/top/x", "", false), rewritten);
        assert_eq!(decided("/l/top/x", "", true), Decision::Keep, "opened by that name");
        assert_eq!(decided("/gone", "/l/top/.wh..wh.orph/77 (deleted)", false), Decision::Nameless);
        assert_eq!(decided("/twice", "/l/top/.wh..wh.plnk/1.2", false), Decision::Keep);
        assert_eq!(decided("/l/top/.wh..wh.plnk/1.2", "", false), Decision::Nameless);
    }
}
