//! The parts of a rebuild that each resource has, by scope, and the dispatch over the list.

use crate::{factory::Factory, open::OpenFiles, script::Script, stand::Stands, stubs::Stubs};
use floe_plan::{Inheritance, Phase, Subject};
use floe_records::{FdNum, FileId, IdMaps, Kind, OpenFile, Pid, Property, Record, Tid, Tree};
use floe_sys::{Error, Result};
use std::{collections::BTreeMap, os::fd::OwnedFd};

/// What a resource that is applied to a process may look at.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub tree: &'a Tree,
    pub files: &'a OpenFiles<'a>,
    pub stubs: &'a Stubs,
    pub inheritance: &'a Inheritance,
}

impl Context<'_> {
    /// Real, effective and saved user of a stub, as they are called where it is.
    pub fn uids(&self, pid: Pid) -> [u32; 3] {
        // As it has become there.
        let anybody = self.files.maps_of(pid).and_then(IdMaps::anybody);
        anybody.map_or(self.stubs.inherited.uids, |(user, _)| [user; 3])
    }

    /// Effective capabilities of a stub.
    pub fn capabilities(&self, pid: Pid) -> Result<u64> {
        match self.files.maps_of(pid) {
            Some(_) => crate::machine::all_capabilities(),
            None => Ok(self.stubs.inherited.capabilities),
        }
    }
}

/// A property of a process. `apply` adds system calls to the script of its leader, in each phase that the list names.
pub(crate) trait ForProcess: Record {
    /// Applies it.
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()>;
}

/// A property of a thread; see [`ForProcess`].
pub(crate) trait ForThread: Record<Key = Tid> {
    /// Applies it.
    fn apply(&self, context: Context<'_>, phase: Phase, script: &mut Script<'_>) -> Result<()>;
}

/// What an open file description is.
pub(crate) trait ForFile: Record<Key = FileId> {
    /// Makes or opens it, in restore, for kinds without the phase `Late`.
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let late = || Error::because("open it", "its kind is opened late");
        self.open_alone(open, &make.stands).unwrap_or_else(|| Err(late()))
    }

    /// The same, for kinds that need nothing but to know where paths are looked up: several threads open those side by side. `None`
    /// for all others.
    fn open_alone(&self, _: &OpenFile, _: &Stands<'_>) -> Option<Result<OwnedFd>> {
        None
    }

    /// Opens it when all processes exist, for kinds with the phase `Late`. What must be opened together with it stays in `made` for
    /// its own turn.
    fn late(
        &self,
        _: &OpenFile,
        _: &Tree,
        _made: &mut BTreeMap<FileId, OwnedFd>,
    ) -> Result<OwnedFd> {
        Err(Error::because("open it late", "its kind is opened with the others"))
    }

    /// Makes what depends on each other, before any is opened.
    fn prepare(_: &mut Factory<'_>, _: &mut dyn FnMut(String, Error)) {}

    /// Does inside of the first process that has it what cannot be done in restore.
    fn apply(&self, _: Context<'_>, _: Pid, _: FdNum, _: &mut Script<'_>) -> Result<()> {
        Ok(())
    }
}

/// A property of a descriptor or of its description.
pub(crate) trait ForDescriptor: Record + Property {
    /// Takes, in restore, what belongs to the description; notes what is not as it was.
    fn opened(&self, _: &OwnedFd, _: &mut dyn FnMut(String)) -> Result<()> {
        Ok(())
    }

    /// Applies it inside of a process, on the number that the descriptor has there.
    fn apply(&self, _: Context<'_>, _: FdNum, _: &mut Script<'_>) -> Result<()> {
        Ok(())
    }
}

/// Something that stands on its own, made in restore before files are opened.
pub(crate) trait ForObject: Record {
    /// Makes it.
    fn make(&self, make: &mut Factory<'_>) -> Result<()>;

    /// How people know it.
    fn describe(&self) -> String;
}

/// A namespace.
pub(crate) trait ForNamespace: Record {
    /// Finds the one that takes its place.
    ///
    /// # Errors
    /// Why there is none.
    fn stand(&self, spaces: &mut crate::spaces::Spaces<'_>) -> Result<()>;
}

macro_rules! dispatch {
    (
        frame $frame:tt
        namespace { $($n:ident: $N:ident $nk:literal $nv:literal $np:tt;)* }
        process { $($p:ident: $P:ident $pk:literal $pv:literal $pp:tt;)* }
        thread { $($t:ident: $T:ident $tk:literal $tv:literal $tp:tt;)* }
        file { $($f:ident: $F:ident $fk:literal $fv:literal $fp:tt;)* }
        descriptor { $($d:ident: $D:ident $dk:literal $dv:literal $dp:tt;)* }
        object { $($o:ident: $O:ident $ok:literal $ov:literal $op:tt;)* }
        bulk $bulk:tt
    ) => {
        /// Applies a resource inside of a process.
        pub(crate) fn apply(
            context: Context<'_>,
            phase: Phase,
            subject: Subject,
            kind: Kind,
            script: &mut Script<'_>,
        ) -> Result<()> {
            match (kind, subject) {
                $((Kind::$P, Subject::Process(pid)) => {
                    <floe_records::$P as ForProcess>::apply(context, pid, phase, script)
                })*
                $((Kind::$T, Subject::Thread(_, tid)) => {
                    let found = context.tree.get::<floe_records::$T>(tid);
                    found.map_or(Ok(()), |found| found.apply(context, phase, script))
                })*
                $((Kind::$F, Subject::File(pid, fd, file)) => {
                    let found = context.tree.get::<floe_records::$F>(file);
                    found.map_or(Ok(()), |found| found.apply(context, pid, fd, script))
                })*
                $((Kind::$D, Subject::File(pid, fd, file)) => {
                    let found = attached::<floe_records::$D>(context.tree, pid, fd, file);
                    found.map_or(Ok(()), |found| found.apply(context, fd, script))
                })*
                _ => Err(Error::because("apply a resource", format!("{} has no such part", kind.name()))),
            }
        }

        /// Takes what belongs to a description that has just been opened.
        pub(crate) fn opened(
            tree: &Tree,
            subject: Subject,
            kind: Kind,
            on: &OwnedFd,
            note: &mut dyn FnMut(String),
        ) -> Result<()> {
            match (kind, subject) {
                $((Kind::$D, Subject::File(pid, fd, file)) => {
                    let found = attached::<floe_records::$D>(tree, pid, fd, file);
                    found.map_or(Ok(()), |found| found.opened(on, note))
                })*
                _ => Err(Error::because("take a property", format!("{} has no such part", kind.name()))),
            }
        }

        /// Makes or opens a description.
        pub(crate) fn open(open: &OpenFile, kind: Kind, make: &mut Factory<'_>) -> Result<OwnedFd> {
            let none = || Error::because("open it", "what it is does not stand in the stream");
            match kind {
                $(Kind::$F => {
                    let found = make.tree.get::<floe_records::$F>(open.id).ok_or_else(none)?;
                    found.open(open, make)
                })*
                _ => Err(none()),
            }
        }

        /// The same of one that needs nothing but to know where paths are looked up; `None` for other kinds.
        pub(crate) fn open_alone(
            open: &OpenFile,
            kind: Kind,
            (tree, stands): (&Tree, &Stands<'_>),
        ) -> Option<Result<OwnedFd>> {
            match kind {
                $(Kind::$F => tree.get::<floe_records::$F>(open.id)?.open_alone(open, stands),)*
                _ => None,
            }
        }

        /// Opens a description when all processes exist.
        pub(crate) fn late(
            tree: &Tree,
            file: FileId,
            kind: Kind,
            made: &mut BTreeMap<FileId, OwnedFd>,
        ) -> Result<OwnedFd> {
            let none = || Error::because("open it", "what it is does not stand in the stream");
            let open = tree.get::<OpenFile>(file).ok_or_else(none)?;
            match kind {
                $(Kind::$F => {
                    let found = tree.get::<floe_records::$F>(file).ok_or_else(none)?;
                    found.late(open, tree, made)
                })*
                _ => Err(none()),
            }
        }

        /// Makes files of a kind that depend on each other.
        pub(crate) fn prepare(kind: Kind, make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
            match kind {
                $(Kind::$F => <floe_records::$F as ForFile>::prepare(make, report),)*
                _ => {}
            }
        }

        /// Makes all objects of a kind.
        pub(crate) fn make(kind: Kind, make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
            match kind {
                $(Kind::$O => make_all::<floe_records::$O>(make, report),)*
                _ => {}
            }
        }

        /// Finds what takes the place of all namespaces.
        pub(crate) fn stand(
            tree: &Tree,
            spaces: &mut crate::spaces::Spaces<'_>,
            report: &mut dyn FnMut(Error),
        ) {
            $(
                for found in tree.all::<floe_records::$N>() {
                    found.stand(spaces).unwrap_or_else(&mut *report);
                }
            )*
        }
    };
}
floe_records::resources!(dispatch);

fn make_all<T: ForObject>(make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
    let tree = make.tree;
    for object in tree.all::<T>() {
        if let Err(error) = object.make(make) {
            report(object.describe(), error);
        }
    }
}

/// The property of a descriptor or of its description.
fn attached<T: ForDescriptor>(tree: &Tree, pid: Pid, fd: FdNum, file: FileId) -> Option<&T> {
    tree.attached::<T>(pid, fd, file)
}
