//! A stage of the pipe: reads a stream, adds its part, passes the rest on byte for byte.

use crate::{
    Held, Input, Output, Side, Way, abort_stream, exit_code, input, output, wait_for_hangup,
    wait_for_reader,
};
use anyhow::Context;
use floe_records::{Begin, Entered, TreeEnd, is_bulk};
use floe_stream::{Item, RawRecord, Reader, Source, Writer};
use std::os::fd::AsFd;

/// Where a stage writes.
pub type Out = Writer<Output>;

/// What one stage does with the stream that passes.
pub trait Stage {
    /// A record comes by.
    fn record(&mut self, raw: &RawRecord) -> anyhow::Result<()> {
        let _ = raw;
        Ok(())
    }

    /// What goes on in its place; nothing for `None`, and its bulk is dropped as well.
    fn rewrite(&mut self, raw: RawRecord) -> anyhow::Result<Option<RawRecord>> {
        Ok(Some(raw))
    }

    /// A record has gone on: the next stage need not wait for what is learned of it here.
    fn passed(&mut self, raw: &RawRecord) -> anyhow::Result<()> {
        let _ = raw;
        Ok(())
    }

    /// Behind TreeEnd: metadata that the record which goes on now calls for is written ahead of it.
    fn ahead(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let _ = out;
        Ok(())
    }

    /// Everything that `freeze` says has come by: the stage's own metadata is written here.
    fn metadata(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let _ = out;
        Ok(())
    }

    /// The first bulk of another stage is about to come: bulk that must stand before all other is written here.
    fn first_bulk(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let _ = out;
        Ok(())
    }

    /// End is about to come: the stage's own bulk is written here; where no other stage has any, all of it.
    fn bulk(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let _ = out;
        Ok(())
    }

    /// Does its work rest on the target standing still until End?
    fn needs_target(&self) -> bool {
        true
    }

    /// Does it look at processes of the target, and so must be where that stands?
    fn goes_there(&self) -> bool {
        self.needs_target()
    }

    /// Does it add a part that `restore` asks for, and so leave a [`floe_records::Stage`] record?
    fn leaves_mark(&self) -> bool {
        self.needs_target()
    }
}

/// Runs `stage` between standard input and standard output until the reader has closed its end. Where it fails the tools
/// behind it get its exit code.
///
/// # Errors
/// Those of the stream, and those of `stage` unless damage of the stream explains them.
pub fn filter(tool: &str, stage: &mut impl Stage) -> anyhow::Result<()> {
    // Output first: what cannot be written is not read.
    let out = output()?;
    // A tool in front of this one may begin when all behind it are ready.
    wait_for_reader(out.as_fd()).context("unable to look for the reader")?;
    let mut out = Writer::new(out);
    let mut reader = match input(&format!("freeze PID | {tool} | imgpack -o FILE")) {
        Ok(input) => Reader::new(input),
        Err(error) => return Err(aborted(error, &mut out)),
    };
    if let Err(error) = pass(tool, stage, &mut reader, &mut out) {
        let error = explained(error, &mut reader);
        return Err(aborted(error, &mut out));
    }
    let out = out.end()?;
    wait_for_hangup(out.as_fd()).context("unable to wait for the reader")?;
    // Only now: the tool in front waits for it.
    drop(reader);
    Ok(())
}

/// Hands the exit code of an error on.
fn aborted(error: anyhow::Error, out: &mut Out) -> anyhow::Error {
    abort_stream(out, exit_code(&error));
    error
}

/// The failure, unless damage of the stream explains it.
pub fn explained<R: Source>(error: anyhow::Error, reader: &mut Reader<R>) -> anyhow::Error {
    let transfer = error.chain().any(|cause| cause.is::<floe_stream::Error>());
    match if transfer { None } else { reader.damage() } {
        Some(damage) => damage.into(),
        None => error,
    }
}

fn pass(
    tool: &str,
    stage: &mut impl Stage,
    reader: &mut Reader<Input>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let mut held = None;
    let (mut complete, mut in_bulk) = (false, false);
    let mut keep = true;
    let mut buffer = Vec::new();
    loop {
        match reader.next()? {
            Item::Record(raw) => {
                if raw.is::<Begin>() {
                    held = Some(Held::new(&raw.decode()?));
                }
                if raw.is::<Entered>() && stage.goes_there() {
                    go(&raw.decode()?)?;
                }
                stage.record(&raw)?;
                let last = raw.is::<TreeEnd>();
                let raw = stage.rewrite(raw)?;
                keep = raw.is_some();
                if complete {
                    stage.ahead(out)?;
                    if raw.as_ref().is_some_and(|raw| is_bulk(raw.kind)) && !in_bulk {
                        in_bulk = true;
                        stage.first_bulk(out)?;
                    }
                }
                if let Some(raw) = raw {
                    out.raw(&raw)?;
                    stage.passed(&raw)?;
                }
                if last && !complete {
                    complete = true;
                    if stage.leaves_mark() {
                        out.record(&floe_records::Stage { tool: tool.to_owned() })?;
                    }
                    // The tools behind can look at it while this one works.
                    out.flush()?;
                    stage.metadata(out)?;
                }
            }
            Item::Bulk(_) if !keep => reader.skip_bulk()?,
            Item::Bulk(len) => copy(reader, out, len, &mut buffer)?,
            Item::End => break,
        }
    }
    if !complete {
        let problem = "no TreeEnd: freeze has not finished its part".to_owned();
        return Err(floe_stream::Error::Damaged { at: reader.offset(), problem }.into());
    }
    stage.bulk(out)?;
    if let Some(held) = held.filter(|_| stage.needs_target()) {
        held.check()?;
    }
    Ok(())
}

/// Goes on where the tree stands.
fn go(entered: &Entered) -> anyhow::Result<()> {
    match Way::of(entered)?.map(|way| way.go()).transpose()? {
        Some(Side::Outside(child)) => match child.follow()? {},
        Some(Side::Inside) | None => Ok(()),
    }
}

fn copy(
    reader: &mut Reader<Input>,
    out: &mut Out,
    mut len: u64,
    buffer: &mut Vec<u8>,
) -> anyhow::Result<()> {
    buffer.resize(256 << 10, 0);
    out.bulk_head(len)?;
    while len > 0 {
        let piece = &mut buffer[..len.min(256 << 10) as usize];
        reader.read_bulk(piece)?;
        out.bulk_part(piece)?;
        len -= piece.len() as u64;
    }
    Ok(())
}
