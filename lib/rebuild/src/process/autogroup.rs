//! The nice value of a session.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_plan::Phase;
use floe_records::{Autogroup, Pid};
use floe_sys::{Error, Result};

impl ForProcess for Autogroup {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, _: &mut Script<'_>) -> Result<()> {
        let nice = context.tree.get::<Autogroup>(pid).and_then(|group| group.nice);
        // A session begins with 0.
        let Some(nice) = nice.filter(|nice| *nice != 0) else { return Ok(()) };
        let path = floe_proc::path(pid.0, "autogroup");
        std::fs::write(&path, nice.to_string())
            .map_err(|e| Error::new(format!("write {}", path.display()), e).pid(pid.0))
    }
}
