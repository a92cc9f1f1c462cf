//! TCP connections: made with their sockets.

use crate::{factory::Factory, resource::ForObject};
use floe_records::TcpConnection;
use floe_sys::Result;

impl ForObject for TcpConnection {
    fn make(&self, _: &mut Factory<'_>) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        format!("the connection of socket {}", self.ino)
    }
}
