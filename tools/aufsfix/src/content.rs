//! Does the file that a path leads to hold what is mapped? Copied up, replaced or renamed over since then, it does
//! not, and no inode number tells: those of a union change with the mount, and stay the same over a copy-up.

use anyhow::Result;
use floe_capture::memory::Scanner;
use floe_records::Vma;
use std::{fs::File, os::unix::fs::FileExt, path::Path};

const PAGE: usize = 4096;
const PIECE: usize = 64 * PAGE;

/// Compares the pages that still show the file with what is at `path` now.
pub fn is_what_is_mapped(pid: u32, vma: &Vma, path: &Path) -> Result<bool> {
    let Ok(file) = File::open(path) else {
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
