//! Messages of netlink(7), as nf_tables wants them: numbers in network byte order, `struct nfgenmsg` in front of the attributes, and
//! several messages between a begin and an end as one transaction.

use netlink_packet_core::{
    DefaultNla, Emitable, ErrorBuffer, NLA_F_NESTED, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE,
    NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
};

/// NFNL_MSG_BATCH_BEGIN and NFNL_MSG_BATCH_END of include/uapi/linux/netfilter/nfnetlink.h.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// NFNL_SUBSYS_NFTABLES.
const TABLES: u16 = 10;

/// CREATE and APPEND are harmless where nothing is made.
const FLAGS: u16 = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND;

/// Attributes one behind the other.
#[derive(Clone, Default, Debug)]
pub(crate) struct Attributes(Vec<DefaultNla>);

impl Attributes {
    /// Bytes as they are.
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.push(DefaultNla::new(kind, value.to_vec()));
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
        self.bytes(kind | NLA_F_NESTED, &inner.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let all = self.0.as_slice();
        let mut bytes = vec![0; all.buffer_len()];
        all.emit(&mut bytes);
        bytes
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
        let [high, low] = resource.to_be_bytes();
        let body = [&[family, 0, high, low], attributes.to_bytes().as_slice()].concat();
        self.last += 1;
        let mut header = NetlinkHeader::default();
        header.length = (header.buffer_len() + body.len()) as u32;
        header.message_type = kind;
        header.flags = FLAGS;
        header.sequence_number = self.last;
        self.at = self.bytes.len();
        self.bytes.resize(self.at + header.buffer_len(), 0);
        header.emit(&mut self.bytes[self.at..]);
        self.bytes.extend(body);
    }

    /// All of it, and the number of the message whose acknowledgement says that it is done.
    pub fn finish(mut self) -> (Vec<u8>, u32) {
        NetlinkBuffer::new(&mut self.bytes[self.at..]).set_flags(FLAGS | NLM_F_ACK);
        let acknowledged = self.last;
        self.add(END, 0, TABLES, &Attributes::default());
        (self.bytes, acknowledged)
    }
}

/// The answers to messages, by their numbers: 0, or an errno.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<(u32, i32)> {
    let mut all = Vec::new();
    while let Ok(message) = NetlinkBuffer::new_checked(bytes) {
        if message.message_type() == NLMSG_ERROR
            && let Ok(error) = ErrorBuffer::new_checked(message.payload())
        {
            all.push((message.sequence_number(), error.code().map_or(0, |code| -code.get())));
        }
        bytes = bytes.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let inner = Attributes::default().text(1, "ab").number(2, 0x0102_0304);
        let outer = Attributes::default().nested(3, &inner);
        let bytes = outer.to_bytes();
        assert_eq!(bytes[..4], [20, 0, 3, 0x80]);
        assert_eq!(bytes[4..], [7, 0, 1, 0, b'a', b'b', 0, 0, 8, 0, 2, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_last_message_asks_for_an_answer() {
        let mut batch = Batch::new();
        batch.message(0, 1, &Attributes::default());
        batch.message(3, 1, &Attributes::default().number(1, 7));
        let (bytes, number) = batch.finish();
        assert_eq!(number, 3);
        assert_eq!(bytes.len(), 4 * 20 + 8);
        // The subsystem stands in the begin and in the end.
        assert_eq!([&bytes[16..20], &bytes[84..]], [[0, 0, 0, 10]; 2]);
        let flags = |at: usize| u16::from_ne_bytes([bytes[at + 6], bytes[at + 7]]) & NLM_F_ACK;
        assert_eq!([flags(0), flags(20), flags(40), flags(68)], [0, 0, NLM_F_ACK, 0]);
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
        // Cut off, and a length that cannot be.
        assert_eq!(answers(&bytes[..40]), [(2, libc::EPERM)]);
        bytes[..4].fill(0);
        assert_eq!(answers(&bytes), []);
    }
}
