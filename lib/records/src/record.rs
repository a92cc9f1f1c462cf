//! Records as types: what all of them have, and the one enum over them that the list yields.

use crate::{FdNum, FileId, Link, Pid, Reference, Table, Tree};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// What a record says of itself, written beside its type.
pub trait Resource: Clone + fmt::Debug + Serialize + DeserializeOwned {
    /// Names one record among those of its kind.
    type Key: Ord + Clone + fmt::Debug;

    /// Its key. Two records of one kind with the same key are damage.
    fn key(&self) -> Self::Key;

    /// Shows every reference to a file or name that it holds.
    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        let _ = visit;
    }

    /// Shows what else in the stream it names and cannot be without.
    fn links(&self, visit: &mut dyn FnMut(Link)) {
        let _ = visit;
    }

    /// Of a kind of open file: the descriptor that it is applied on, where that need not be the first one of its description.
    fn applied_on(&self) -> Option<(Pid, FdNum)> {
        None
    }

    /// Whether it can be, whatever else the stream says. The kind of its scope (a process, a description) is looked up by
    /// `lib/plan`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Bytes of bulk that follow it although it is metadata, such as the contents of a pipe.
    fn content_len(&self) -> u64 {
        0
    }

    /// Where that content is kept.
    fn content(&mut self) -> Option<&mut Vec<u8>> {
        None
    }
}

/// What a property of a descriptor is attached to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Attached {
    /// An open file description; the first descriptor that names it stands for it.
    Description(FileId),
    /// A descriptor of a process.
    Descriptor(Pid, FdNum),
}

/// A property of a descriptor, or of the description behind it.
pub trait Property: Resource {
    /// What it is attached to.
    fn attached(&self) -> Attached;
}

/// A kind of record of the stream. Implemented by the list alone.
pub trait Record: Resource {
    /// Number of the kind; ascending numbers are the canonical order.
    const KIND: u16;
    /// Version of the body's shape.
    const VERSION: u16;
    /// Name for people.
    const NAME: &'static str;

    /// Its rows in a tree.
    fn table(tree: &Tree) -> &Table<Self>;

    /// The record as one of all.
    fn any(self) -> AnyRecord;

    /// Appends the CBOR of its body. Here and not generic, so that it is compiled once, and not by each crate that writes it.
    ///
    /// # Errors
    /// What ciborium says, for people.
    fn write_body(&self, out: &mut Vec<u8>) -> Result<(), String>;

    /// Decodes a body, and moves `rest` behind it.
    ///
    /// # Errors
    /// As [`Record::write_body`].
    fn read_body(rest: &mut &[u8]) -> Result<Self, String>;
}

macro_rules! kinds {
    ($($scope:ident { $($module:ident: $type:ident $kind:literal $version:literal [$($phase:ident)*];)* })*) => {
        /// Whose a kind of record is.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(non_camel_case_types, reason = "the names of the list")]
        pub enum Scope {
            $(
                #[doc = concat!("Records of the scope `", stringify!($scope), "`.")]
                $scope,
            )*
        }

        /// A kind of record.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Kind {
            $($(
                #[doc = concat!("[`", stringify!($type), "`](crate::", stringify!($type), ").")]
                $type = $kind,
            )*)*
        }

        impl Kind {
            /// Every kind, in the order of the list.
            pub const ALL: &'static [Kind] = &[$($(Kind::$type,)*)*];

            /// The kind of this number, where it is known.
            pub fn of(number: u16) -> Option<Self> {
                match number {
                    $($($kind => Some(Kind::$type),)*)*
                    _ => None,
                }
            }

            /// Name for people.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Kind::$type => stringify!($type),)*)*
                }
            }

            /// Name of its files in `lib/capture` and `lib/rebuild`, without the directory.
            pub fn module(self) -> &'static str {
                match self {
                    $($(Kind::$type => stringify!($module),)*)*
                }
            }

            /// Whose it is.
            pub fn scope(self) -> Scope {
                match self {
                    $($(Kind::$type => Scope::$scope,)*)*
                }
            }

            /// Version of the body's shape.
            pub fn version(self) -> u16 {
                match self {
                    $($(Kind::$type => $version,)*)*
                }
            }

            /// Number in the stream.
            pub fn number(self) -> u16 {
                self as u16
            }
        }

        /// A record of any kind.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the types say it")]
        pub enum AnyRecord {
            $($($type(crate::$type),)*)*
        }

        impl AnyRecord {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $($(AnyRecord::$type(_) => Kind::$type,)*)*
                }
            }

            /// Shows every reference that it holds.
            pub fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
                match self {
                    $($(AnyRecord::$type(record) => record.references(visit),)*)*
                }
            }

            /// Bytes of bulk that follow it although it is metadata.
            pub fn content_len(&self) -> u64 {
                match self {
                    $($(AnyRecord::$type(record) => record.content_len(),)*)*
                }
            }

            /// That content, for kinds that have any.
            pub fn content(&mut self) -> Option<&mut Vec<u8>> {
                match self {
                    $($(AnyRecord::$type(record) => record.content(),)*)*
                }
            }

            /// Has a visitor look at it as what it is.
            pub fn visit<V: Visitor>(&self, visitor: V) -> V::Output {
                match self {
                    $($(AnyRecord::$type(record) => visitor.visit(record),)*)*
                }
            }

            /// Has a maker make one of this kind.
            pub fn make<M: Maker>(kind: Kind, maker: M) -> Result<Self, M::Error> {
                match kind {
                    $($(Kind::$type => maker.make::<crate::$type>().map(AnyRecord::$type),)*)*
                }
            }
        }

        $($(
            impl Record for crate::$type {
                const KIND: u16 = $kind;
                const VERSION: u16 = $version;
                const NAME: &'static str = stringify!($type);

                fn table(tree: &Tree) -> &Table<Self> {
                    &tree.tables.$module
                }

                fn any(self) -> AnyRecord {
                    AnyRecord::$type(self)
                }

                fn write_body(&self, out: &mut Vec<u8>) -> Result<(), String> {
                    ciborium::into_writer(self, out).map_err(|e| e.to_string())
                }

                fn read_body(rest: &mut &[u8]) -> Result<Self, String> {
                    ciborium::from_reader(rest).map_err(|e| e.to_string())
                }
            }
        )*)*
    };
}
crate::resources!(kinds);

/// Work on a record whatever its kind.
pub trait Visitor {
    /// What comes of it.
    type Output;
    /// Looks at one.
    fn visit<T: Record>(self, record: &T) -> Self::Output;
}

/// Makes a record whatever its kind, for example from bytes.
pub trait Maker {
    /// Why it cannot.
    type Error;
    /// Makes one.
    fn make<T: Record>(self) -> Result<T, Self::Error>;
}

/// Name of the kind of this number, where it is known.
pub fn kind_name(number: u16) -> Option<&'static str> {
    Kind::of(number).map(Kind::name)
}
