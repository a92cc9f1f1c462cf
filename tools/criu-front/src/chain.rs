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
    // Where no link leads on there is nothing to look for.
    if !Path::new(PARENT).is_symlink() || !is_part(Path::new(IMAGE))? {
        return Ok(Source::Whole(file(Path::new(IMAGE))?));
    }
    let (mut images, mut below) = (vec![PathBuf::from(IMAGE)], PathBuf::from(PARENT));
    while is_part(&below.join(IMAGE))? {
        images.push(below.join(IMAGE));
        if images.len() == MOST {
            bail!(
                "it builds on more than {MOST} images: put some of them together first (imgpack --merge)"
            );
        }
        below.push(PARENT);
    }
    images.push(below.join(IMAGE));
    images.reverse();
    Ok(Source::Chain(Chain(images)))
}

fn file(path: &Path) -> Result<File> {
    let opened = File::open(path).with_context(|| format!("unable to open {}", path.display()));
    opened.context("there is no image of floe")
}

/// Whether an image has only what has changed since another one.
fn is_part(path: &Path) -> Result<bool> {
    let mut reader = Reader::new(floe_toolkit::Input::from(OwnedFd::from(file(path)?)));
    while !reader.sealed() {
        match reader.next().with_context(|| format!("unable to read {}", path.display()))? {
            Item::Record(record) if record.is::<Parent>() => return Ok(true),
            // Metadata is in the order of its kinds.
            Item::Record(record) if record.kind > Parent::KIND => return Ok(false),
            Item::End => break,
            _ => {}
        }
    }
    Ok(false)
}
