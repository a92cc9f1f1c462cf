//! Images that build on one another: the link `parent` in a directory of images leads to that of the one before.

use crate::{
    files::{IMAGE, PARENT},
    tools,
};
use anyhow::{Context, Result, bail};
use floe_records::{Parent, Record};
use floe_stream::{Item, Reader};
use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Images at most. Each further one is a link more on the way to the oldest (`ELOOP` of path_resolution(7) behind forty).
const MOST: usize = 32;

/// Where the stream of an image comes from.
pub enum Source {
    /// The image, which is whole.
    Whole(File),
    /// A chain that has to be put together.
    Chain(Chain),
}

/// Paths of images, the oldest first.
pub struct Chain(Vec<PathBuf>);

impl Chain {
    /// What puts it together; for the process that will start it.
    pub fn merging(&self, to: OwnedFd, errors: OwnedFd) -> Result<Command> {
        let mut command = tools::tool("imgpack")?;
        command.arg("--merge").args(self.0.iter().map(|path| Path::new(".").join(path)));
        command.stdin(Stdio::null()).stdout(to).stderr(errors);
        // Without us nobody wants it.
        floe_sys::end_with_starter(&mut command);
        Ok(command)
    }
}

/// Opens the image in the working directory.
pub fn open() -> Result<Source> {
    let (mut images, mut below) = (Vec::new(), PathBuf::new());
    loop {
        let path = below.join(IMAGE);
        let file = File::open(&path).with_context(|| format!("unable to open {}", path.display()));
        let file = file.context("there is no image of floe")?;
        let is_part = is_part(file.try_clone().context("unable to duplicate a descriptor")?)
            .with_context(|| format!("unable to read {}", path.display()))?;
        if images.is_empty() && !is_part {
            rewind(&file)?;
            return Ok(Source::Whole(file));
        }
        images.push(path);
        if !is_part {
            break;
        }
        if images.len() == MOST {
            bail!(
                "it builds on more than {MOST} images: put some of them together first (imgpack --merge)"
            );
        }
        below.push(PARENT);
    }
    images.reverse();
    Ok(Source::Chain(Chain(images)))
}

fn rewind(file: &File) -> Result<()> {
    use std::io::Seek;
    let mut file = file;
    file.rewind().context("unable to read the image from its start")
}

/// Whether an image has only what has changed since another one.
fn is_part(image: File) -> Result<bool> {
    let mut reader = Reader::new(floe_toolkit::Input::from(OwnedFd::from(image)));
    while !reader.sealed() {
        match reader.next()? {
            Item::Record(record) if record.is::<Parent>() => return Ok(true),
            // Metadata is in the order of its kinds.
            Item::Record(record) if record.kind > Parent::KIND => return Ok(false),
            Item::End => break,
            _ => {}
        }
    }
    Ok(false)
}
