//! The stream as a tree.

use floe_records::*;
use floe_stream::{Item, RawRecord, Reader, Source};
use floe_worker_pool::in_order::in_order;

/// Contents are read in pieces of this, bytes.
const MAX: u64 = 1 << 20;
/// Longest contents of metadata, such as those of a pipe (the kernel lets a privileged process have 2 GiB).
const MOST: u64 = floe_stream::MAX_BULK;

/// Records that a thread decodes at a time, and bytes of them from which on it gets no more.
const AT_ONCE: usize = 512;
const BYTES: usize = 1 << 20;

/// A record that has been read.
struct Read {
    raw: RawRecord,
    /// One that has contents is decoded at once, because it says how much that is.
    whole: Option<(AnyRecord, Vec<u8>)>,
}

/// Why no more is read.
enum Stopped {
    /// There is enough to be decoded; the next record.
    Full(RawRecord),
    Bulk(RawRecord),
    End,
}

/// Everything before the first record of bulk; that record too.
pub fn metadata<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<(Tree, Option<RawRecord>)> {
    let (mut tree, mut next) = (Tree::default(), None);
    let decode = |some: Vec<Read>| some.into_iter().map(decoded).collect::<Vec<_>>();
    in_order(decode, |work| {
        loop {
            let mut read = Vec::new();
            read.extend(next.take().map(|raw| Read { raw, whole: None }));
            let stopped = read_some(reader, &mut read);
            work.give(read);
            let goes_on = matches!(stopped, Ok(Stopped::Full(_)));
            let done = if goes_on { work.ready() } else { work.rest() };
            // Of several faults the first one in the stream is told.
            for (raw, decoded) in done.into_iter().flatten() {
                insert(&mut tree, &raw, decoded?)?;
            }
            match stopped? {
                Stopped::Full(raw) => next = Some(raw),
                Stopped::Bulk(raw) => return Ok((std::mem::take(&mut tree), Some(raw))),
                Stopped::End => return Ok((std::mem::take(&mut tree), None)),
            }
        }
    })
}

/// Reads on until that is enough for several threads.
fn read_some<R: Source>(reader: &mut Reader<R>, read: &mut Vec<Read>) -> anyhow::Result<Stopped> {
    let mut bytes = 0;
    loop {
        let at = reader.offset();
        match reader.next()? {
            Item::End => return Ok(Stopped::End),
            Item::Bulk(len) => {
                let damaged = |what: &str| floe_stream::Error::damaged(at, what);
                let last = read.last_mut().filter(|last| last.whole.is_none());
                let Some(last) = last else {
                    return Err(damaged("bulk that belongs to nothing").into());
                };
                let Some(record) = last.raw.any()? else { return Err(unknown(&last.raw)) };
                let wanted = record.content_len();
                if wanted == 0 {
                    return Err(damaged("bulk that belongs to nothing").into());
                }
                if len != wanted || len > MOST {
                    return Err(damaged("bulk of another length than its record says").into());
                }
                last.whole = Some((record, body(reader, len)?));
                bytes += len as usize;
            }
            Item::Record(raw) if is_bulk(raw.kind) => return Ok(Stopped::Bulk(raw)),
            Item::Record(raw) if read.len() >= AT_ONCE || bytes >= BYTES => {
                return Ok(Stopped::Full(raw));
            }
            Item::Record(raw) => {
                bytes += raw.bytes.len();
                read.push(Read { raw, whole: None });
            }
        }
    }
}

type Decoded = anyhow::Result<(AnyRecord, Option<Vec<u8>>)>;

fn decoded(read: Read) -> (RawRecord, Decoded) {
    let Read { raw, whole } = read;
    let decoded = match whole {
        Some((record, content)) => Ok((record, Some(content))),
        None => match raw.any() {
            Ok(Some(record)) => Ok((record, None)),
            Ok(None) => Err(unknown(&raw)),
            Err(error) => Err(error.into()),
        },
    };
    (raw, decoded)
}

fn insert(
    tree: &mut Tree,
    raw: &RawRecord,
    (record, content): (AnyRecord, Option<Vec<u8>>),
) -> anyhow::Result<()> {
    if content.is_none() && record.content_len() > 0 {
        let behind = raw.at + raw.bytes.len() as u64;
        return Err(floe_stream::Error::damaged(behind, "a record without its bulk").into());
    }
    let kind = record.kind();
    let twice = |e: Duplicate| floe_stream::Error::damaged(raw.at, e.to_string());
    tree.insert(record).map_err(twice)?;
    if let (Some(bytes), Some(place)) = (content, tree.last_content(kind)) {
        *place = bytes;
    }
    Ok(())
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
