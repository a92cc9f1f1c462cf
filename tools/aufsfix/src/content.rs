//! Does the file that a path leads to hold what is mapped? Copied up, replaced or renamed over since then, it does
//! not, and no inode number tells: those of a union change with the mount, and stay the same over a copy-up.

use anyhow::Result;
use floe_capture::memory::Scanner;
use floe_records::{FileRef, Vma};
use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt, fs::FileExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

const PAGE: usize = 4096;
const PIECE: usize = 64 * PAGE;

/// Where we reach a path of a process.
fn reach(pid: u32, path: &[u8]) -> PathBuf {
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    Path::new(&format!("/proc/{pid}/root")).join(OsStr::from_bytes(relative))
}

/// Whether the process finds the very file at its path.
pub fn is_there(pid: u32, file: &FileRef) -> bool {
    let there = reach(pid, &file.path.0).symlink_metadata();
    !file.outside && there.is_ok_and(|meta| (meta.dev(), meta.ino()) == (file.dev, file.ino))
}

/// Compares the pages that still show the file with what its path leads to.
pub fn is_what_is_mapped(pid: u32, vma: &Vma) -> Result<bool> {
    let Some(name) = &vma.file else { return Ok(true) };
    let Ok(file) = File::open(reach(pid, &name.path.0)) else {
        return Ok(false);
    };
    let found = Scanner::new(pid)?.look(vma.start.0..vma.end.0)?;
    let mut own = [found.own, found.guards].concat();
    own.sort_by_key(|run| run.start);
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = vma.start.0;
    while at < vma.end.0 {
        if let Some(run) = own.iter().find(|run| run.contains(&at)) {
            at = run.end;
            continue;
        }
        let until = own.iter().map(|run| run.start).find(|start| *start > at).unwrap_or(vma.end.0);
        let len = (until.min(vma.end.0) - at).min(PIECE as u64) as usize;
        let mapped = floe_sys::read_memory_partial(pid as i32, at, &mut theirs[..len]).unwrap_or(0);
        let read = fill(&file, vma.offset + (at - vma.start.0), &mut ours[..len])?;
        // Behind the end of a file its last page is zero, and then there is nothing.
        if read.next_multiple_of(PAGE).min(len) != mapped || ours[..mapped] != theirs[..mapped] {
            return Ok(false);
        }
        if mapped < len {
            return Ok(true);
        }
        at += len as u64;
    }
    Ok(true)
}

/// Reads as much as there is; the rest of the buffer becomes zero.
fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    buffer[done..].fill(0);
    Ok(done)
}
