//! IPC namespaces that a tree has besides the one that freeze is in: message queues and segments are found in their own alone.

use crate::own_spaces;
use floe_records::{NsKind, Pid};
use floe_sys::{Error, Result};
use std::{collections::BTreeMap, fs::File, os::fd::AsFd, sync::OnceLock};

/// Those of the processes of a tree, our own left out; they are looked for when something is asked of them.
#[derive(Debug)]
pub(crate) struct IpcSpaces<'a> {
    pids: &'a [Pid],
    others: OnceLock<BTreeMap<u64, File>>,
}

impl<'a> IpcSpaces<'a> {
    /// Those of these processes.
    pub fn of(pids: &'a [Pid]) -> Self {
        Self { pids, others: OnceLock::new() }
    }

    fn others(&self) -> Result<impl Iterator<Item = &File>> {
        if let Some(others) = self.others.get() {
            return Ok(others.values());
        }
        let (_, others) = own_spaces::others(self.pids, NsKind::Ipc)?;
        Ok(self.others.get_or_init(|| others).values())
    }

    /// Looks into one after the other, our own first, until something is found there.
    pub fn find<T: Send, E: Send + From<Error>>(
        &self,
        look: impl Fn() -> std::result::Result<Option<T>, E> + Sync,
    ) -> std::result::Result<Option<T>, E> {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        for space in self.others()? {
            if let Some(found) = within(space, &look)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Looks into each but our own.
    pub fn each_other<T: Send, E: Send + From<Error>>(
        &self,
        look: impl Fn() -> std::result::Result<T, E> + Sync,
    ) -> std::result::Result<Vec<T>, E> {
        self.others()?.map(|space| within(space, &look)).collect()
    }
}

fn within<T: Send, E: Send + From<Error>>(
    space: &File,
    look: impl FnOnce() -> std::result::Result<T, E> + Send,
) -> std::result::Result<T, E> {
    floe_sys::apart_in(space.as_fd(), "IPC", look)
}
