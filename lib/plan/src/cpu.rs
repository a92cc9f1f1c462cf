//! Whether the processor that a tree runs on next has what the one before had.
//!
//! Programs look once at what a processor can do (CPUID) and choose their code by it, so everything that they have seen and can
//! use must be there. What only the kernel uses, and what is a hint, need not. The extended state of threads moves to where this
//! processor keeps it; a component that is not there here is left out where it holds nothing.

mod features;
mod state;

use crate::{Machine, check::Found};
use floe_records::*;

/// Component of protection keys in XCR0.
const PKRU: u8 = 9;

/// What a processor must have, and has not.
pub(crate) fn check(tree: &Tree, machine: &Machine, found: &mut Found) {
    let missing = missing(tree, machine);
    if !missing.is_empty() {
        let problem = format!("this one lacks {}, which the tree may use", missing.join(", "));
        let hint = "restore on a processor like that one, or --allow cpu: what uses it then dies of SIGILL";
        found.add(|| Finding::about("the processor", "plan.cpu", problem).hint(hint));
    }
    let begin = tree.begin();
    let foreign = begin.map_or(0, |begin| begin.xfeatures & !machine.xfeatures);
    if foreign >> PKRU & 1 == 1 {
        for pid in tree.living().map(|p| p.pid).filter(|pid| uses_keys(tree, *pid)) {
            let problem = "it uses them, and this processor has none";
            found.add(|| Finding::of(pid, "protection keys", "plan.cpu", problem));
        }
    }
    let whole = machine.cpu.words.is_empty() || tree.all::<Cpu>().is_empty();
    let names = state::names(foreign & !(1 << PKRU));
    if whole && !names.is_empty() {
        let problem = format!("this one has no registers of {}", names.join(", "));
        found.add(|| Finding::about("the processor", "plan.cpu", problem));
    }
}

/// What is wrong with the registers of a thread, for this processor.
pub(crate) fn lacking(components: u64) -> String {
    format!("they have {}, which this processor has not", state::names(components).join(", "))
}

/// Names of features that programs can use, and that are not here.
fn missing(tree: &Tree, machine: &Machine) -> Vec<String> {
    let was = tree.all::<Cpu>().first().map_or(&[][..], |cpu| &cpu.words);
    let here = |word: &CpuidWord| {
        let same = |it: &&CpuidWord| (it.leaf, it.register) == (word.leaf, word.register);
        machine.cpu.words.iter().find(same).map_or(0, |it| it.bits)
    };
    was.iter().flat_map(|word| features::used(word, word.bits & !here(word))).collect()
}

/// The same tree without what this processor lacks of features, and what that is.
///
/// # Errors
/// None that a tree has which could be read.
pub fn forget_features(tree: Tree, machine: &Machine) -> Result<(Tree, Vec<Finding>), Duplicate> {
    let missing = missing(&tree, machine);
    let problem = || format!("{}: what uses it dies of SIGILL", missing.join(", "));
    let lost = Finding::about("the processor", "plan.cpu", problem());
    let lost = if missing.is_empty() { Vec::new() } else { vec![lost] };
    let tree = tree.map(|cpu: &mut Cpu| cpu.words.clear())?;
    Ok((tree, lost))
}

/// The same tree with the extended state of its threads as this processor keeps it, and what is lost by that. What does not fit
/// stays as it is, and is refused by the plan.
///
/// # Errors
/// None that a tree has which could be read.
pub fn fit_registers(tree: Tree, machine: &Machine) -> Result<(Tree, Vec<Finding>), Duplicate> {
    let Some(fit) = state::Fit::between(&tree, machine) else { return Ok((tree, Vec::new())) };
    let lost = fit.shrinks().then(|| {
        let problem = "this one keeps less state of threads: one that is in a signal handler gets only x87 and SSE registers back \
                       from before it";
        Finding::about("the processor", "plan.cpu", problem)
    });
    let keys: std::collections::BTreeSet<Pid> =
        tree.living().map(|p| p.pid).filter(|pid| uses_keys(&tree, *pid)).collect();
    let tree = tree.map(|thread: &mut Thread| {
        if let Some(block) = fit.block(&thread.xstate.0, keys.contains(&thread.pid)) {
            thread.xstate = block.into();
        }
    })?;
    Ok((tree, lost.into_iter().collect()))
}

/// Whether memory of a process has protection keys, or it has allocated some.
fn uses_keys(tree: &Tree, pid: Pid) -> bool {
    tree.get::<Mm>(pid).is_some_and(|mm| mm.keys != 0) || tree.vmas(pid).any(|vma| vma.key != 0)
}
