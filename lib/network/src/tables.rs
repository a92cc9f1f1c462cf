//! Tables of nf_tables (nft(8)): read message by message, and put back in one transaction.

use crate::{Message, Netlink, compat::complete, netlink::framed};
use floe_sys::{Error, Result};
use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST};

/// NFNL_SUBSYS_NFTABLES, and NFNL_MSG_BATCH_BEGIN and END.
const SUBSYSTEM: u16 = 10;
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// Bytes of `struct nfgenmsg`.
const HEAD: usize = 4;

/// A kind of thing: numbers of the messages that make and show one (NFT_MSG_…), and the attributes that can be set.
struct Part {
    make: u16,
    show: u16,
    settable: &'static [u16],
}

/// In the order in which they can be made: what others refer to comes first.
const PARTS: [Part; 7] = [
    // NFTA_TABLE_NAME, FLAGS and USERDATA.
    Part { make: TABLE, show: 1, settable: &[1, 2, 6] },
    // NFTA_CHAIN_TABLE, NAME, HOOK, POLICY, TYPE, COUNTERS, FLAGS and USERDATA.
    Part { make: CHAIN, show: 4, settable: &[1, 3, 4, 5, 7, 8, 10, 12] },
    // NFTA_OBJ_TABLE, NAME, TYPE, DATA and USERDATA.
    Part { make: 18, show: 19, settable: &[1, 2, 3, 4, 8] },
    // NFTA_FLOWTABLE_TABLE, NAME, HOOK and FLAGS.
    Part { make: 22, show: 23, settable: &[1, 2, 3, 7] },
    // NFTA_SET_…: all but ID, HANDLE and what is counted.
    Part { make: SET, show: 10, settable: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 17, 18] },
    // NFTA_SET_ELEM_LIST_TABLE, SET and ELEMENTS.
    Part { make: ELEMENTS, show: 13, settable: &[1, 2, 3] },
    // NFTA_RULE_TABLE, CHAIN, EXPRESSIONS, COMPAT and USERDATA.
    Part { make: RULE, show: 7, settable: &[1, 2, 4, 5, 7] },
];
const TABLE: u16 = 0;
const CHAIN: u16 = 3;
const RULE: u16 = 6;
const SET: u16 = 9;
const ELEMENTS: u16 = 12;
/// NFTA_SET_ID.
const SET_ID: u16 = 10;
/// NFTA_TABLE_FLAGS: NFT_TABLE_F_OWNER.
const OWNED: u32 = 2;

/// Something in the tables, as it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableMessage {
    /// NFT_MSG_….
    pub make: u16,
    /// NFPROTO_…, and its attributes.
    pub message: Message,
}

impl TableMessage {
    /// Name of the table that it is, or is in.
    pub fn table(&self) -> &[u8] {
        self.message.get_text(1).unwrap_or_default()
    }

    /// Whether it is a table that ends with the socket that has made it.
    pub fn is_owned(&self) -> bool {
        let flags = self.message.get(2).and_then(|flags| flags.first_chunk().copied());
        self.make == TABLE && flags.is_some_and(|flags| u32::from_be_bytes(flags) & OWNED != 0)
    }
}

/// All that is in the tables for which `wanted` says so by their names.
///
/// # Errors
/// Those of netlink.
pub fn tables(net: &Netlink, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<TableMessage>> {
    let mut all: Vec<TableMessage> = Vec::new();
    for part in &PARTS {
        if part.make != TABLE && all.is_empty() {
            break;
        }
        // Elements are asked for set by set.
        let mut asks = vec![Message::new([0; HEAD])];
        if part.make == ELEMENTS {
            asks = all.iter().filter(|it| it.make == SET).map(|it| it.message.clone()).collect();
            asks.iter_mut().for_each(|ask| ask.keep(&[1, 2]));
        }
        for ask in asks {
            let some = match net.dump(SUBSYSTEM << 8 | part.show, &ask, HEAD) {
                // A kernel without nf_tables, or without flowtables.
                Err(e) if matches!(e.errno(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => continue,
                some => some?,
            };
            for (_, mut message) in some {
                message.keep(part.settable);
                message.head = vec![message.head.first().copied().unwrap_or_default(), 0, 0, 0];
                let mut found = TableMessage { make: part.make, message };
                if part.make == RULE {
                    complete(&mut found);
                }
                if wanted(found.table())
                    && (part.make != ELEMENTS || found.message.get(3).is_some())
                {
                    all.push(found);
                }
            }
        }
    }
    bound_first(&mut all);
    Ok(all)
}

/// NFTA_CHAIN_NAME and FLAGS with NFT_CHAIN_BINDING; NFTA_RULE_CHAIN.
const CHAIN_NAME: u16 = 3;
const CHAIN_FLAGS: u16 = 10;
const BINDING: u32 = 4;
const RULE_CHAIN: u16 = 2;

/// A chain without a name takes no rule when another jumps to it: its rules come before those of others, and of several such
/// chains the inner ones, which were made later, first.
fn bound_first(all: &mut [TableMessage]) {
    let is_bound = |it: &&TableMessage| {
        let flags = it.message.get(CHAIN_FLAGS).and_then(|flags| flags.first_chunk().copied());
        it.make == CHAIN && flags.is_some_and(|flags| u32::from_be_bytes(flags) & BINDING != 0)
    };
    let name =
        |it: &TableMessage| (it.table().to_vec(), it.message.get(CHAIN_NAME).map(<[u8]>::to_vec));
    let bound: Vec<_> = all.iter().filter(is_bound).map(name).collect();
    if bound.is_empty() {
        return;
    }
    let first_rule = all.iter().position(|it| it.make == RULE).unwrap_or(all.len());
    all[first_rule..].sort_by_key(|it| {
        let chain = (it.table().to_vec(), it.message.get(RULE_CHAIN).map(<[u8]>::to_vec));
        let at = bound.iter().position(|bound| *bound == chain);
        at.map_or(usize::MAX, |at| bound.len() - at)
    });
}

/// Makes all of it, or nothing.
///
/// # Errors
/// Why the kernel does not take it.
pub fn replay_tables(net: &Netlink, all: &[TableMessage]) -> Result<()> {
    let doing = "make the tables of nf_tables";
    let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND;
    let edge = [0, 0, 0, SUBSYSTEM as u8];
    let mut batch = framed(BEGIN, flags, 1, &edge);
    for (number, found) in (2..).zip(all) {
        let mut message = found.message.clone();
        if found.make == SET {
            message = message.with(SET_ID, u32::to_be_bytes(number));
        }
        let last = if number as usize == all.len() + 1 { NLM_F_ACK } else { 0 };
        let kind = SUBSYSTEM << 8 | found.make;
        batch.extend(framed(kind, flags | last, number, &message.to_bytes()));
    }
    batch.extend(framed(END, flags, all.len() as u32 + 2, &edge));
    let refused = net.transact(&batch, doing)?;
    let Some((number, error)) = refused.into_iter().next() else { return Ok(()) };
    let about = all.get((number as usize).wrapping_sub(2));
    let table = about.map_or_else(String::new, |it| String::from_utf8_lossy(it.table()).into());
    let what = about.map_or("", |it| match it.make {
        TABLE => "it",
        CHAIN => "a chain",
        SET => "a set",
        ELEMENTS => "the elements of a set",
        RULE => "a rule",
        _ => "an object",
    });
    Err(Error::new(format!("make the table {table} of nf_tables ({what})"), error))
}
