//! Namespaces: processes are made in them.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_plan::Phase;
use floe_records::{Namespaces, Pid};
use floe_sys::Result;

impl ForProcess for Namespaces {
    fn apply(_: Context<'_>, _: Pid, _: Phase, _: &mut Script<'_>) -> Result<()> {
        Ok(())
    }
}
