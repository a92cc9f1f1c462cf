//! Tables of nf_tables.

use crate::{Result, network, own_spaces::OwnSpace, resource::OfNamespace};
use floe_network::{Netlink, TableMessage, tables};
use floe_records::{Finding, Findings, NfTables, NsKind, Pid, Tree};

impl OfNamespace for NfTables {
    fn look(space: &OwnSpace, out: &mut Findings) -> Result<()> {
        if space.kind != NsKind::Net {
            return Ok(());
        }
        for table in all()?.iter().filter(|it| it.is_owned()) {
            let object = format!("table {}", String::from_utf8_lossy(table.table()));
            let problem = "it ends with the socket that has made it";
            let finding = Finding::of(Pid(space.pid), object, "namespace.net", problem);
            out.refuse(finding.hint("freeze --empty net"));
        }
        Ok(())
    }

    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, _| {
            let all = all()?.into_iter().map(|it| (it.make, network::record(it.message)));
            Ok(NfTables { id, all: all.collect() })
        })
    }
}

/// All but our own, by which connections are kept from the network.
pub(crate) fn all() -> Result<Vec<TableMessage>> {
    Ok(tables(&Netlink::netfilter()?, |name| !floe_netlock::is_ours(name))?)
}
