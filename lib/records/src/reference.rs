//! References of records to the world of files, for stages that rewrite them.

use crate::{Bytes, FileRef, MappedFile, Pid, Vma};

/// A file or name that a record holds, by the process whose root and mount namespace it is to be read in.
#[derive(Debug)]
pub enum Reference<'a> {
    /// A file that is opened by its name again; its content does not travel. The text says what for (`cwd`, `exe` …).
    File(Pid, &'static str, &'a mut FileRef),
    /// The root of a process; its path starts at the root of the mount namespace.
    Root(Pid, &'a mut FileRef),
    /// A mapping, perhaps of a file.
    Mapping(Pid, &'a mut Vma),
    /// What is known of a mapped file.
    Mapped(&'a mut MappedFile),
    /// The address of a UNIX socket as bind(2) took it, behind `sun_family`.
    Socket(Pid, &'a mut Bytes),
}
