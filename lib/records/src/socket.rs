//! What all sockets have (socket(7)).

use crate::Bytes;
use serde::{Deserialize, Serialize};

/// A socket option as getsockopt(2) gives it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketOption {
    /// Level, for example SOL_SOCKET.
    pub level: i32,
    /// Option.
    pub name: i32,
    /// Value.
    pub value: Bytes,
}
