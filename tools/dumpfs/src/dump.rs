//! The stage: everything it adds is metadata.

use anyhow::Result;
use floe_capture::files::{capture, mapped_files, queued};
use floe_records::{FileKind, Pid, Process, State, Vma, Vmas};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Stage};

/// What has been seen of the tree so far.
#[derive(Default)]
pub struct DumpFs {
    pids: Vec<Pid>,
    vmas: Vec<(Pid, Vma)>,
}

impl Stage for DumpFs {
    fn record(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            let process: Process = raw.decode()?;
            if !matches!(process.state, State::Zombie(_)) {
                self.pids.push(process.pid);
            }
        } else if raw.is::<Vmas>() {
            let Vmas { pid, vmas } = raw.decode()?;
            self.vmas.extend(vmas.into_iter().map(|vma| (pid, vma)));
        }
        Ok(())
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        for file in mapped_files(self.vmas.iter().map(|(pid, vma)| (*pid, vma)))? {
            out.record(&file)?;
        }
        let captured = capture(&self.pids)?;
        for file in &captured.files {
            out.record(file)?;
        }
        for table in &captured.tables {
            out.record(table)?;
        }
        for (ino, end) in &captured.pipes {
            // A pipe that belongs to the outside keeps what is in it.
            if !captured.files.iter().any(|file| file.what == FileKind::Pipe(*ino)) {
                continue;
            }
            let (data, bytes) = queued(*ino, end)?;
            out.record(&data)?;
            if !bytes.is_empty() {
                out.bulk(&bytes)?;
            }
        }
        Ok(())
    }
}
