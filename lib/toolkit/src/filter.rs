//! A filter of the stream: what it does not know it passes on byte for byte.

use crate::{hangup, output};
use anyhow::{Context, Result, bail};
use floe_records::{Begin, Record, TreeEnd};
use floe_stream::{Item, RawRecord, Reader, Writer};
use std::fs::File;
use std::os::fd::AsFd;

/// Where a stage writes its records.
pub type Out = Writer<File>;

/// The own work of a filter.
pub trait Stage {
    /// Does it read the live target, so that it must be held to the end?
    const NEEDS_TARGET: bool = true;
    /// Does it sign with a `Stage` record behind `TreeEnd`?
    const SIGNS: bool = true;

    /// Sees every record before it is passed on.
    fn observe(&mut self, _raw: &RawRecord) -> Result<()> {
        Ok(())
    }

    /// May put another record in a record's place.
    fn rewrite(&mut self, raw: RawRecord) -> Result<RawRecord> {
        Ok(raw)
    }

    /// Adds metadata, directly behind `TreeEnd`.
    fn metadata(&mut self, _out: &mut Out) -> Result<()> {
        Ok(())
    }

    /// Adds bulk, directly before End.
    fn bulk(&mut self, _out: &mut Out) -> Result<()> {
        Ok(())
    }
}

/// Runs a filter from standard input to standard output.
pub fn filter<S: Stage>(tool: &str, stage: &mut S) -> Result<u8> {
    let input = output::input()?;
    let sink = output::output()?;
    let mut reader = Reader::new(input);
    let mut out = Writer::new(sink.try_clone().context("unable to duplicate standard output")?);
    let mut held = None;
    let mut tree = false;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.next()? {
            Item::Record(raw) => {
                if raw.is::<Begin>() {
                    held = Some(raw.decode::<Begin>()?);
                }
                stage.observe(&raw)?;
                let at_tree_end = raw.is::<TreeEnd>();
                out.raw(&stage.rewrite(raw)?)?;
                if at_tree_end && !std::mem::replace(&mut tree, true) {
                    if S::SIGNS {
                        out.record(&floe_records::Stage { tool: tool.into() })?;
                    }
                    stage.metadata(&mut out)?;
                }
            }
            Item::Bulk(len) => pass_bulk(&mut reader, &mut out, len, &mut buffer)?,
            Item::End => break,
        }
    }
    let at = reader.offset();
    hangup::nothing_behind_end(reader.get_mut(), at)?;
    if !tree {
        return Err(
            floe_stream::Error::Damaged { at, problem: format!("no {}", TreeEnd::NAME) }.into()
        );
    }
    stage.bulk(&mut out)?;
    if let (true, Some(begin)) = (S::NEEDS_TARGET, &held) {
        still_held(begin)?;
    }
    out.end()?;
    hangup::wait_for_reader(sink.as_fd())?;
    Ok(0)
}

fn pass_bulk(reader: &mut Reader<File>, out: &mut Out, len: u64, buffer: &mut [u8]) -> Result<()> {
    out.bulk_head(len)?;
    let mut left = len;
    while left > 0 {
        let piece = left.min(buffer.len() as u64) as usize;
        reader.read_bulk(&mut buffer[..piece])?;
        out.bulk_part(&buffer[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

/// What was read is worth nothing if the target ran meanwhile.
fn still_held(begin: &Begin) -> Result<()> {
    let pid = begin.root;
    let state = floe_sys::proc_stat(pid.0).ok().map(|stat| stat.state);
    let holder = floe_sys::proc_stat(begin.holder.0).ok().map(|stat| stat.start_time);
    if state != Some(b't') || holder != Some(begin.holder_start) {
        bail!(
            "pid {pid}: unable to trust what was read: the target is held no more (run the stages under `freeze PID -- COMMAND`)"
        );
    }
    Ok(())
}
