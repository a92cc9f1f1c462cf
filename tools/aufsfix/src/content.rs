//! Does the file that a path leads to hold what is mapped? Copied up, replaced or renamed over since then, it does
//! not, and no inode number tells: those of a union change with the mount, and stay the same over a copy-up.

use anyhow::Result;
use floe_capture::memory::Scanner;
use floe_records::Vma;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

const PAGE: usize = 4096;
const PIECE: usize = 64 * PAGE;

/// Compares the pages that still show the file with what is at `path` now.
pub fn is_what_is_mapped(pid: u32, vma: &Vma, path: &Path) -> Result<bool> {
    let Some(file) = open_regular(path) else {
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
        let Some(mapped) = read_mapped(pid, vma, at, &mut theirs[..len]) else {
            return Ok(true);
        };
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

/// The file at a path. What else may have come there, a FIFO for example, must not hold us up.
pub fn open_regular(path: &Path) -> Option<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().is_ok_and(|about| about.is_file()).then_some(file)
}

/// Reads what is there of a mapping; gives how much. `None` where the process may not read it either, and the kernel
/// shows it to nobody else (`proc_mem.force_override`): then nobody sees another content.
fn read_mapped(pid: u32, vma: &Vma, at: u64, into: &mut [u8]) -> Option<usize> {
    if vma.prot & 1 != 0 {
        return Some(floe_sys::read_memory_partial(pid as i32, at, into).unwrap_or(0));
    }
    let pages = into.chunks_mut(PAGE).zip((at..).step_by(PAGE));
    let read = pages.take_while(|(page, _)| !page.is_empty());
    let count =
        read.map_while(|(page, at)| floe_sys::read_memory(pid as i32, at, page).ok()).count();
    (count > 0).then_some(count * PAGE)
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
