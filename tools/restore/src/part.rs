//! What a record of bulk says: where its content goes, whether that is a place of the tree, and how it is compressed.

use anyhow::Result;
use floe_image::Frame;
use floe_plan::{Inheritance, has_object_for, has_room_for};
use floe_rebuild::{OpenFiles, Restore};
use floe_records::{Finding, ObjectData, Pages, Parent, ParentPages, Patches, Pid, Refusals, Tree};
use floe_stream::RawRecord;
use std::fs::File;

/// Where the bytes of a record go.
enum Place {
    Memory(Pages),
    Object(ObjectData),
    Parent(ParentPages),
    Patches(Patches),
}

/// Where the content of a bulk string goes, and how that is compressed.
pub struct Part {
    place: Place,
    frame: Option<Frame>,
}

impl Part {
    /// What a record says, as [`Place::of`] does.
    pub fn of(raw: &RawRecord, whole: Whole<'_>) -> Result<Option<Self>> {
        let Some((inner, frame)) = Frame::of(raw).map_err(plainly)? else {
            return Ok(Place::of(raw, whole)?.map(|place| Self { place, frame: None }));
        };
        let Some(place) = Place::of(&inner, whole)? else { return Ok(None) };
        if frame.content_len() != place.bytes() {
            return Err(damaged(raw, LENGTH));
        }
        Ok(Some(Self { place, frame: Some(frame) }))
    }

    /// Whether a bulk string may have this length.
    pub fn check_len(&self, raw: &RawRecord, len: u64) -> Result<()> {
        match &self.frame {
            Some(frame) => frame.check_len(len).map_err(plainly),
            None if len == self.place.bytes() => Ok(()),
            None => Err(damaged(raw, LENGTH)),
        }
    }

    /// The process that is to be made when this has been put into place; `None` where all must be there.
    pub fn child(&self) -> Option<Pid> {
        self.place.child()
    }

    /// Pages of a process, if it is such.
    pub fn pages(&self) -> Option<&Pages> {
        match &self.place {
            Place::Memory(pages) => Some(pages),
            _ => None,
        }
    }

    /// Pages of a process that stand in this bulk string, if it is such.
    pub fn stored(self, bulk: floe_image::Bulk) -> Option<(Pages, Stored)> {
        match self.place {
            Place::Memory(pages) => Some((pages, Stored { bulk, frame: self.frame })),
            _ => None,
        }
    }

    /// Puts the content of a bulk string where it belongs.
    pub fn put(&self, bulk: &[u8], work: &Restore<'_>, open: &OpenFiles<'_>) -> Result<()> {
        match &self.frame {
            Some(frame) => {
                let put = |content: &[u8]| self.place.put(content, work, open);
                frame.open(bulk, put).map_err(|error| match error.downcast() {
                    Ok(error) => plainly(error),
                    Err(error) => error,
                })
            }
            None => self.place.put(bulk, work, open),
        }
    }
}

/// Where content stands in an image, and how it is compressed.
pub struct Stored {
    pub bulk: floe_image::Bulk,
    frame: Option<Frame>,
}

impl Stored {
    /// Reads the content, all of it and checked.
    pub fn read(&self, image: &File, into: &mut Vec<u8>) -> floe_image::Result<()> {
        into.resize(self.bulk.len as usize, 0);
        self.bulk.read(image, into)?;
        let Some(frame) = &self.frame else { return Ok(()) };
        let bulk = std::mem::take(into);
        frame.open(&bulk, |content| {
            into.extend_from_slice(content);
            Ok(())
        })
    }
}

/// What is wrong with a stream, without a word of the image around it.
pub fn plainly(error: floe_image::Error) -> anyhow::Error {
    match error {
        floe_image::Error::Stream(error) => error.into(),
        error => error.into(),
    }
}

const LENGTH: &str = "bulk of another length than its record says";

/// Refuses what is to be completed by another image first.
pub fn is_whole(tree: &Tree) -> Result<()> {
    let Some(Parent { id }) = tree.all::<Parent>().first() else { return Ok(()) };
    let problem = format!("it has only what has changed since the image {id}");
    let finding = Finding::about("the image", "plan.partial", problem);
    let hint = "imgpack --merge BASE PART ... | restore";
    Err(Refusals(vec![finding.hint(hint)]).into())
}

/// What tells whether bulk belongs where it says.
#[derive(Clone, Copy)]
pub struct Whole<'a> {
    pub tree: &'a Tree,
    pub inheritance: &'a Inheritance,
}

impl Place {
    /// What a record says, and whether that place is one of the tree. `None`: it is of another kind.
    fn of(raw: &RawRecord, whole: Whole<'_>) -> Result<Option<Self>> {
        let (place, known) = if raw.is::<Pages>() {
            let pages: Pages = raw.decode()?;
            let known = has_room_for(whole.tree, pages.pid, pages.ranges.as_slice());
            (Self::Memory(pages), known)
        } else if raw.is::<ObjectData>() {
            let data: ObjectData = raw.decode()?;
            let known = has_object_for(whole.tree, &data);
            (Self::Object(data), known)
        } else if raw.is::<Patches>() {
            let some: Patches = raw.decode()?;
            let known = has_room_for(whole.tree, some.pid, some.ranges.as_slice());
            (Self::Patches(some), known)
        } else if raw.is::<ParentPages>() {
            let pages: ParentPages = raw.decode()?;
            let known = whole.inheritance.has_room_for(&pages);
            (Self::Parent(pages), known)
        } else {
            return Ok(None);
        };
        if known {
            Ok(Some(place))
        } else {
            Err(damaged(raw, "bulk that belongs to nothing of the tree"))
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Memory(pages) => pages.ranges.bytes(),
            Self::Object(data) => data.ranges.bytes(),
            Self::Parent(pages) => pages.ranges.bytes(),
            Self::Patches(some) => some.ranges.bytes(),
        }
    }

    fn child(&self) -> Option<Pid> {
        match self {
            Self::Parent(pages) => Some(pages.pid),
            _ => None,
        }
    }

    fn put(&self, bytes: &[u8], work: &Restore<'_>, open: &OpenFiles<'_>) -> Result<()> {
        match self {
            Self::Memory(pages) => Ok(work.memory(pages.pid, pages.ranges.as_slice(), bytes)?),
            Self::Patches(some) => Ok(work.memory(some.pid, some.ranges.as_slice(), bytes)?),
            Self::Object(data) => Ok(open.write_object(data, bytes)?),
            Self::Parent(pages) => Ok(work.parent_pages(pages, bytes)?),
        }
    }
}

/// Damage at a record.
pub fn damaged(raw: &RawRecord, problem: &str) -> anyhow::Error {
    floe_stream::Error::damaged(raw.at, problem).into()
}
