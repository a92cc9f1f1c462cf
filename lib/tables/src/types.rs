//! Types of the kernel in the BPF Type Format (Documentation/bpf/btf.rst): where a structure has a member, and which type a
//! function is.

/// Magic number of the format.
const MAGIC: u16 = 0xeb9f;
/// Structures without a name that lie in each other, at most.
const DEPTH: u32 = 8;

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNCTION: u32 = 12;

/// The types of a kernel.
pub(crate) struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each stands; the first one, of number 1, at 0.
    places: Vec<u32>,
    /// Those structures and functions that are asked for, with their numbers.
    known: Vec<(u32, Head)>,
}

/// A type: the numbers that all begin with.
struct Head {
    name: u32,
    kind: u32,
    /// Members, parameters or values.
    count: usize,
    /// Members have a size beside the offset.
    packed: bool,
    at: usize,
}

impl<'a> Types<'a> {
    /// Reads where they stand, in one pass over more than a hundred thousand of them; `None` for another format. `names` are those
    /// of all structures and functions that will be asked for.
    pub fn parse(bytes: &'a [u8], names: &[&str]) -> Option<Self> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        if magic != MAGIC || *bytes.get(2)? != 1 {
            return None;
        }
        let head = word(bytes, 4)? as usize;
        let part = |at: usize| {
            let start = head.checked_add(word(bytes, at)? as usize)?;
            bytes.get(start..start.checked_add(word(bytes, at + 4)? as usize)?)
        };
        let (types, strings) = (part(8)?, part(16)?);
        // A type takes some sixteen bytes.
        let places = Vec::with_capacity(types.len() / 16);
        let mut all = Self { types, strings, places, known: Vec::new() };
        let mut at = 0;
        while at < all.types.len() {
            all.places.push(u32::try_from(at).ok()?);
            let head = all.head(at)?;
            at += head.len()?;
            let wanted = matches!(head.kind, STRUCT | FUNCTION);
            if wanted && names.iter().any(|name| all.is_called(head.name, name)) {
                all.known.push((all.places.len() as u32, head));
            }
        }
        Some(all)
    }

    fn head(&self, at: usize) -> Option<Head> {
        let (name, info) = (word(self.types, at)?, word(self.types, at + 4)?);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        Some(Head { name, kind, count, packed: info >> 31 != 0, at })
    }

    fn is_called(&self, name: u32, wanted: &str) -> bool {
        let (name, wanted) = (self.strings.get(name as usize..), wanted.as_bytes());
        // Most differ in the first byte, and there are many.
        let alike = name.filter(|name| name.first() == wanted.first());
        let rest = alike.and_then(|name| name.strip_prefix(wanted));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Types of a kind and a name, each with its number.
    fn named(&self, kind: u32, name: &str) -> impl Iterator<Item = &(u32, Head)> {
        let named = move |head: &Head| head.kind == kind && self.is_called(head.name, name);
        self.known.iter().filter(move |(_, head)| named(head))
    }

    /// The number of a function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.named(FUNCTION, name).next().map(|(id, _)| *id)
    }

    /// Where a structure has its members, in bytes. One of that name that has them all.
    pub fn members<const N: usize>(&self, structure: &str, names: [&str; N]) -> Option<[i16; N]> {
        self.named(STRUCT, structure).find_map(|(_, head)| {
            let mut found = [0; N];
            for (at, name) in found.iter_mut().zip(names) {
                *at = i16::try_from(self.member(head, name, DEPTH)?).ok()?;
            }
            Some(found)
        })
    }

    /// Where a member is, also in a structure or union without a name.
    fn member(&self, head: &Head, wanted: &str, depth: u32) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        (0..head.count).find_map(|nth| {
            let at = head.at + 12 + 12 * nth;
            let (name, id) = (word(self.types, at)?, word(self.types, at + 4)?);
            let bits = word(self.types, at + 8)? & if head.packed { 0xff_ffff } else { u32::MAX };
            if self.is_called(name, wanted) {
                return (bits % 8 == 0).then_some(bits / 8);
            }
            let nameless = name == 0 || self.strings.get(name as usize) == Some(&0);
            let place = self.places.get((id as usize).checked_sub(1)?).filter(|_| nameless)?;
            let inner = self.head(*place as usize)?;
            let within = matches!(inner.kind, STRUCT | UNION);
            let at = self.member(&inner, wanted, depth).filter(|_| within)?;
            Some(bits / 8 + at)
        })
    }
}

impl Head {
    /// Bytes that it takes; `None` for a kind that is not known.
    fn len(&self) -> Option<usize> {
        let rest = match self.kind {
            // BTF_KIND_INT, VAR, DECL_TAG.
            1 | 14 | 17 => 4,
            // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG.
            2 | 7..=12 | 16 | 18 => 0,
            // ARRAY
            3 => 12,
            // STRUCT, UNION, DATASEC, ENUM64.
            4 | 5 | 15 | 19 => 12 * self.count,
            // ENUM, FUNC_PROTO.
            6 | 13 => 8 * self.count,
            _ => return None,
        };
        Some(12 + rest)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct outer { int first; union { struct inner { … } }; }`, and a function.
    fn bytes() -> Vec<u8> {
        let strings = b"\0outer\0first\0second\0work\0";
        let name = |wanted: &str| {
            let at = strings.windows(wanted.len()).position(|some| some == wanted.as_bytes());
            at.unwrap() as u32
        };
        let types: Vec<u32> = vec![
            // 1: int; 2: union without a name; 3: the structure; 4: the function.
            0,
            1 << 24,
            4,
            32, //
            0,
            5 << 24 | 1,
            8,
            name("second"),
            1,
            32, //
            name("outer"),
            4 << 24 | 2,
            16,
            name("first"),
            1,
            0,
            0,
            2,
            64, //
            name("work"),
            12 << 24,
            1,
        ];
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
        let (len, behind) = (types.len() as u32, strings.len() as u32);
        let mut all = MAGIC.to_ne_bytes().to_vec();
        all.extend([1, 0]);
        all.extend([24, 0, len, len, behind].into_iter().flat_map(u32::to_ne_bytes));
        [all, types, strings.to_vec()].concat()
    }

    #[test]
    fn members_and_functions_are_found() {
        let bytes = bytes();
        let types = Types::parse(&bytes, &["outer", "out", "work"]).unwrap();
        assert_eq!(types.members("outer", ["first", "second"]), Some([0, 12]));
        assert_eq!(types.members("outer", ["third"]), None);
        assert_eq!(types.members("out", ["first"]), None);
        assert_eq!((types.function("work"), types.function("outer")), (Some(4), None));
    }

    #[test]
    fn damage_is_no_types() {
        let bytes = bytes();
        for len in 0..bytes.len() - 30 {
            assert!(Types::parse(&bytes[..len], &[]).is_none(), "{len}");
        }
        let mut odd = bytes.clone();
        odd[24 + 7] = 31;
        assert!(Types::parse(&odd, &[]).is_none());
    }
}
