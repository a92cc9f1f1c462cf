//! What restore puts into network namespaces, as the kernel takes it.

use floe_network::{Message, Netlink, Sort};
use floe_records::{Bytes, NetMessage};
use floe_sys::Result;

pub(crate) fn message(record: &NetMessage) -> Message {
    Message { head: record.head.0.clone(), attributes: attributes(&record.attributes) }
}

pub(crate) fn attributes(all: &Bytes) -> Vec<(u16, Vec<u8>)> {
    Message::parse(&all.0, 0).attributes
}

/// Makes what there is of a sort what it was.
pub(crate) fn settle(sort: &Sort, all: &[NetMessage]) -> Result<()> {
    let all: Vec<Message> = all.iter().map(message).collect();
    sort.settle(&Netlink::route()?, &all)
}
