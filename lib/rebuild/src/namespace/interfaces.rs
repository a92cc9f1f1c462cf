//! Interfaces of network namespaces that restore has made. All are up, and carry what they carried, before addresses are given.

use crate::{network::attributes, resource::ForNamespace, spaces::Spaces};
use floe_network::{Link, Netlink, OuterEnd, OuterEnds, await_carriers, make_links};
use floe_records::{Interface, Interfaces};
use floe_sys::{Error, Result};

impl ForNamespace for Interfaces {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || {
            let net = Netlink::route()?;
            let all: Vec<Link> = self.all.iter().map(link).collect();
            let outer = self.outer_ends(spaces)?;
            make_links(&net, &all, &outer)?;
            outer.values().try_for_each(OuterEnd::connect)?;
            await_carriers(&net, &all)
        })
    }
}

/// The other ends that are outside, of pairs whose other end was.
trait Outer {
    fn outer_ends<'a>(&self, spaces: &Spaces<'a>) -> Result<OuterEnds<'a>>;
}

impl Outer for Interfaces {
    fn outer_ends<'a>(&self, spaces: &Spaces<'a>) -> Result<OuterEnds<'a>> {
        let (told, space) = spaces.veth;
        let pairs = self.all.iter().filter(|it| it.elsewhere && it.kind.0 == b"veth");
        let end = |it: &Interface| {
            let Some(found) = told.iter().find(|found| found.name.as_bytes() == it.name.0) else {
                let name = &it.name;
                let hint = format!("--veth {name}=NAME[@BRIDGE], --empty net, or --join net=PATH");
                let why = format!("its other end was outside of the tree ({hint})");
                return Err(Error::because(format!("make the interface {name}"), why));
            };
            let (name, bridge) = (found.other.clone().into_bytes(), found.bridge.clone());
            let bridge = bridge.map(String::into_bytes);
            Ok((it.name.0.clone(), OuterEnd { name, bridge, index: 0, space }))
        };
        pairs.map(end).collect()
    }
}

fn link(interface: &Interface) -> Link {
    let [address, broadcast] = interface.addresses.each_ref().map(|it| it.0.clone());
    Link {
        index: interface.index,
        name: interface.name.0.clone(),
        names: interface.names.iter().map(|name| name.0.clone()).collect(),
        kind: interface.kind.0.clone(),
        flags: interface.flags,
        master: interface.master,
        lower: interface.lower,
        elsewhere: interface.elsewhere,
        address,
        broadcast,
        mtu: interface.mtu,
        queue_length: interface.queue_length,
        group: interface.group,
        alias: interface.alias.0.clone(),
        queues: interface.queues,
        settings: attributes(&interface.settings),
        data: attributes(&interface.data),
        port: attributes(&interface.port),
        carrier: false,
        state: 0,
        has_program: false,
    }
}
