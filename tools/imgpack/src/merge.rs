//! A chain of images into one.

use crate::{Args, pack, place};
use anyhow::Context;
use floe_image::{Broken, Chain};
use floe_records::{Finding, Refusals};
use floe_stream::{Reader, Source, Writer};
use std::{
    fs::File,
    io::{self, BufWriter, PipeReader, PipeWriter, Read},
    thread,
};

/// Puts the chain together in one thread, as a stream, of which another one makes the image.
pub fn run(args: &Args, lines: Option<File>) -> anyhow::Result<()> {
    let open = |path: &std::path::PathBuf| {
        File::open(path).with_context(|| format!("unable to open {}", path.display()))
    };
    let files = args.merge.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let chain = Chain::of(files)?.map_err(|Broken { at, problem }| {
        let finding = Finding::about(args.merge[at].display().to_string(), "merge.chain", problem);
        Refusals(vec![finding])
    })?;
    let out = place(args)?;
    let (near, far) = io::pipe().context("unable to make a pipe")?;
    thread::scope(|scope| {
        let written = thread::Builder::new().spawn_scoped(scope, || write(&chain, far));
        let written = written.context("unable to start a thread")?;
        let packed = pack(args, lines, Reader::new(Joined(near)), out);
        match written.join() {
            // A writer that fails leaves a stream without an end; a reader that does, nobody who reads.
            Ok(Err(error)) if !floe_toolkit::is_broken_pipe(&error) => Err(error),
            Ok(_) => packed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn write(chain: &Chain, pipe: PipeWriter) -> anyhow::Result<()> {
    let mut out = Writer::new(BufWriter::with_capacity(1 << 20, pipe));
    chain.write(&mut out, &mut |_| ())?;
    out.end()?;
    Ok(())
}

/// What comes of the other thread, and nothing behind its end.
struct Joined(PipeReader);

impl Read for Joined {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl Source for Joined {
    fn has_more(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}
