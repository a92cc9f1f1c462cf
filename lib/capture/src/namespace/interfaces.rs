//! Interfaces of network namespaces.

use crate::{Result, namespace::tables, network, own_spaces::OwnSpace, resource::OfNamespace};
use floe_network::{Foreign, Link, LinkKind, Netlink, Sort, foreign, links, rehearse};
use floe_records::{Bytes, Finding, Findings, Interface, Interfaces, NsKind, Pid, Tree};

/// The rule of what is in network namespaces.
const RULE: &str = "namespace.net";
/// Most bytes of all messages of a sort.
const MOST: usize = 4 << 20;
const HINT: &str = "freeze --empty net";

impl OfNamespace for Interfaces {
    fn look(space: &OwnSpace, out: &mut Findings) -> Result<()> {
        if space.kind != NsKind::Net {
            return Ok(());
        }
        let net = Netlink::route()?;
        let (all, before) = (links(&net)?, out.refused.len());
        for link in &all {
            look_at(space, link, &all, out);
        }
        for what in foreign(&net, &all)? {
            look_at_foreign(space, &what, out);
        }
        if !space.still {
            look_at_sizes(space, &net, out)?;
        }
        // Only the kernel knows whether it takes what it shows.
        let tables = if space.still { Vec::new() } else { tables::all()? };
        let has_some = all.len() > 1 || !tables.is_empty();
        let try_it = !space.still && has_some && out.refused.len() == before;
        if let Some(Err(e)) = try_it.then(|| rehearse(&all, &tables)) {
            let problem = format!("it cannot be made again here: {e}");
            out.refuse(Finding::of(Pid(space.pid), "net namespace", RULE, problem).hint(HINT));
        }
        Ok(())
    }

    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, net| {
            let all = links(net)?.into_iter().map(record).collect();
            Ok(Interfaces { id, all })
        })
    }
}

/// Records have an end, and nobody has as much in a namespace of his own.
fn look_at_sizes(space: &OwnSpace, net: &Netlink, out: &mut Findings) -> Result<()> {
    for sort in Sort::ALL {
        let bytes: usize = sort.all(net)?.iter().map(|it| it.to_bytes().len()).sum();
        if bytes > MOST {
            let problem = format!("it has more of a sort ({}) than a checkpoint takes", sort.name);
            out.refuse(Finding::of(Pid(space.pid), "net namespace", RULE, problem).hint(HINT));
        }
    }
    let bytes: usize = tables::all()?.iter().map(|it| it.message.to_bytes().len()).sum();
    if bytes > MOST {
        let problem = "its tables of nf_tables are larger than a checkpoint takes";
        out.refuse(Finding::of(Pid(space.pid), "net namespace", RULE, problem).hint(HINT));
    }
    Ok(())
}

fn shown(link: &Link) -> String {
    format!("interface {}", String::from_utf8_lossy(&link.name))
}

/// What stands in the way of making an interface again.
fn look_at(space: &OwnSpace, link: &Link, all: &[Link], out: &mut Findings) {
    let finding =
        |problem: String| Finding::of(Pid(space.pid), shown(link), RULE, problem).hint(HINT);
    let is_pair = link.kind() == Some(LinkKind::Veth);
    if is_pair && (link.elsewhere || !all.iter().any(|it| Some(it.index) == link.lower)) {
        let name = String::from_utf8_lossy(&link.name);
        let hint = format!("restore --veth {name}=NAME[@BRIDGE], --empty net, or --join net=PATH");
        out.outside.push(finding("its other end is outside of the tree".to_owned()).hint(hint));
    }
    let mut refuse = |problem: &str| out.refuse(finding(problem.to_owned()));
    if link.has_program {
        refuse("a program looks at its packets (XDP)");
    }
    match link.kind() {
        None if link.kind.is_empty() => refuse("it is a device"),
        None => {
            let kind = String::from_utf8_lossy(&link.kind);
            refuse(&format!("it is of the kind {kind}, which is not captured"));
        }
        Some(LinkKind::Plain(_)) if link.elsewhere => {
            refuse("it is made on an interface outside of the tree");
        }
        // IFLA_TUN_PERSIST.
        Some(LinkKind::Tun) if !link.data.iter().any(|it| it.0 == 6 && it.1 == [1]) => {
            refuse("it ends with the descriptor that it is open by");
        }
        Some(LinkKind::Tun) if link.carrier => refuse("a process has it open"),
        Some(LinkKind::Tun) => {}
        // IFLA_BR_VLAN_FILTERING.
        Some(LinkKind::Plain("bridge")) if link.data.iter().any(|it| it.0 == 7 && it.1 == [1]) => {
            refuse("it has VLANs of its own");
        }
        Some(_) => {}
    }
}

/// What else there is.
fn look_at_foreign(space: &OwnSpace, what: &Foreign, out: &mut Findings) {
    let finding =
        |object: &str, problem: &str| Finding::of(Pid(space.pid), object, RULE, problem).hint(HINT);
    match what {
        Foreign::Queue(link, kind) => {
            let object = format!("interface {link}");
            let problem = format!("its queueing discipline ({kind}) does not come back");
            out.lose(finding(&object, &problem));
        }
        Foreign::Filter(link) => {
            let problem = "filters look at its packets (tc)";
            out.refuse(finding(&format!("interface {link}"), problem));
        }
        Foreign::Legacy(table) => {
            out.refuse(finding(&format!("table {table}"), "it has rules"));
        }
        Foreign::Set(name) => {
            out.refuse(finding(&format!("set {name}"), "sets of ipset are not captured"));
        }
        Foreign::Ipsec => {
            out.refuse(finding("net namespace", "it has states or policies of IPsec"));
        }
        Foreign::Tracked(count) => {
            let problem = format!("{count} tracked connections do not come back");
            out.lose(finding("net namespace", &problem));
        }
        Foreign::Multicast => {
            out.refuse(finding("net namespace", "it routes multicasts"));
        }
    }
}

fn record(link: Link) -> Interface {
    Interface {
        index: link.index,
        name: link.name.into(),
        names: link.names.into_iter().map(Bytes).collect(),
        kind: link.kind.into(),
        flags: link.flags,
        master: link.master,
        lower: link.lower,
        elsewhere: link.elsewhere,
        addresses: [link.address.into(), link.broadcast.into()],
        mtu: link.mtu,
        queue_length: link.queue_length,
        group: link.group,
        alias: link.alias.into(),
        queues: link.queues,
        settings: network::attributes(link.settings),
        data: network::attributes(link.data),
        port: network::attributes(link.port),
    }
}
