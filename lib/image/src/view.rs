//! A walk over all records and bulk strings of a stream or image.

use crate::Result;
use floe_stream::{Item, RawRecord, Reader, Source};

/// What a walk comes to.
pub enum Seen<'a> {
    /// A record.
    Record(&'a RawRecord),
    /// A bulk string of the last record, of this many bytes.
    Bulk(u64),
}

/// Shows every record and every bulk string with its offset.
///
/// # Errors
/// Those of the stream, and of `show`.
pub fn walk<R: Source, E: From<crate::Error>>(
    reader: &mut Reader<R>,
    mut show: impl FnMut(u64, Seen<'_>) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        match reader.next().map_err(crate::Error::from)? {
            Item::Record(record) => show(record.at, Seen::Record(&record))?,
            Item::Bulk(len) => show(reader.offset(), Seen::Bulk(len))?,
            Item::End => return Ok(()),
        }
    }
}
