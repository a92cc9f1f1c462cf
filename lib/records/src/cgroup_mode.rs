//! Into which cgroups a tree comes back.

use crate::{Bytes, ensure, sane};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Into which cgroups (cgroups(7)) a tree comes back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum CgroupMode {
    /// Each thread into the one that it was in, made again where it is gone.
    #[default]
    Keep,
    /// The cgroup at this path takes the place of the one that had the whole tree in it. A path that is not absolute begins at
    /// the cgroup of restore.
    Join(Bytes),
    /// Those of restore.
    Ignore,
}

impl CgroupMode {
    /// See [`Resource::check`](crate::Resource::check).
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self::Join(path) = self else { return Ok(()) };
        sane::text(path)?;
        let up = path.0.split(|b| *b == b'/').any(|name| name == b"..");
        ensure(!path.0.is_empty() && !up, "its path of a cgroup is none")
    }
}

/// `keep`, `ignore`, or `join:PATH`.
impl FromStr for CgroupMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = match (text, text.strip_prefix("join:")) {
            ("keep", _) => Self::Keep,
            ("ignore", _) => Self::Ignore,
            (_, Some(path)) => Self::Join(path.into()),
            _ => return Err("it is none of keep, ignore and join:PATH".into()),
        };
        mode.check().map(|()| mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read() {
        let read = |text: &str| text.parse::<CgroupMode>();
        assert_eq!(read("keep"), Ok(CgroupMode::Keep));
        assert_eq!(read("ignore"), Ok(CgroupMode::Ignore));
        assert_eq!(read("join:/a:b"), Ok(CgroupMode::Join("/a:b".into())));
        assert_eq!(read("join:."), Ok(CgroupMode::Join(".".into())));
        for wrong in ["", "join", "join:", "join:/a/../b", "keep:/a", "Keep"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
