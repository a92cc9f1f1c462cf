//! Pieces of the text of /proc: words, numbers, and the error for what is not understood.

use std::{io, str::FromStr};

/// The error of a parser.
pub(crate) fn unknown(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unknown form of {what}"))
}

/// Text of a field that is ASCII by definition.
pub(crate) fn ascii<'a>(word: &'a [u8], what: &str) -> io::Result<&'a str> {
    std::str::from_utf8(word).map_err(|_| unknown(what))
}

/// A decimal number, with blanks around it.
pub(crate) fn decimal<T: FromStr>(word: &[u8], what: &str) -> io::Result<T> {
    ascii(word.trim_ascii(), what)?.parse().map_err(|_| unknown(what))
}

/// A hexadecimal number without prefix, with blanks around it.
pub(crate) fn hex(word: &[u8], what: &str) -> io::Result<u64> {
    radix(word, 16, what)
}

/// An unsigned number without sign or prefix, with blanks around it.
pub(crate) fn radix(word: &[u8], radix: u32, what: &str) -> io::Result<u64> {
    let text = ascii(word.trim_ascii(), what)?;
    // from_str_radix takes a sign, which the kernel never writes in front of these.
    if text.starts_with(['+', '-']) {
        return Err(unknown(what));
    }
    u64::from_str_radix(text, radix).map_err(|_| unknown(what))
}

/// `major:minor`, both hexadecimal, as makedev(3) packs them.
pub(crate) fn device(word: &[u8], what: &str) -> io::Result<u64> {
    let (major, minor) = split(word, b':', what)?;
    let half = |word| hex(word, what).and_then(|n| u32::try_from(n).map_err(|_| unknown(what)));
    Ok(libc::makedev(half(major)?, half(minor)?))
}

/// Both sides of the first `at`.
pub(crate) fn split<'a>(word: &'a [u8], at: u8, what: &str) -> io::Result<(&'a [u8], &'a [u8])> {
    let cut = word.iter().position(|byte| *byte == at).ok_or_else(|| unknown(what))?;
    Ok((&word[..cut], &word[cut + 1..]))
}

/// The lines of a file, without empty ones.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    let all = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = &rest[rest.len().min(end + 1)..];
        Some(line)
    });
    all.filter(|line| !line.is_empty())
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}
