//! A stream or image for people.

use floe_image::{Seen, name, walk};
use floe_stream::{Reader, Source};
use std::io::{self, BufWriter, Write};

/// Longest summary of a record in `--list`, characters.
const SUMMARY: usize = 100;

/// A line for each record: offset, kind, name, size, summary; bulk as a line of its own.
pub fn list<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    walk(reader, |at, seen| -> anyhow::Result<()> {
        match seen {
            Seen::Record(record) => {
                let name = name(record.kind).unwrap_or("?");
                let body = floe_image::json(record)["body"].to_string();
                let summary: String = body.chars().take(SUMMARY).collect();
                let (kind, size) = (record.kind, record.bytes.len());
                writeln!(out, "{at:>12} {kind:>4} {name:<14} {size:>9} {summary}")?;
            }
            Seen::Bulk(len) => writeln!(out, "{at:>12}    - {:<14} {len:>9}", "bulk")?,
        }
        Ok(())
    })?;
    Ok(out.flush()?)
}

/// A line of JSON for each record; bulk as `{"offset", "bulk"}`.
pub fn json<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    walk(reader, |at, seen| -> anyhow::Result<()> {
        let line = match seen {
            Seen::Record(record) => {
                let mut line = floe_image::json(record);
                line["offset"] = at.into();
                line
            }
            Seen::Bulk(len) => serde_json::json!({ "offset": at, "bulk": len }),
        };
        Ok(writeln!(out, "{line}")?)
    })?;
    Ok(out.flush()?)
}
