//! The stage: passes a tree without AUFS on byte for byte, and refuses one that stands on AUFS.

use anyhow::Result;
use floe_records::{Pid, Process, Refusal, Refusals};
use floe_stream::RawRecord;
use floe_toolkit::Stage;

/// The stage.
pub struct AufsFix;

impl Stage for AufsFix {
    fn record(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            let process: Process = raw.decode()?;
            refuse_aufs(process.pid)?;
        }
        Ok(())
    }

    fn needs_target(&self) -> bool {
        false
    }
}

/// Branch paths cannot be translated yet, and an untranslated one would restore another file.
fn refuse_aufs(pid: Pid) -> Result<()> {
    // A recorded stream is filtered without its processes: then there is nothing to look at.
    let Ok(mounts) = std::fs::read(format!("/proc/{pid}/mountinfo")) else { return Ok(()) };
    let aufs = mounts.split(|byte| *byte == b'\n').find(|line| is_aufs(line));
    match aufs {
        None => Ok(()),
        Some(line) => Err(Refusals(vec![Refusal {
            pid: Some(pid),
            object: format!("mount {}", String::from_utf8_lossy(line)),
            problem: "references into AUFS branches cannot be translated yet".into(),
            hint: "leave aufsfix out of the pipe if no process uses this mount".into(),
        }])
        .into()),
    }
}

/// The type stands behind the separator ` - ` (proc_pid_mountinfo(5)).
fn is_aufs(line: &[u8]) -> bool {
    let behind = line.windows(3).position(|part| part == b" - ").map(|at| &line[at + 3..]);
    behind.is_some_and(|rest| rest.starts_with(b"aufs "))
}

#[cfg(test)]
mod tests {
    use super::is_aufs;

    #[test]
    fn the_type_stands_behind_the_separator() {
        assert!(is_aufs(b"36 35 0:43 / /mnt rw shared:1 - aufs none rw,si=1"));
        assert!(!is_aufs(b"36 35 0:43 / /aufs rw - ext4 /dev/aufs rw"));
    }
}
