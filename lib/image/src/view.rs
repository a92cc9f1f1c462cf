//! Records for people: JSON of what any record says, whether its kind is known or not.

use crate::{Result, name};
use base64::{Engine, engine::general_purpose::STANDARD};
use ciborium::Value;
use floe_stream::{Item, RawRecord, Reader, Source};
use serde_json::json;

/// What comes by when a stream is walked.
pub enum Seen<'a> {
    /// A record, and the bytes it takes.
    Record(&'a RawRecord),
    /// Bulk of the last record.
    Bulk(u64),
}

/// Shows every record and every bulk string of a stream or image with its offset.
pub fn walk<R: Source, E: From<crate::Error>>(
    reader: &mut Reader<R>,
    mut show: impl FnMut(u64, Seen<'_>) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        match reader.next().map_err(crate::Error::from)? {
            Item::Record(record) => show(record.at, Seen::Record(&record))?,
            Item::Bulk(len) => show(reader.offset(), Seen::Bulk(len))?,
            Item::End => return Ok(()),
        }
    }
}

/// A record as JSON: `{"kind", "version", "name", "body"}`.
pub fn json(record: &RawRecord) -> serde_json::Value {
    let body = ciborium::from_reader(record.body_bytes())
        .map_or_else(|_| bytes(record.body_bytes()), |value: Value| to_json(&value));
    json!({
        "kind": record.kind, "version": record.version, "name": name(record.kind), "body": body,
    })
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Integer(number) => {
            let number = i128::from(*number);
            match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => json!(number),
                (_, Ok(number)) => json!(number),
                _ => json!(number.to_string()),
            }
        }
        Value::Bytes(content) => bytes(content),
        Value::Float(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Bool(value) => json!(value),
        Value::Tag(_, inner) => to_json(inner),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| {
                let key = match to_json(key) {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                (key, to_json(value))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => serde_json::Value::Null,
    }
}

/// Text with escapes where most is text, base64 otherwise.
fn bytes(content: &[u8]) -> serde_json::Value {
    let odd = content.iter().filter(|byte| !(b' '..=b'~').contains(*byte)).count();
    if odd * 8 <= content.len() {
        json!(content.escape_ascii().to_string())
    } else {
        json!({ "base64": STANDARD.encode(content) })
    }
}
