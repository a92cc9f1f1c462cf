//! imgpack: stream to image file and back, and images for people. See doc/imgpack.md.
#![forbid(unsafe_code)]

mod merge;
mod show;

use anyhow::Context;
use clap::Parser;
use floe_image::Coding;
use floe_stream::{Reader, Source, Writer};
use floe_toolkit::{
    Input, Output, Progress, Usage, abort_stream, exit_code, hang_up, input, output,
    wait_for_hangup,
};
use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Write a checkpoint stream to an image file, bring it back, verify it, show it.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Write the image here; `-` for standard output, which is the default where it is not a terminal.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How its bulk is compressed: zstd, zstd:LEVEL (1 to 22), lz4, or none. Without it, bulk stays as it comes.
    #[arg(long, value_name = "HOW", conflicts_with_all = ["unpack", "verify", "list", "json"])]
    compress: Option<Coding>,
    /// Do not wait until the image is on the disk.
    #[arg(long)]
    no_sync: bool,
    /// Write FILE to standard output as a plain stream.
    #[arg(long, group = "mode", conflicts_with = "output")]
    unpack: bool,
    /// Read all of FILE and compare every checksum.
    #[arg(long, group = "mode", conflicts_with = "output")]
    verify: bool,
    /// Print a line for each record of FILE.
    #[arg(long, group = "mode", conflicts_with = "output")]
    list: bool,
    /// Print each record of FILE as a line of JSON.
    #[arg(long, group = "mode", conflicts_with = "output")]
    json: bool,
    /// Make one image of a whole one and of parts that continue it, each the one before (freeze --since).
    #[arg(long, value_name = "IMAGE", num_args = 2.., group = "mode")]
    merge: Vec<PathBuf>,
    /// Write progress as JSON lines to this descriptor.
    #[arg(long, value_name = "N")]
    progress_fd: Option<i32>,
    /// Image or stream to read; standard input by default, or for `-`.
    #[arg(value_name = "FILE", requires = "mode")]
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args: Args = floe_toolkit::arguments();
    floe_toolkit::main("imgpack", || run(&args))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let lines = floe_toolkit::progress_lines(args.progress_fd)?;
    floe_toolkit::report_file_size_limit().context("unable to block SIGXFSZ")?;
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    if args.verify {
        verify(file)
    } else if args.list {
        shown(show::list(&mut Reader::new(source(file)?)))
    } else if args.json {
        shown(show::json(&mut Reader::new(source(file)?)))
    } else if args.unpack {
        unpack(lines, file)
    } else if !args.merge.is_empty() {
        merge::run(args, lines)
    } else {
        // Where the image cannot go is found out before anything is read.
        let out = place(args)?;
        pack(args, lines, Reader::new(input("imgpack --list FILE")?), out)
    }
}

/// Who reads a list may have seen enough of it (`| head`).
fn shown(done: anyhow::Result<()>) -> anyhow::Result<()> {
    done.or_else(|error| if floe_toolkit::is_broken_pipe(&error) { Ok(()) } else { Err(error) })
}

/// Standard output, where the image goes there.
fn place(args: &Args) -> anyhow::Result<Option<Writer<Output>>> {
    let named = args.output.as_deref().is_some_and(|path| path != Path::new("-"));
    Ok(if named { None } else { Some(Writer::new(output()?)) })
}

fn pack<R: Source>(
    args: &Args,
    lines: Option<File>,
    mut reader: Reader<R>,
    out: Option<Writer<Output>>,
) -> anyhow::Result<()> {
    let target = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let mut progress = Progress::new("imgpack", None, lines)?;
    let mut tick = |bytes| progress.add(bytes);
    let coding = args.compress.unwrap_or(Coding::AsItIs);
    match (target, out) {
        (Some(path), _) => {
            let sync = !args.no_sync;
            let ready = floe_image::pack_file(&mut reader, path, coding, sync, &mut tick)?;
            // The stream is whole: its writer, and the target if nothing else holds it, need not wait for the disk.
            drop(reader);
            hang_up().context("unable to close standard input")?;
            ready.commit()?;
        }
        (None, Some(mut out)) => {
            let packed = floe_image::pack(&mut reader, &mut out, coding, &mut tick);
            end(packed, out)?;
        }
        (None, None) => return Err(Usage("no place for the image: give -o FILE".into()).into()),
    }
    progress.finish();
    Ok(())
}

fn unpack(lines: Option<File>, file: Option<&Path>) -> anyhow::Result<()> {
    let mut out = Writer::new(output()?);
    let total = file.and_then(|path| path.metadata().ok()).map(|about| about.len());
    let mut progress = Progress::new("imgpack", total, lines)?;
    let mut reader = Reader::new(source(file)?);
    let unpacked = floe_image::unpack(&mut reader, &mut out, &mut |bytes| progress.add(bytes));
    end(unpacked, out)?;
    progress.finish();
    Ok(())
}

/// Ends a stream with End when the work has succeeded, with the exit code for the reader otherwise.
fn end(worked: floe_image::Result<()>, mut out: Writer<Output>) -> anyhow::Result<()> {
    if let Err(error) = worked {
        let error = error.into();
        abort_stream(&mut out, exit_code(&error));
        return Err(error);
    }
    wait_for_hangup(out.end()?.as_fd()).context("unable to wait for the reader")
}

fn verify(file: Option<&Path>) -> anyhow::Result<()> {
    let tally = match file {
        Some(_) => floe_image::verify(source(file)?.file())?,
        None => floe_image::check(&mut Reader::new(input("imgpack --list FILE")?))?,
    };
    let said = format!("whole: {} records, {} bytes of bulk\n", tally.records, tally.bulk);
    Ok(floe_toolkit::say(&said)?)
}

fn source(file: Option<&Path>) -> anyhow::Result<Input> {
    match file {
        Some(path) => {
            floe_toolkit::file(path).with_context(|| format!("unable to open {}", path.display()))
        }
        None => input("imgpack --list FILE"),
    }
}
