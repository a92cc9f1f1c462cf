//! Files whose contents travel though they have names. Each is made under another name beside the one that it is to have, opened
//! by that, filled, and renamed when everything has been written: until then nobody finds a file that is not whole.

use crate::{
    attributes::{set_last, set_owner},
    factory::Factory,
    resource::ForObject,
    same::{Found, Standing},
    stand::Stands,
};
use floe_records::*;
use floe_sys::{Error, Place, Places, Result};
use nix::{fcntl::OFlag, sys::stat::SFlag, unistd::ftruncate};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    ops::Range,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The files that are made.
#[derive(Default)]
pub(crate) struct CarriedFiles {
    /// Open for writing until they are filled.
    pub open: BTreeMap<ObjectId, OwnedFd>,
    places: Mutex<Option<Places>>,
    /// Which of the places are those of a file, or why it cannot be made.
    of: BTreeMap<ObjectId, Result<Range<usize>>>,
}

impl CarriedFiles {
    /// Gives them their names.
    pub fn put(&self) -> Result<()> {
        self.places().as_ref().map_or(Ok(()), Places::put)
    }

    /// From now on the tree lives when we die, and so do they.
    pub fn keep(&self) -> Result<()> {
        let places = self.places().take();
        places.map_or(Ok(()), Places::keep)
    }

    fn places(&self) -> MutexGuard<'_, Option<Places>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForObject for CarriedFile {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        if make.carried.of.is_empty() {
            make.carried = planned(make.tree, &mut make.stands)?;
        }
        let gone = || Error::because("make it again", "it has no place");
        let some = make.carried.of.remove(&self.id).unwrap_or_else(|| Err(gone()))?;
        let mut file: Option<OwnedFd> = None;
        for at in some {
            let places = make.carried.places();
            let place = places.as_ref().and_then(|places| places.get(at)).ok_or_else(gone)?;
            match &file {
                Some(file) => place.link(file.as_fd())?,
                None => file = Some(place.create()?),
            }
        }
        let Some(file) = file else { return Ok(()) };
        let fail = |e| Error::new(format!("make {self} again"), e);
        ftruncate(file.as_fd(), self.size as i64).map_err(fail)?;
        make.stands.same.know(&Found::of(&file)?);
        make.carried.open.insert(self.id, file);
        Ok(())
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

/// Finds out which files are to be made, and watches over their places.
fn planned(tree: &Tree, stands: &mut Stands) -> Result<CarriedFiles> {
    let (mut all, mut of) = (Vec::new(), BTreeMap::new());
    for file in tree.all::<CarriedFile>() {
        let first = all.len();
        let added = file.names.iter().try_for_each(|name| {
            all.extend(place(stands, file, name, all.len())?);
            Ok(())
        });
        if added.is_err() {
            all.truncate(first);
        }
        of.insert(file.id, added.map(|()| first..all.len()));
    }
    let places = if all.is_empty() { None } else { Some(Places::watch(all)?) };
    Ok(CarriedFiles { open: BTreeMap::new(), places: Mutex::new(places), of })
}

/// The place of a file that is to be made under a name, unless what is there will do. From now on it is opened beside it.
fn place(
    stands: &mut Stands,
    file: &CarriedFile,
    name: &CarriedName,
    number: usize,
) -> Result<Option<Place>> {
    let replaces = match stands.found(name.pid, &name.file, SFlag::S_IFREG) {
        Ok(found) => match stands.same.carried(file, &name.file, &found) {
            Standing::AsItWas => {
                stands.same.know(&found);
                return Ok(None);
            }
            Standing::Another => return Ok(None),
            Standing::Replaced => true,
        },
        Err(e) if e.cause().raw_os_error() == Some(libc::ENOENT) => {
            if stands.same.must_be_there(&name.file.path) {
                return Ok(None);
            }
            false
        }
        Err(e) => return Err(e),
    };
    let full = Path::new(OsStr::from_bytes(&name.file.path.0));
    let (Some(parent), Some(last)) = (full.parent(), full.file_name()) else {
        return Err(Error::because("make it again", "its name is none of a file"));
    };
    let dir = FileRef { path: Bytes::from(parent.as_os_str().as_bytes()), ..name.file.clone() };
    let dir = stands.path(name.pid, &dir, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let beside = format!(".floe-{}-{number}", std::process::id());
    let path = parent.join(&beside);
    stands.redirect(&name.file, Bytes::from(path.as_os_str().as_bytes()));
    Place::new(dir, last, &beside, replaces).map(Some)
}

/// Everything is written: owner, permissions, attributes and times go on.
pub(crate) fn finish(it: &CarriedFile, fd: &OwnedFd) -> Result<()> {
    let fail = |e| Error::new(format!("set the owner of {it}"), e);
    set_owner(fd, (it.uid, it.gid), it.mode).map_err(fail)?;
    set_last(fd, &it.attributes, it.times)
}
