//! Files of processes and threads in /proc. Those of processes that have ended are refused.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    file::pidfd,
    files::Files,
    path,
    resource::OfFile,
};
use floe_records::{AnyRecord, Bytes, FileId, Finding, Findings, Pid, ProcFile};

impl OfFile for ProcFile {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let known = seen.stat.is_file() || seen.stat.is_dir();
        known && seen.name().is_some() && path::of_a_process(seen.link)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let refuse = |problem: &str| Problem::new("file.proc", problem);
        // Its number may be that of another process by now.
        if !seen.name().is_some_and(|name| name.leads && !name.deleted) {
            return Err(refuse("it is of a process that has ended"));
        }
        let link = seen.link.strip_prefix(b"/proc/").unwrap_or_default();
        let cut = link.iter().position(|byte| *byte == b'/');
        let (pid, below) = link.split_at(cut.unwrap_or(link.len()));
        let pid = std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok());
        let process = Pid(pid.ok_or_else(|| refuse("it is of no process"))?);
        let path = Bytes(below.strip_prefix(b"/").unwrap_or(below).to_vec());
        Ok(ProcFile { file, process, path, directory: seen.stat.is_dir() })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        for (open, what) in &files.all {
            let AnyRecord::ProcFile(it) = what else { continue };
            let problem = if pidfd::process_of(files, it.process).is_some_and(|of| of != it.process)
            {
                "it is of a thread, and was opened by the number of that alone (/proc/TID)"
            } else if !pidfd::is_in_tree(files, it.process)? {
                "it is of a process outside of the tree"
            } else if it.thread().is_some() && !files.pids.contains(&it.process) {
                "it is of a thread of a process that has ended"
            } else {
                continue;
            };
            let object = format!("/proc/{}/{}", it.process, it.path);
            out.refuse(Finding::of(open.pid, object, "file.proc", problem));
        }
        Ok(())
    }
}
