//! `--external`: what is bound in the place of a mount of the tree.

use std::{path::PathBuf, str::FromStr};

/// One `--external`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct External {
    /// A mount point, from the root of the namespace of the tree.
    pub point: Vec<u8>,
    /// A path of ours.
    pub source: PathBuf,
}

impl FromStr for External {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (point, source) = text.split_once('=').ok_or("it is not POINT=PATH")?;
        if !point.starts_with('/') || !source.starts_with('/') {
            return Err("its paths do not begin with a slash".into());
        }
        // A slash at the end is no part of a mount point.
        let bare = point.trim_end_matches('/');
        let point = if bare.is_empty() { "/" } else { bare };
        Ok(Self { point: point.into(), source: source.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_paths_are_read() {
        let read = |text: &str| text.parse::<External>();
        let it = read("/data/=/srv/x=y").unwrap();
        assert_eq!((it.point, it.source), (b"/data".to_vec(), "/srv/x=y".into()));
        assert_eq!(read("/=/srv").unwrap().point, b"/");
        for wrong in ["/data", "data=/srv", "/data=srv", "=/x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
