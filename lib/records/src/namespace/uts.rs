//! Names of a UTS namespace (uts_namespaces(7)).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Most bytes of either name: __NEW_UTS_LEN of include/uapi/linux/utsname.h.
const LONGEST: usize = 64;

/// What a system is called in a UTS namespace of the tree's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UtsNames {
    /// The namespace.
    pub id: NsId,
    /// sethostname(2), at most 64 bytes.
    pub host: Bytes,
    /// setdomainname(2), at most 64 bytes.
    pub domain: Bytes,
}

impl Resource for UtsNames {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Uts));
    }

    fn check(&self) -> Result<(), String> {
        let long = [&self.host, &self.domain].iter().any(|name| name.0.len() > LONGEST);
        ensure(!long, "a name is longer than the kernel takes")
    }
}
