//! Sets of semaphores in IPC namespaces that restore has made.

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::Semaphores;
use floe_sys::{NewIpc, Result, make_semaphores};

impl ForNamespace for Semaphores {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        let Self { id, key, mode, owner, creator, .. } = *self;
        let new = NewIpc { key, id, mode, owner, creator };
        spaces.furnish(self.space, || make_semaphores(&new, &self.values))
    }
}
