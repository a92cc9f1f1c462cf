//! What a stream says of itself, and whether this machine is one for it.

use super::Found;
use crate::{Extent, Machine};
use floe_records::*;

pub(super) fn check(tree: &Tree, machine: &Machine, extent: Extent, found: &mut Found) {
    let mut refuse =
        |problem: String| found.add(|| Finding::about("the stream", "plan.stream", problem));
    for tool in ["dumpfs", "dumpmem"] {
        if extent == Extent::Whole && tree.get::<Stage>(tool).is_none() {
            refuse(format!("it has not been through {tool}"));
        }
    }
    let counts = (tree.all::<Process>().len() as u32, tree.all::<Thread>().len() as u32);
    let end = tree.all::<TreeEnd>().first();
    if end.map(|end| (end.processes, end.threads)) != Some(counts) {
        refuse("its tree is not whole".into());
    }
    if counts.0 == 0 {
        refuse("it has no process".into());
    }
    match tree.begin() {
        Some(begin) => origin(tree, begin, &mut refuse),
        None => refuse("it does not say where it comes from".into()),
    }
    for thread in tree.all::<Thread>() {
        if let Err(problem) = xstate(&thread.xstate.0, machine) {
            let object = format!("extended registers of thread {}", thread.tid);
            found.add(|| Finding::of(thread.pid, object, "plan.xstate", problem));
        }
    }
}

fn origin(tree: &Tree, begin: &Begin, refuse: &mut dyn FnMut(String)) {
    if begin.format != FORMAT {
        refuse(format!("it has format {}, and this is format {FORMAT}", begin.format));
    }
    if begin.arch != "x86_64" {
        refuse(format!("it comes from {:.20}, and this is x86_64", begin.arch));
    }
    if begin.page_size != 4096 {
        refuse(format!("its pages have {} bytes, and those here 4096", begin.page_size));
    }
    if tree.root().is_some_and(|root| root.pid != begin.root) {
        refuse("its first process is not its root".into());
    }
}

/// An XSAVE block in the standard form, by what the kernel demands of one (Intel SDM volume 1, 13.4).
fn xstate(block: &[u8], machine: &Machine) -> Result<(), String> {
    let (len, here) = (block.len(), machine.xstate_len);
    let word = |at: usize| {
        let bytes = block.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u64::MAX, u64::from_ne_bytes)
    };
    // XSTATE_BV; XCOMP_BV and the rest of the header are zero in this form.
    let unknown = word(512) & !machine.xfeatures;
    ensure(len < 576 || unknown == 0, &crate::cpu::lacking(unknown))?;
    ensure(len == here, &format!("they have {len} bytes, and those of this processor {here}"))?;
    ensure((520..576).step_by(8).all(|at| word(at) == 0), "their header is not that of XSAVE")?;
    // MXCSR; bit 17 is AMD's.
    ensure(word(24) as u32 & !0x2_ffff == 0, "their MXCSR has bits that are none")
}
