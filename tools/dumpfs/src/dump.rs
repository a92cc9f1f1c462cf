//! The stage: files and queues as metadata, contents of nameless files as bulk.

use anyhow::Result;
use floe_capture::{
    files::{Captured, SocketRules, capture, in_packets, mapped_files, queued, socket_queue},
    memory::{Gather, contents},
};
use floe_records::{
    FileKind, ObjectData, ObjectId, OpenFile, Pid, Process, State, Vma, VmaKind, Vmas,
};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Stage};
use std::collections::BTreeSet;

/// Bytes of content that go into one record.
const BUFFER: usize = 256 << 10;

/// What has been seen of the tree so far.
pub struct DumpFs {
    rules: SocketRules,
    pids: Vec<Pid>,
    vmas: Vec<(Pid, Vma)>,
    captured: Captured,
}

impl DumpFs {
    /// With these rules for sockets.
    pub fn new(rules: SocketRules) -> Self {
        Self { rules, pids: Vec::new(), vmas: Vec::new(), captured: Captured::default() }
    }

    fn queues(&self, out: &mut Out) -> Result<()> {
        for (pipe, end) in &self.captured.pipes {
            let packets = in_packets(&self.captured.files, *pipe);
            let (data, bytes) = queued(*pipe, end, packets)?;
            out.record(&data)?;
            if !bytes.is_empty() {
                out.bulk(&bytes)?;
            }
        }
        for file in &self.captured.files {
            let OpenFile { what: FileKind::Unix(socket), .. } = file else { continue };
            let Some(fd) = self.captured.sockets.get(&socket.ino) else { continue };
            let (queue, bytes) = socket_queue(socket, fd)?;
            if !bytes.is_empty() {
                out.record(&queue)?;
                out.bulk(&bytes)?;
            }
        }
        Ok(())
    }
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
        self.captured = capture(&self.pids, self.rules)?;
        // What is mapped as well is the business of dumpmem.
        let mapped: BTreeSet<ObjectId> = (self.vmas.iter())
            .filter(|(_, vma)| vma.kind == VmaKind::Object)
            .filter_map(|(_, vma)| vma.file.as_ref())
            .map(|file| ObjectId { dev: file.dev, ino: file.ino })
            .collect();
        self.captured.objects.retain(|id, _| !mapped.contains(id));
        for (object, _) in self.captured.objects.values() {
            out.record(object)?;
        }
        for file in &self.captured.files {
            out.record(file)?;
        }
        for table in &self.captured.tables {
            out.record(table)?;
        }
        for locks in &self.captured.locks {
            out.record(locks)?;
        }
        for terminal in &self.captured.terminals {
            out.record(terminal)?;
        }
        self.queues(out)
    }

    fn bulk(&mut self, out: &mut Out) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        for (object, file) in self.captured.objects.values() {
            let mut gather = Gather::new(file, contents(file, object.size)?);
            loop {
                let (ranges, _) = gather.fill(&mut buffer)?;
                if ranges.is_empty() {
                    break;
                }
                let len = ranges.bytes() as usize;
                out.record(&ObjectData { id: object.id, ranges })?;
                out.bulk(&buffer[..len])?;
            }
        }
        Ok(())
    }
}
