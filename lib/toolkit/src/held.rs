//! Is the target of a stream still held? Known from /proc alone, without touching it.

use anyhow::{Context, bail, ensure};
use floe_proc::Stat;
use floe_records::Begin;

/// The hold that a stream was taken under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    root: u32,
    holder: u32,
    start: u64,
}

impl Held {
    /// The hold that `begin` tells of.
    pub fn new(begin: &Begin) -> Self {
        Self { root: begin.root.0, holder: begin.holder.0, start: begin.holder_start }
    }

    /// Fails unless the holder lives and the root task stands in its trace stop.
    pub fn check(&self) -> anyhow::Result<()> {
        let gone =
            || format!("pid {}: no longer held: its holder {} is gone", self.root, self.holder);
        let holder = Stat::of(self.holder).with_context(gone)?;
        if holder.start_time != self.start || holder.is_dead() {
            bail!(gone());
        }
        let state = Stat::of(self.root)?.state as char;
        ensure!(state == 't', "pid {}: no longer held: state {state}", self.root);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_is_not_held() {
        let me = std::process::id();
        let start = Stat::of(me).unwrap().start_time;
        let error = Held { root: me, holder: me, start }.check().unwrap_err();
        assert!(error.to_string().contains("no longer held"), "{error}");
        assert!(Held { root: me, holder: me, start: start + 1 }.check().is_err());
    }
}
