//! Every kind of record.

use floe_records::*;
use floe_stream::{RawRecord, Result};

macro_rules! kinds {
    ($($record:ident),* $(,)?) => {
        /// Kind and version of every record.
        pub const KINDS: &[(u16, u16)] = &[$((<$record>::KIND, <$record>::VERSION)),*];

        /// Decodes a record of a known kind and version; tells whether it is one.
        ///
        /// # Errors
        /// Those of [`RawRecord::decode`].
        pub fn decode(raw: &RawRecord) -> Result<bool> {
            match (raw.kind, raw.version) {
                $((<$record>::KIND, <$record>::VERSION) => raw.decode::<$record>().map(|_| true),)*
                _ => Ok(false),
            }
        }
    };
}

kinds!(
    Begin,
    Process,
    Thread,
    ProcessSignals,
    ThreadSignals,
    Timers,
    Creds,
    Limits,
    Sched,
    Fs,
    Mm,
    Vmas,
    TreeEnd,
    Stage,
    MappedFile,
    Object,
    Union,
    OpenFile,
    FdTable,
    PipeData,
    SocketQueue,
    Locks,
    Terminal,
    Pages,
    ObjectData,
);
