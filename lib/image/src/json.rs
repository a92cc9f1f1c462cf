//! Records as JSON text, written token by token: memory does not grow with the record.

use crate::name;
use base64::{Engine, engine::general_purpose::STANDARD};
use floe_stream::{RawRecord, Token, Tokens};
use std::io::{self, Write};

/// Bytes of a string that are converted at a time: a multiple of 3, so that base64 needs no padding in between.
const PIECE: usize = 3 << 10;

/// Writes `{"offset", "kind", "version", "name", "body"}` of a record at this offset. `name` is null for an unknown kind.
///
/// # Errors
/// Those of `out`.
pub fn write_json(record: &RawRecord, at: u64, out: &mut impl Write) -> io::Result<()> {
    let (kind, version) = (record.kind, record.version);
    write!(out, "{{\"offset\":{at},\"kind\":{kind},\"version\":{version},\"name\":")?;
    serde_json::to_writer(&mut *out, &name(kind))?;
    out.write_all(b",\"body\":")?;
    write_body(record.body_bytes(), out)?;
    out.write_all(b"}")
}

/// The start of the body as JSON text, at most this many characters.
pub fn summary(record: &RawRecord, characters: usize) -> String {
    // No character takes more than four bytes.
    let mut start = Start { text: Vec::new(), room: 4 * characters };
    // It fails when there is enough.
    let _ = write_body(record.body_bytes(), &mut start);
    String::from_utf8_lossy(&start.text).chars().take(characters).collect()
}

/// Takes the first bytes only.
struct Start {
    text: Vec<u8>,
    room: usize,
}

impl Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.text.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.text.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an open array, map or tag waits for.
struct Open {
    /// Items to come; a pair of a map is two.
    left: u64,
    /// Items that have come.
    done: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Array,
    Map,
    /// Shown as what it is a tag of.
    Tag,
}

/// One CBOR item as JSON. A record nests 32 deep at most, so the stack is short.
fn write_body(body: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut open: Vec<Open> = Vec::new();
    let mut tokens = Tokens::new(body);
    while let Some(token) = tokens.next() {
        let key = begin_item(&mut open, out)?;
        match token {
            Token::Array(0) if !key => out.write_all(b"[]")?,
            Token::Map(0) if !key => out.write_all(b"{}")?,
            Token::Array(left) if !key => {
                out.write_all(b"[")?;
                open.push(Open { left, done: 0, kind: Kind::Array });
            }
            Token::Map(pairs) if !key => {
                out.write_all(b"{")?;
                open.push(Open { left: pairs.saturating_mul(2), done: 0, kind: Kind::Map });
            }
            Token::Tag(_) if !key => open.push(Open { left: 1, done: 0, kind: Kind::Tag }),
            token if key => write_key(token, &mut tokens, out)?,
            token => write_scalar(token, out)?,
        }
        while open.last().is_some_and(|open| open.left == 0) {
            out.write_all(match open.pop().map(|open| open.kind) {
                Some(Kind::Array) => b"]",
                Some(Kind::Map) => b"}",
                _ => b"",
            })?;
        }
    }
    Ok(())
}

/// Writes what stands before an item; tells whether it is the key of a pair.
fn begin_item(open: &mut [Open], out: &mut impl Write) -> io::Result<bool> {
    let Some(open) = open.last_mut() else { return Ok(false) };
    let value = open.kind == Kind::Map && open.done % 2 == 1;
    if open.kind != Kind::Tag && open.done > 0 {
        out.write_all(if value { b":" } else { b"," })?;
    }
    open.done += 1;
    open.left -= 1;
    Ok(open.kind == Kind::Map && !value)
}

/// JSON has keys of text only: a number or bytes become text, and of anything else only the place is shown.
fn write_key(token: Token<'_>, tokens: &mut Tokens<'_>, out: &mut impl Write) -> io::Result<()> {
    match token {
        Token::Text(text) if std::str::from_utf8(text).is_ok() => write_scalar(token, out),
        Token::Text(bytes) | Token::Bytes(bytes) => escaped(bytes, out),
        Token::Unsigned(number) => write!(out, "\"{number}\""),
        Token::Negative(number) => write!(out, "\"{}\"", -1 - i128::from(number)),
        token => {
            skip(token, tokens);
            out.write_all(b"\"?\"")
        }
    }
}

/// Passes over what belongs to a token.
fn skip(token: Token<'_>, tokens: &mut Tokens<'_>) {
    let inside = |token: Token<'_>| match token {
        Token::Array(items) => items,
        Token::Map(pairs) => pairs.saturating_mul(2),
        Token::Tag(_) => 1,
        _ => 0,
    };
    let mut left = inside(token);
    while left > 0 {
        let Some(token) = tokens.next() else { return };
        left = (left - 1).saturating_add(inside(token));
    }
}

fn write_scalar(token: Token<'_>, out: &mut impl Write) -> io::Result<()> {
    match token {
        Token::Unsigned(number) => write!(out, "{number}"),
        Token::Negative(number) => match i64::try_from(-1 - i128::from(number)) {
            Ok(number) => write!(out, "{number}"),
            // Readers of JSON know no such number.
            Err(_) => write!(out, "\"{}\"", -1 - i128::from(number)),
        },
        Token::Float(number) => Ok(serde_json::to_writer(out, &number)?),
        Token::Simple(20) => out.write_all(b"false"),
        Token::Simple(21) => out.write_all(b"true"),
        Token::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(serde_json::to_writer(out, text)?),
            Err(_) => bytes(text, out),
        },
        Token::Bytes(content) => bytes(content, out),
        _ => out.write_all(b"null"),
    }
}

/// Text with escapes where most is text, base64 otherwise.
fn bytes(content: &[u8], out: &mut impl Write) -> io::Result<()> {
    let odd = content.iter().filter(|byte| !(b' '..=b'~').contains(*byte)).count();
    if odd * 8 <= content.len() {
        return escaped(content, out);
    }
    out.write_all(b"{\"base64\":\"")?;
    for piece in content.chunks(PIECE) {
        out.write_all(STANDARD.encode(piece).as_bytes())?;
    }
    out.write_all(b"\"}")
}

/// A JSON string of the bytes as Rust writes them: `\xff` for what is not printable.
fn escaped(content: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for piece in content.chunks(PIECE) {
        // The escapes have backslashes and quotes, which JSON escapes again; all is ASCII.
        let text = piece.escape_ascii().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        out.write_all(text.as_bytes())?;
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &[u8]) -> String {
        let mut out = Vec::new();
        write_body(body, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_of_item() {
        for (body, text) in [
            (&[0x80][..], "[]"),
            (&[0xa0], "{}"),
            (&[0x82, 0x01, 0x81, 0x20], "[1,[-1]]"),
            (&[0xa2, 0x61, b'a', 0x80, 0x61, b'b', 0xa1, 0x05, 0xf6], r#"{"a":[],"b":{"5":null}}"#),
            (&[0xc1, 0x82, 0xf4, 0xf5], "[false,true]"),
            (&[0x3b, 255, 255, 255, 255, 255, 255, 255, 255], "\"-18446744073709551616\""),
            (&[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1.5"),
            (&[0xf9, 0x7e, 0], "null"),
            (&[0x63, b'"', 0xc3, 0xa9], "\"\\\"é\""),
            (&[0x42, b'"', b'\\'], r#""\\\"\\\\""#),
            (&[0x43, 0, 1, 2], r#"{"base64":"AAEC"}"#),
            (&[0xa1, 0x82, 1, 0xa1, 1, 2, 0x01], r#"{"?":1}"#),
            (&[0xa1, 0xc1, 0x80, 0xc1, 0x01], r#"{"?":1}"#),
            (&[0xa1, 0x42, b'a', 0, 0x01], r#"{"a\\x00":1}"#),
        ] {
            assert_eq!(shown(body), text, "{body:x?}");
            serde_json::from_str::<serde_json::Value>(&shown(body)).unwrap();
        }
    }

    #[test]
    fn long_bytes_are_shown_whole_and_cut() {
        for len in [PIECE - 1, PIECE, PIECE + 1, 100_000] {
            for byte in [b'x', 0xff] {
                let body = [&[0x5a][..], &(len as u32).to_be_bytes(), &vec![byte; len]].concat();
                let whole = shown(&body);
                let content = whole.split('"').rfind(|part| part.len() > 2).unwrap();
                let bytes =
                    if byte == 0xff { STANDARD.decode(content).unwrap() } else { content.into() };
                assert_eq!(bytes, vec![byte; len]);
                let record = RawRecord::from_parts(77, 1, &body);
                assert_eq!(summary(&record, 100), whole[..100]);
            }
        }
    }

    #[test]
    fn a_summary_is_cut_at_characters() {
        let record = |body: &[u8]| RawRecord::from_parts(77, 1, body);
        assert_eq!(summary(&record(&[0x82, 1, 2]), 100), "[1,2]");
        assert_eq!(summary(&record(&[0x82, 1, 2]), 3), "[1,");
        let accents = [&[0x78, 200][..], "é".repeat(100).as_bytes()].concat();
        assert_eq!(summary(&record(&accents), 4), "\"ééé");
    }
}
