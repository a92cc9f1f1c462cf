//! Rules that iptables-nft(8) has made: their matches and targets are those of iptables, which ask for which protocol they are.
//! The kernel takes that beside the rule and does not show it; the rule compares the protocol as well.

use crate::{Message, TableMessage, message::attributes, message::text};
use netlink_packet_core::NLA_F_NESTED;

/// NFTA_RULE_EXPRESSIONS and COMPAT; NFTA_RULE_COMPAT_PROTO and FLAGS, NFT_RULE_COMPAT_F_INV.
const EXPRESSIONS: u16 = 4;
const COMPAT: u16 = 5;
const PROTOCOL: u16 = 1;
const FLAGS: u16 = 2;
const INVERTED: u32 = 2;
/// NFTA_EXPR_NAME and DATA.
const NAME: u16 = 1;
const DATA: u16 = 2;

/// Adds to a rule what protocol it is for, where an expression of it asks for that.
pub(crate) fn complete(rule: &mut TableMessage) {
    let list = rule.message.get(EXPRESSIONS).unwrap_or_default();
    let all: Vec<Message> = attributes(list)
        .into_iter()
        .map(|(_, value)| Message { head: Vec::new(), attributes: attributes(&value) })
        .collect();
    let name = |it: &Message| it.get(NAME).map(text).unwrap_or_default().to_vec();
    if !all.iter().any(|it| matches!(name(it).as_slice(), b"match" | b"target")) {
        return;
    }
    let found = all.windows(2).find_map(|pair| {
        let (load, compare) = (pair[0].get_nested(DATA), pair[1].get_nested(DATA));
        let is_protocol = match name(&pair[0]).as_slice() {
            // NFTA_META_KEY: NFT_META_L4PROTO.
            b"meta" => number(&load, 2) == Some(16),
            // NFTA_PAYLOAD_BASE, OFFSET and LEN: the protocol in a header of IPv4, the next header in one of IPv6.
            b"payload" => {
                let at = if rule.message.head.first() == Some(&10) { 6 } else { 9 };
                [2, 3, 4].map(|kind| number(&load, kind)) == [Some(1), Some(at), Some(1)]
            }
            _ => false,
        };
        // NFTA_CMP_OP: NFT_CMP_EQ and NEQ; NFTA_CMP_DATA, NFTA_DATA_VALUE.
        let op = number(&compare, 2).filter(|op| *op <= 1)?;
        let protocol = *compare.get_nested(3).get(1)?.first()?;
        (is_protocol && name(&pair[1]) == b"cmp").then_some((protocol, op))
    });
    let Some((protocol, op)) = found else { return };
    let compat = Message::default()
        .with(PROTOCOL, u32::from(protocol).to_be_bytes())
        .with(FLAGS, (op * INVERTED).to_be_bytes());
    rule.message.attributes.push((COMPAT | NLA_F_NESTED, compat.to_bytes()));
}

fn number(message: &Message, kind: u16) -> Option<u32> {
    message.get(kind)?.first_chunk().copied().map(u32::from_be_bytes)
}
