//! A stream or image for people.

use floe_image::{Seen, name, summary, walk, write_json};
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
                let (kind, size) = (record.kind, record.bytes.len());
                let summary = summary(record, SUMMARY);
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
        match seen {
            Seen::Record(record) => write_json(record, at, &mut out)?,
            Seen::Bulk(len) => write!(out, "{{\"offset\":{at},\"bulk\":{len}}}")?,
        }
        Ok(out.write_all(b"\n")?)
    })?;
    Ok(out.flush()?)
}
