//! The stream as a tree, then its bulk into place.

use floe_crew::Crew;
use floe_plan::{has_object_for, has_room_for};
use floe_rebuild::{OpenFiles, Restore};
use floe_records::*;
use floe_stream::{Item, RawRecord, Reader, Source};
use floe_toolkit::Progress;

/// Longest bulk of a record of pages or contents, bytes.
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
            Item::Record(raw) if raw.kind >= FIRST_BULK_KIND => return Ok((tree, Some(raw))),
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

fn unknown(raw: &RawRecord) -> anyhow::Error {
    let problem = format!("restore does not know version {} of it", raw.version);
    let object = format!("record kind {}", raw.kind);
    Refusals(vec![Finding::about(object, "plan.kind", problem)]).into()
}

/// Threads that put memory into place, and buffers between them and the reader.
const FILLERS: usize = 2;
const BUFFERS: usize = 6;

/// Where a buffer goes.
enum Target {
    Memory(Pages),
    Object(ObjectData),
}

/// Memory and contents, up to End.
pub fn bulk<R: Source>(
    reader: &mut Reader<R>,
    tree: &Tree,
    first: &mut Option<RawRecord>,
    work: &Restore<'_>,
    open: &OpenFiles<'_>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let Some(first) = first.take() else { return Ok(()) };
    let put = |place, bytes: &[u8]| match place {
        Target::Memory(pages) => Ok(work.pages(&pages, bytes)?),
        Target::Object(data) => Ok(open.write_object(&data, bytes)?),
    };
    floe_crew::run(FILLERS, BUFFERS, MAX as usize, put, |crew| {
        pass(reader, tree, first, crew, progress)
    })
}

/// Reads it all in order; every record is checked against what the workers are told.
fn pass<R: Source>(
    reader: &mut Reader<R>,
    tree: &Tree,
    mut raw: RawRecord,
    crew: &Crew<'_, Target>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    loop {
        let damaged = |problem: &str| floe_stream::Error::damaged(raw.at, problem);
        let (place, promised, known) = if raw.is::<Pages>() {
            let pages: Pages = raw.decode()?;
            (Target::Memory(pages), pages.len, has_room_for(tree, &pages))
        } else if raw.is::<ObjectData>() {
            let data: ObjectData = raw.decode()?;
            (Target::Object(data), data.len, has_object_for(tree, &data))
        } else {
            // That may be damage, which only the end tells.
            while !matches!(reader.next()?, Item::End) {}
            return Err(unknown(&raw));
        };
        // Its checksum comes only at the end: until then a record is no more than a stranger's word.
        if !known {
            return Err(damaged("bulk that belongs to nothing of the tree").into());
        }
        let Item::Bulk(len) = reader.next()? else {
            return Err(damaged("a record without its bulk").into());
        };
        if len != u64::from(promised) || len > MAX {
            return Err(damaged("bulk of another length than its record says").into());
        }
        let mut buffer = crew.buffer()?;
        reader.read_bulk(&mut buffer[..len as usize])?;
        crew.give(place, buffer, len as usize)?;
        progress.add(len);
        raw = match reader.next()? {
            Item::End => return Ok(()),
            Item::Record(raw) => raw,
            Item::Bulk(_) => return Err(damaged("bulk behind bulk").into()),
        };
    }
}
