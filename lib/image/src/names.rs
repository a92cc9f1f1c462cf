//! Names of kinds for people.

use floe_records::*;

macro_rules! names {
    ($($record:ident),* $(,)?) => {
        /// Name of a kind, where it is known.
        pub fn name(kind: u16) -> Option<&'static str> {
            match kind {
                $(k if k == <$record as Record>::KIND => Some(<$record as Record>::NAME),)*
                _ => None,
            }
        }
    };
}

names!(
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
