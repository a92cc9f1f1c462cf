//! Is the target of a stream still held? Known from /proc alone, without touching it.

use anyhow::{Context, bail, ensure};
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
        let (state, start) = stat(self.holder).with_context(gone)?;
        if start != self.start || state == 'Z' || state == 'X' {
            bail!(gone());
        }
        let (state, _) = stat(self.root)?;
        ensure!(state == 't', "pid {}: no longer held: state {state}", self.root);
        Ok(())
    }
}

/// State and start time of a process.
fn stat(pid: u32) -> anyhow::Result<(char, u64)> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read(&path).with_context(|| format!("pid {pid}: unable to read {path}"))?;
    parse(&text).with_context(|| format!("pid {pid}: unable to read {path}: unknown form"))
}

/// The name in the second field may hold anything: fields are counted from the last `)`.
fn parse(text: &[u8]) -> Option<(char, u64)> {
    let behind = text.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&text[behind..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_name() {
        let text = b"7 (a) R 0) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(parse(text), Some(('S', 4242)));
        assert_eq!(parse(b"7 (a"), None);
    }

    #[test]
    fn who_runs_is_not_held() {
        let me = std::process::id();
        let (_, start) = stat(me).unwrap();
        let error = Held { root: me, holder: me, start }.check().unwrap_err();
        assert!(error.to_string().contains("no longer held"), "{error}");
        assert!(Held { root: me, holder: me, start: start + 1 }.check().is_err());
    }
}
