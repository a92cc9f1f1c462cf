//! Octal escapes, as mountinfo and the sysfs of AUFS write them (`\040` for a space).

/// Takes the escapes back. A backslash that begins none stands for itself.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits =
            tail.first_chunk::<3>().filter(|d| d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match digits {
            Some(d) if first == b'\\' && d[0] <= b'3' => {
                out.push(d.iter().fold(0, |value, digit| value << 3 | (digit - b'0')));
                rest = &tail[3..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// A path as /proc/PID/maps writes it: there only a newline is escaped.
pub fn newlines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let newline = rest.strip_prefix(b"\\012");
        out.push(if newline.is_some() { b'\n' } else { first });
        rest = newline.unwrap_or(tail);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{newlines, unescape};

    #[test]
    fn escapes_are_taken_back() {
        assert_eq!(unescape(b"a\\040b\\011c\\012d\\134e"), b"a b\tc\nd\\e");
        assert_eq!(unescape("ü=x\\".as_bytes()), "ü=x\\".as_bytes());
        assert_eq!(unescape(b"\\9\\04"), b"\\9\\04");
        assert_eq!(newlines(b"a\\012b\\040c"), b"a\nb\\040c");
    }
}
