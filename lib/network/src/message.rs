//! A message of netlink(7) without its header: a structure of the kind, and attributes.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlasIterator};

/// A structure (`struct ifaddrmsg`, `struct rtmsg` …), and what stands behind it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Message {
    /// The structure.
    pub head: Vec<u8>,
    /// Kind, flags among it, and value of each attribute.
    pub attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// Without attributes.
    pub fn new(head: impl Into<Vec<u8>>) -> Self {
        Self { head: head.into(), attributes: Vec::new() }
    }

    /// Of bytes whose structure has this length; what is cut off is left out.
    pub fn parse(bytes: &[u8], head: usize) -> Self {
        let head = head.min(bytes.len());
        let behind = bytes.get(head.next_multiple_of(4)..).unwrap_or_default();
        Self { head: bytes[..head].to_vec(), attributes: attributes(behind) }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: impl Into<Vec<u8>>) -> Self {
        self.attributes.push((kind, value.into()));
        self
    }

    /// With a number of 32 bits.
    #[must_use]
    pub fn number(self, kind: u16, number: u32) -> Self {
        self.with(kind, number.to_ne_bytes())
    }

    /// With a name and its NUL.
    #[must_use]
    pub fn text(self, kind: u16, text: &[u8]) -> Self {
        self.with(kind, [text, &[0]].concat())
    }

    /// With another message in an attribute.
    #[must_use]
    pub fn nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NLA_F_NESTED, inner.to_bytes())
    }

    /// The value of an attribute.
    pub fn get(&self, kind: u16) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(known, _)| kind_of(*known) == kind);
        found.map(|(_, value)| value.as_slice())
    }

    /// A number of 32 bits.
    pub fn get_number(&self, kind: u16) -> Option<u32> {
        self.get(kind)?.first_chunk().copied().map(u32::from_ne_bytes)
    }

    /// A name without its NUL.
    pub fn get_text(&self, kind: u16) -> Option<&[u8]> {
        self.get(kind).map(text)
    }

    /// The attributes inside of one.
    pub fn get_nested(&self, kind: u16) -> Self {
        Self { head: Vec::new(), attributes: self.get(kind).map(attributes).unwrap_or_default() }
    }

    /// Leaves those of these kinds.
    pub fn keep(&mut self, kinds: &[u16]) {
        self.attributes.retain(|(kind, _)| kinds.contains(&kind_of(*kind)));
    }

    /// Leaves those of other kinds.
    pub fn remove(&mut self, kinds: &[u16]) {
        self.attributes.retain(|(kind, _)| !kinds.contains(&kind_of(*kind)));
    }

    /// As the kernel takes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let all: Vec<DefaultNla> =
            self.attributes.iter().map(|(kind, v)| DefaultNla::new(*kind, v.clone())).collect();
        let start = bytes.len();
        bytes.resize(start + all.as_slice().buffer_len(), 0);
        all.as_slice().emit(&mut bytes[start..]);
        bytes
    }
}

/// The kind without flags.
pub(crate) fn kind_of(kind: u16) -> u16 {
    kind & 0x3fff
}

/// Up to the first NUL.
pub(crate) fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub(crate) fn attributes(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let all = NlasIterator::new(bytes).map_while(Result::ok);
    all.map(|nla| {
        let mut value = vec![0; nla.value_length()];
        value.copy_from_slice(nla.value());
        (nla.kind() | flags(&nla), value)
    })
    .collect()
}

fn flags<T: AsRef<[u8]>>(nla: &netlink_packet_core::NlaBuffer<T>) -> u16 {
    if nla.nested_flag() { NLA_F_NESTED } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::default().text(1, b"veth").number(2, 7);
        let message = Message::new([1, 2, 3, 4]).text(3, b"x").nested(18, &inner);
        let read = Message::parse(&message.to_bytes(), 4);
        assert_eq!(read, message);
        assert_eq!(read.get_text(3), Some(&b"x"[..]));
        assert_eq!(read.get_nested(18).get_number(2), Some(7));
        assert_eq!(Message::parse(&message.to_bytes()[..9], 4).attributes, []);
    }
}
