//! Messages of netlink(7), as nf_tables wants them: `struct nlmsghdr`, `struct nfgenmsg`, attributes with numbers in network byte
//! order. Several of them between a begin and an end are one transaction.

/// Bytes of `struct nlmsghdr` and of `struct nfgenmsg`.
pub(crate) const HEADER: usize = 16;
const GENERIC: usize = 4;
/// NLM_F_REQUEST and NLM_F_ACK; NLM_F_CREATE and NLM_F_APPEND are harmless where nothing is made.
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0xc00;
/// NFNL_MSG_BATCH_BEGIN and NFNL_MSG_BATCH_END of include/uapi/linux/netfilter/nfnetlink.h.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// NFNL_SUBSYS_NFTABLES.
const TABLES: u16 = 10;
/// Set in the type of an attribute that holds others.
const NESTED: u16 = 0x8000;

/// Attributes one behind the other.
#[derive(Clone, Default, Debug)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// Bytes as they are.
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let len = (4 + value.len()) as u16;
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A name, with a NUL behind it.
    pub fn text(self, kind: u16, text: &str) -> Self {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// A number of 32 bits.
    pub fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    /// Others inside of one.
    pub fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// A transaction.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Number of the last message.
    last: u32,
    /// Where it begins.
    at: usize,
}

impl Batch {
    /// Without a message in it yet.
    pub fn new() -> Self {
        let mut batch = Self { bytes: Vec::new(), last: 0, at: 0 };
        batch.add(BEGIN, 0, TABLES, &Attributes::default());
        batch
    }

    /// Adds a message: its number in nf_tables (NFT_MSG_…), the address family, and what it says.
    pub fn message(&mut self, number: u16, family: u8, attributes: &Attributes) {
        self.add(TABLES << 8 | number, family, 0, attributes);
    }

    fn add(&mut self, kind: u16, family: u8, resource: u16, attributes: &Attributes) {
        self.at = self.bytes.len();
        self.last += 1;
        let len = (HEADER + GENERIC + attributes.0.len()) as u32;
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | CREATE).to_ne_bytes());
        self.bytes.extend(self.last.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(&attributes.0);
    }

    /// All of it, and the number of the message whose acknowledgement says that it is done.
    pub fn finish(mut self) -> (Vec<u8>, u32) {
        let flags = (REQUEST | CREATE | ACK).to_ne_bytes();
        self.bytes[self.at + 6..self.at + 8].copy_from_slice(&flags);
        let acknowledged = self.last;
        self.add(END, 0, TABLES, &Attributes::default());
        (self.bytes, acknowledged)
    }
}

/// The answers to messages, by their numbers: 0, or an errno.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<(u32, i32)> {
    const ERROR: u16 = 2;
    let mut all = Vec::new();
    while let Some(header) = bytes.first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, _, _, g, h, i, j, ..] = *header;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        if u16::from_ne_bytes([e, f]) == ERROR
            && let Some(code) = bytes.get(HEADER..).and_then(|body| body.first_chunk())
        {
            all.push((u32::from_ne_bytes([g, h, i, j]), -i32::from_ne_bytes(*code)));
        }
        bytes = bytes.get(len.max(HEADER).next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let inner = Attributes::default().text(1, "ab").number(2, 0x0102_0304);
        assert_eq!(inner.0, [7, 0, 1, 0, b'a', b'b', 0, 0, 8, 0, 2, 0, 1, 2, 3, 4]);
        let outer = Attributes::default().nested(3, &inner);
        assert_eq!(&outer.0[..4], [20, 0, 3, 0x80]);
        assert_eq!(&outer.0[4..], inner.0);
    }

    #[test]
    fn the_last_message_asks_for_an_answer() {
        let mut batch = Batch::new();
        batch.message(0, 1, &Attributes::default());
        batch.message(3, 1, &Attributes::default().number(1, 7));
        let (bytes, number) = batch.finish();
        assert_eq!(number, 3);
        assert_eq!(bytes.len(), 4 * 20 + 8);
        let flags = |at: usize| u16::from_ne_bytes([bytes[at + 6], bytes[at + 7]]) & ACK;
        assert_eq!([flags(0), flags(20), flags(40), flags(68)], [0, 0, ACK, 0]);
    }

    #[test]
    fn answers_are_found_by_number() {
        let mut bytes = Vec::new();
        for (number, code) in [(2u32, -libc::EPERM), (3, 0)] {
            bytes.extend(36u32.to_ne_bytes());
            bytes.extend([2, 0, 0, 0]);
            bytes.extend(number.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(code.to_ne_bytes());
            bytes.extend([0; 16]);
        }
        assert_eq!(answers(&bytes), [(2, libc::EPERM), (3, 0)]);
        // Cut off, and lengths that cannot be.
        assert_eq!(answers(&bytes[..40]), [(2, libc::EPERM)]);
        bytes[..4].fill(0);
        assert!(answers(&bytes).len() <= bytes.len() / HEADER);
    }
}
