//! The stream as a tree, then its bulk into place.

use anyhow::bail;
use floe_plan::Tree;
use floe_rebuild::{Opened, Work};
use floe_records::*;
use floe_stream::{Item, RawRecord, Reader, Source};
use floe_toolkit::Progress;
use floe_worker_pool::WorkerPool;

const MAX: u64 = 1 << 20;

/// Whose contents follow.
enum Queue {
    Pipe(PipeData),
    Socket(SocketQueue),
}

/// Everything before the first record of bulk; that record too.
pub fn metadata<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<(Tree, Option<RawRecord>)> {
    let mut tree = Tree::default();
    let mut owner: Option<Queue> = None;
    loop {
        match reader.next()? {
            Item::End => return Ok((tree, None)),
            Item::Bulk(len) => {
                let Some(owner) = owner.take() else {
                    bail!("bulk of {len} bytes belongs to nothing")
                };
                let bytes = body(reader, len)?;
                match owner {
                    Queue::Pipe(p) => drop(tree.pipes.insert(p.pipe, (p, bytes))),
                    Queue::Socket(s) => drop(tree.queues.insert(s.ino, (s.messages, bytes))),
                }
            }
            Item::Record(raw) if raw.kind >= FIRST_BULK_KIND => return Ok((tree, Some(raw))),
            Item::Record(raw) if raw.is::<PipeData>() => {
                let p: PipeData = raw.decode()?;
                tree.pipes.insert(p.pipe, (p.clone(), Vec::new()));
                owner = Some(Queue::Pipe(p));
            }
            Item::Record(raw) if raw.is::<SocketQueue>() => {
                owner = Some(Queue::Socket(raw.decode()?));
            }
            Item::Record(raw) => take(&mut tree, &raw)?,
        }
    }
}

fn body<R: Source>(reader: &mut Reader<R>, len: u64) -> anyhow::Result<Vec<u8>> {
    if len > MAX {
        bail!("bulk of {len} bytes is too long");
    }
    let mut bytes = vec![0; len as usize];
    reader.read_bulk(&mut bytes)?;
    Ok(bytes)
}

macro_rules! take {
    ($tree:ident, $raw:ident; $($type:ty, $name:ident => $action:expr;)*) => {
        $(if $raw.is::<$type>() { let $name: $type = $raw.decode()?; $action; return Ok(()); })*
    };
}

fn take(tree: &mut Tree, raw: &RawRecord) -> anyhow::Result<()> {
    take! { tree, raw;
        Begin, r => tree.begin = Some(r);
        Process, r => tree.processes.push(r);
        Thread, r => tree.threads.push(r);
        ProcessSignals, r => tree.signals.insert(r.pid, r);
        ThreadSignals, r => tree.thread_signals.insert(r.tid, r);
        Timers, r => tree.timers.insert(r.pid, r);
        Creds, r => tree.creds.insert(r.tid, r);
        Limits, r => tree.limits.insert(r.pid, r);
        Sched, r => tree.sched.insert(r.tid, r);
        Fs, r => tree.fs.insert(r.pid, r);
        Mm, r => tree.mm.insert(r.pid, r);
        Vmas, r => tree.vmas.entry(r.pid).or_default().extend(r.vmas);
        MappedFile, r => tree.mapped.push(r);
        Union, r => tree.unions.push(r);
        Object, r => tree.objects.insert(r.id, r);
        OpenFile, r => tree.files.insert(r.id, r);
        FdTable, r => tree.fds.entry(r.pid).or_default().extend(r.fds);
        Locks, r => tree.locks.push(r);
        Terminal, r => tree.terminals.push(r);
        Stage, r => tree.stages.insert(r.tool);
        TreeEnd, r => tree.end = Some(r);
    }
    Err(unknown(raw))
}

fn unknown(raw: &RawRecord) -> anyhow::Error {
    let problem = format!("restore does not know version {} of it", raw.version);
    let object = format!("record kind {}", raw.kind);
    Refusals(vec![Refusal { pid: None, object, problem, hint: String::new() }]).into()
}

/// Threads that put memory into place, and buffers between them and the reader.
const FILLERS: usize = 2;
const BUFFERS: usize = 6;

/// Where a buffer goes.
enum Place {
    Memory(Pages),
    Object(ObjectData),
}

/// Memory and contents, up to End.
pub fn bulk<R: Source>(
    reader: &mut Reader<R>,
    tree: &Tree,
    first: &mut Option<RawRecord>,
    work: &Work<'_>,
    open: &Opened<'_>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let Some(first) = first.take() else { return Ok(()) };
    let put = |place, bytes: &[u8]| match place {
        Place::Memory(pages) => Ok(work.pages(&pages, bytes)?),
        Place::Object(data) => Ok(open.write_object(&data, bytes)?),
    };
    floe_worker_pool::run(FILLERS, BUFFERS, MAX as usize, put, |pool| {
        pass(reader, tree, first, pool, progress)
    })
}

/// Reads it all in order; every record is checked against what the workers are told.
fn pass<R: Source>(
    reader: &mut Reader<R>,
    tree: &Tree,
    mut raw: RawRecord,
    pool: &WorkerPool<'_, Place>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    loop {
        let damaged = |problem: &str| floe_stream::Error::damaged(raw.at, problem);
        let (place, promised, known) = if raw.is::<Pages>() {
            let pages: Pages = raw.decode()?;
            (Place::Memory(pages), pages.len, tree.has_room_for(&pages))
        } else if raw.is::<ObjectData>() {
            let data: ObjectData = raw.decode()?;
            (Place::Object(data), data.len, tree.has_object_for(&data))
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
        let mut buffer = pool.buffer()?;
        reader.read_bulk(&mut buffer[..len as usize])?;
        pool.give(place, buffer, len as usize)?;
        progress.add(len);
        raw = match reader.next()? {
            Item::End => return Ok(()),
            Item::Record(raw) => raw,
            Item::Bulk(_) => return Err(damaged("bulk behind bulk").into()),
        };
    }
}
