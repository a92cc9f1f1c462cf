//! The parts of a capture that each resource has, by scope, and the dispatch over the list.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    own_spaces::OwnSpace,
    subject::{Process, Thread},
};
use floe_parasite::{Batch, Replies};
use floe_proc::{Lock, LockKind};
use floe_records::{AnyRecord, FileId, Finding, Findings, OpenFile, Record, Tree};

/// A property of a process. `ask` says what only the process itself can tell, as system calls that it makes for us; `take`
/// makes the records of what came of them.
pub(crate) trait OfProcess: Record {
    /// Where the answers will be found.
    type Asked;

    /// Looks for what cannot be kept, before the process is stopped and when it is.
    fn look(_: &Process<'_>, _: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// Adds questions to a batch.
    fn ask(process: &Process<'_>, batch: &mut Batch) -> Result<Self::Asked>;

    /// What cannot be kept, and shows by the answers alone.
    fn lost(_: &Process<'_>, _: &Self::Asked, _: &Replies) -> Vec<Finding> {
        Vec::new()
    }

    /// Takes it.
    fn take(process: &Process<'_>, asked: Self::Asked, replies: &Replies) -> Result<Vec<Self>>;
}

/// A property of a thread; see [`OfProcess`].
pub(crate) trait OfThread: Record {
    /// Where the answers will be found.
    type Asked;

    /// Looks for what cannot be kept, before the thread is stopped and when it is.
    fn look(_: &Thread<'_>, _: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// Adds questions to a batch.
    fn ask(thread: &Thread<'_>, batch: &mut Batch) -> Self::Asked;

    /// Takes it.
    fn take(thread: &Thread<'_>, asked: Self::Asked, replies: &Replies) -> Result<Self>;
}

/// What an open file description is. Nothing here has a side effect on the target: it may be running.
pub(crate) trait OfFile: Record {
    /// Whether the description behind a descriptor is of this kind. At most one kind says so.
    fn claims(seen: &Descriptor<'_>) -> bool;

    /// Describes it, or says why it cannot be had.
    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem>;

    /// Notes what can be told only when all descriptions of the tree are known.
    fn relate(_: &mut Files, _: &mut Findings) -> Result<()> {
        Ok(())
    }
}

/// A property of a descriptor or of its description, whatever that is. Without side effects, as [`OfFile`].
pub(crate) trait OfDescriptor: Record {
    /// Whether a lock on it (a line `lock:` of fdinfo) is of this property. One that none claims is refused.
    fn claims_lock(_: &LockKind) -> bool {
        false
    }

    /// What there is of it; `first` says that no other descriptor of this description has been met before.
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem>;

    /// Notes what can be told only when all descriptors of the tree are known.
    fn relate(_: &mut Files, _: &mut Findings) -> Result<()> {
        Ok(())
    }
}

/// Something that stands on its own and is found by way of open files.
pub(crate) trait OfObject: Record {
    /// Looks for what cannot be kept, as far as that shows without a side effect on processes that run.
    fn look(_: &Files, _: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// All of them; the target stands still.
    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>>;
}

/// Namespaces that the processes of a tree are members of.
pub(crate) trait OfNamespace: Record {
    /// Looks for what cannot be kept of a namespace of the tree's own, which the calling thread is in.
    fn look(_: &OwnSpace, _: &mut Findings) -> Result<()> {
        Ok(())
    }

    /// All of them, of processes whose [`floe_records::Namespaces`] have been taken, and what is in them, of those whose
    /// [`floe_records::Namespace`] has.
    fn collect(tree: &Tree) -> Result<Vec<Self>>;
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
        /// Where the answers of a process will be found.
        pub(crate) struct ProcessAsked {
            $($p: <floe_records::$P as OfProcess>::Asked,)*
        }

        impl ProcessAsked {
            /// Asks for everything that a process has.
            pub fn of(process: &Process<'_>, batch: &mut Batch) -> Result<Self> {
                Ok(Self { $($p: <floe_records::$P as OfProcess>::ask(process, batch)?,)* })
            }

            /// Takes all of it.
            pub fn take(
                self,
                process: &Process<'_>,
                replies: &Replies,
                out: &mut Vec<AnyRecord>,
                found: &mut Findings,
            ) -> Result<()> {
                $(
                    let lost = <floe_records::$P as OfProcess>::lost(process, &self.$p, replies);
                    lost.into_iter().for_each(|finding| found.lose(finding));
                    let some = <floe_records::$P as OfProcess>::take(process, self.$p, replies)?;
                    out.extend(some.into_iter().map(Record::any));
                )*
                Ok(())
            }
        }

        /// Where the answers of a thread will be found.
        pub(crate) struct ThreadAsked {
            $($t: <floe_records::$T as OfThread>::Asked,)*
        }

        impl ThreadAsked {
            /// Asks for everything that a thread has.
            pub fn of(thread: &Thread<'_>, batch: &mut Batch) -> Self {
                Self { $($t: <floe_records::$T as OfThread>::ask(thread, batch),)* }
            }

            /// Takes all of it.
            pub fn take(
                self,
                thread: &Thread<'_>,
                replies: &Replies,
                out: &mut Vec<AnyRecord>,
            ) -> Result<()> {
                $(out.push(<floe_records::$T as OfThread>::take(thread, self.$t, replies)?.any());)*
                Ok(())
            }
        }

        /// Looks at everything that a process has, but for its descriptors.
        pub(crate) fn look_at_process(process: &Process<'_>, out: &mut Findings) -> Result<()> {
            $(<floe_records::$P as OfProcess>::look(process, out)?;)*
            Ok(())
        }

        /// Looks at everything that a thread has.
        pub(crate) fn look_at_thread(thread: &Thread<'_>, out: &mut Findings) -> Result<()> {
            $(<floe_records::$T as OfThread>::look(thread, out)?;)*
            Ok(())
        }

        /// Describes what is behind a descriptor.
        pub(crate) fn describe(seen: &Descriptor<'_>, file: FileId) -> Result<AnyRecord, Problem> {
            $(
                if <floe_records::$F as OfFile>::claims(seen) {
                    return <floe_records::$F as OfFile>::take(seen, file).map(Record::any);
                }
            )*
            Err(seen.unknown())
        }

        /// What else there is of a descriptor.
        pub(crate) fn properties(
            seen: &Descriptor<'_>,
            file: FileId,
            first: bool,
        ) -> Result<Vec<AnyRecord>, Problem> {
            let unknown = |_| Problem::new("descriptor.lock", "a lock on it has an unknown form");
            for Lock { kind, .. } in seen.info.locks().map_err(unknown)? {
                let claimed = [$(<floe_records::$D as OfDescriptor>::claims_lock(&kind)),*];
                if !claimed.contains(&true) {
                    let problem = format!("a lock of the kind {kind} on it cannot be captured");
                    return Err(Problem::new("descriptor.lock", problem));
                }
            }
            let mut all = Vec::new();
            $(
                let some = <floe_records::$D as OfDescriptor>::take(seen, file, first)?;
                all.extend(some.into_iter().map(Record::any));
            )*
            Ok(all)
        }

        /// Notes what can be told only when all descriptors are known.
        pub(crate) fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
            $(<floe_records::$F as OfFile>::relate(files, out)?;)*
            $(<floe_records::$D as OfDescriptor>::relate(files, out)?;)*
            Ok(())
        }

        /// Looks at everything that is found by way of open files, of processes that run.
        pub(crate) fn look_at_objects(files: &Files, out: &mut Findings) -> Result<()> {
            $(<floe_records::$O as OfObject>::look(files, out)?;)*
            Ok(())
        }

        /// Everything that is found by way of open files.
        pub(crate) fn objects(files: &Files, out: &mut Findings) -> Result<Vec<AnyRecord>> {
            let mut all = Vec::new();
            $(
                let some = <floe_records::$O as OfObject>::collect(files, out)?;
                all.extend(some.into_iter().map(Record::any));
            )*
            Ok(all)
        }

        /// Looks at everything that is in a namespace of the tree's own.
        pub(crate) fn look_into(space: &OwnSpace, out: &mut Findings) -> Result<()> {
            $(<floe_records::$N as OfNamespace>::look(space, out)?;)*
            Ok(())
        }

        /// All namespaces, and what is in them.
        pub(crate) fn namespaces(mut tree: Tree) -> Result<Vec<AnyRecord>> {
            let mut all = Vec::new();
            $(
                for some in <floe_records::$N as OfNamespace>::collect(&tree)? {
                    // Each is described once.
                    let _ = tree.insert(some.clone().any());
                    all.push(some.any());
                }
            )*
            Ok(all)
        }
    };
}
floe_records::resources!(dispatch);

/// Whether a description is of this kind.
pub(crate) fn is<T: Record>(open: &OpenFile) -> bool {
    open.kind == T::KIND
}
