//! A walk over all records and bulk strings of a stream or image.

use crate::{Frame, Result};
use floe_stream::{Item, RawRecord, Reader, Source};

/// What a walk comes to.
pub enum Seen<'a> {
    /// A record; one that is compressed as what it is otherwise.
    Record(&'a RawRecord),
    /// A bulk string of the last record, of this many bytes, and the frame that it is.
    Bulk(u64, Option<Frame>),
}

/// Shows every record and every bulk string with its offset.
///
/// # Errors
/// Those of the stream, and of `show`.
pub fn walk<R: Source, E: From<crate::Error>>(
    reader: &mut Reader<R>,
    mut show: impl FnMut(u64, Seen<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut frame = None;
    loop {
        match reader.next().map_err(crate::Error::from)? {
            Item::Record(record) => {
                // What cannot be decoded (of another version, say) is shown as it stands.
                let inner = Frame::of(&record).ok().flatten();
                show(record.at, Seen::Record(inner.as_ref().map_or(&record, |(inner, _)| inner)))?;
                frame = inner.map(|(_, frame)| frame);
            }
            Item::Bulk(len) => show(reader.offset(), Seen::Bulk(len, frame.take()))?,
            Item::End => return Ok(()),
        }
    }
}
