//! Records of any known kind, by the list of `lib/records`.

use crate::{RawRecord, Result, Writer};
use floe_records::{AnyRecord, Kind, Maker, Record, Visitor};
use std::io::Write;

struct Decode<'a>(&'a RawRecord);

impl Maker for Decode<'_> {
    type Error = crate::Error;

    fn make<T: Record>(self) -> Result<T> {
        self.0.decode()
    }
}

struct Encode;

impl Visitor for Encode {
    type Output = Result<RawRecord>;

    fn visit<T: Record>(self, record: &T) -> Result<RawRecord> {
        RawRecord::encode(record)
    }
}

impl RawRecord {
    /// The kind, where it is known.
    pub fn known(&self) -> Option<Kind> {
        Kind::of(self.kind)
    }

    /// The record as what it is; `None` for a kind that is not known.
    pub fn any(&self) -> Result<Option<AnyRecord>> {
        self.known().map(|kind| AnyRecord::make(kind, Decode(self))).transpose()
    }

    /// Encodes a record of any kind.
    pub fn of(record: &AnyRecord) -> Result<Self> {
        record.visit(Encode)
    }
}

impl<W: Write> Writer<W> {
    /// Writes a record of any kind.
    pub fn any(&mut self, record: &AnyRecord) -> Result<()> {
        self.raw(&RawRecord::of(record)?)
    }
}
