//! Network namespaces of sockets: they are made there ([`crate::factory::Factory::within`]).

use crate::resource::ForDescriptor;
use floe_records::SocketSpace;

impl ForDescriptor for SocketSpace {}
