//! Ids and relations: processes are made with them.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_plan::Phase;
use floe_records::{Pid, Process};
use floe_sys::Result;

impl ForProcess for Process {
    fn apply(_: Context<'_>, _: Pid, _: Phase, _: &mut Script<'_>) -> Result<()> {
        Ok(())
    }
}
