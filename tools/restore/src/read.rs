//! The stream as a tree.

use anyhow::bail;
use floe_plan::Tree;
use floe_records::*;
use floe_stream::{Item, RawRecord, Reader, Source};

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

pub fn unknown(raw: &RawRecord) -> anyhow::Error {
    let problem = format!("restore does not know version {} of it", raw.version);
    let object = format!("record kind {}", raw.kind);
    Refusals(vec![Refusal { pid: None, object, problem, hint: String::new() }]).into()
}
