//! The stream as a tree.

use floe_records::*;
use floe_stream::{Item, RawRecord, Reader, Source};

/// Contents are read in pieces of this, bytes.
const MAX: u64 = 1 << 20;
/// Longest contents of metadata, such as those of a pipe (the kernel lets a privileged process have 2 GiB).
const MOST: u64 = floe_stream::MAX_BULK;

/// Everything before the first record of bulk; that record too.
pub fn metadata<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<(Tree, Option<RawRecord>)> {
    let mut tree = Tree::default();
    let mut last: Option<(Kind, u64)> = None;
    loop {
        let at = reader.offset();
        let item = reader.next()?;
        if !matches!(item, Item::Bulk(_)) && last.is_some_and(|(_, wanted)| wanted > 0) {
            return Err(floe_stream::Error::damaged(at, "a record without its bulk").into());
        }
        match item {
            Item::End => return Ok((tree, None)),
            Item::Bulk(len) => {
                let damaged = |what: &str| floe_stream::Error::damaged(at, what);
                let Some((kind, wanted)) = last.take().filter(|(_, wanted)| *wanted > 0) else {
                    return Err(damaged("bulk that belongs to nothing").into());
                };
                if len != wanted || len > MOST {
                    return Err(damaged("bulk of another length than its record says").into());
                }
                let bytes = body(reader, len)?;
                if let Some(content) = tree.last_content(kind) {
                    *content = bytes;
                }
            }
            Item::Record(raw) if is_bulk(raw.kind) => return Ok((tree, Some(raw))),
            Item::Record(raw) => {
                let Some(record) = raw.any()? else { return Err(unknown(&raw)) };
                last = Some((record.kind(), record.content_len()));
                let twice = |e: Duplicate| floe_stream::Error::damaged(raw.at, e.to_string());
                tree.insert(record).map_err(twice)?;
            }
        }
    }
}

/// Memory grows with what arrives, not with what is announced.
fn body<R: Source>(reader: &mut Reader<R>, len: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let start = bytes.len();
        bytes.resize(start + (len - start as u64).min(MAX) as usize, 0);
        reader.read_bulk(&mut bytes[start..])?;
    }
    Ok(bytes)
}

/// The refusal of a kind of record that restore does not know.
pub fn unknown(raw: &RawRecord) -> anyhow::Error {
    let problem = format!("restore does not know version {} of it", raw.version);
    let object = format!("record kind {}", raw.kind);
    Refusals(vec![Finding::about(object, "plan.kind", problem)]).into()
}
