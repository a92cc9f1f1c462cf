//! A stream or image for people.

use floe_image::{Seen, name, summary, walk, write_json};
use floe_records::{External, FdTable, Options, Outside, Process, Record, Thread, Tid, Tree};
use floe_stream::{RawRecord, Reader, Source};
use std::io::{self, BufWriter, Write};

/// Longest summary of a record in `--list`, characters.
const SUMMARY: usize = 100;

/// A line for each record: offset, kind, name, size, summary; bulk as a line of its own. Then a line for each outside file.
pub fn list<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut tree = Tree::default();
    walk(reader, |at, seen| -> anyhow::Result<()> {
        match seen {
            Seen::Record(record) => {
                keep(record, &mut tree);
                let name = name(record.kind).unwrap_or("?");
                let (kind, size) = (record.kind, record.bytes.len());
                let summary = summary(record, SUMMARY);
                writeln!(out, "{at:>12} {kind:>4} {name:<14} {size:>9} {summary}")?;
            }
            Seen::Bulk(len, None) => writeln!(out, "{at:>12}    - {:<14} {len:>9}", "bulk")?,
            Seen::Bulk(len, Some(frame)) => {
                writeln!(out, "{at:>12}    - {:<14} {len:>9} {frame}", "bulk")?;
            }
        }
        Ok(())
    })?;
    for external in tree.all::<External>() {
        writeln!(out, "outside: {}", outside(&tree, external))?;
    }
    Ok(out.flush()?)
}

/// Keeps what tells of outside files. What cannot be decoded (of another version, say) is only listed.
fn keep(record: &RawRecord, tree: &mut Tree) {
    let wanted = [External::KIND, FdTable::KIND, Process::KIND, Thread::KIND, Options::KIND];
    if wanted.contains(&record.kind)
        && let Ok(Some(record)) = record.any()
    {
        let _ = tree.insert(record);
    }
}

/// Whose a file of the world outside is, what it is, and what restore puts in its place.
fn outside(tree: &Tree, external: &External) -> String {
    let what = external.in_words();
    let Some((pid, fd)) = tree.holder(external.file) else { return what.to_owned() };
    let name = tree.get::<Thread>(Tid(pid.0)).map_or_else(String::new, |t| t.comm.to_string());
    let place = match (external.must_be_given(fd), tree.options().outside) {
        (false, _) => "restore gives its own".to_owned(),
        (true, Outside::Refuse) => {
            format!("restore wants --inherit {fd}, --outside null or --outside broken")
        }
        (true, Outside::Null) => "restore gives /dev/null".to_owned(),
        (true, Outside::Broken) => "restore gives one whose other end is closed".to_owned(),
        (true, Outside::Reconnect) => "restore connects it again".to_owned(),
    };
    format!("pid {pid} ({name}): fd {fd} ({}): {what} ({place})", external.what)
}

/// A line of JSON for each record; bulk as `{"offset", "bulk"}`, with `"codec"` and `"content"` where it is compressed.
pub fn json<R: Source>(reader: &mut Reader<R>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    walk(reader, |at, seen| -> anyhow::Result<()> {
        match seen {
            Seen::Record(record) => write_json(record, at, &mut out)?,
            Seen::Bulk(len, None) => write!(out, "{{\"offset\":{at},\"bulk\":{len}}}")?,
            Seen::Bulk(len, Some(frame)) => {
                let (codec, content) = (frame.codec(), frame.content_len());
                let start = format!("{{\"offset\":{at},\"bulk\":{len}");
                write!(out, "{start},\"codec\":\"{codec}\",\"content\":{content}}}")?;
            }
        }
        Ok(out.write_all(b"\n")?)
    })?;
    Ok(out.flush()?)
}
