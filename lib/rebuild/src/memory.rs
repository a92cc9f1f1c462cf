//! What memory of a tree needs of the machine, before anything is made.

use crate::process::vmas::given_name;
use floe_plan::huge_pages;
use floe_records::{Finding, Mm, Object, ObjectId, ObjectKind, SEGMENTS, Tree, Vma};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// Notes what is missing.
pub(crate) fn check(tree: &Tree, no: &mut Vec<Finding>) {
    huge(tree, no);
    let any = |wanted: fn(&Vma) -> bool| tree.living().flat_map(|p| tree.vmas(p.pid)).any(wanted);
    let keys = || tree.all::<Mm>().iter().any(|mm| mm.keys != 0) || any(|vma| vma.key != 0);
    if !floe_sys::has_protection_keys() && keys() {
        let problem = "this machine has none";
        no.push(Finding::about("protection keys (pkeys(7))", "rebuild.keys", problem));
    }
    let secret = tree.all::<Object>().iter().any(|object| object.kind == ObjectKind::Secret);
    if secret && let Err(e) = floe_sys::memfd_secret() {
        let finding = Finding::about("memfd_secret(2)", "rebuild.secret", e.to_string());
        no.push(finding.hint("boot with secretmem.enable=1"));
    }
    if any(|vma| vma.has(b"sl")) && !floe_sys::knows_mseal() {
        let problem = "this kernel has none (Linux 6.10)";
        no.push(Finding::about("sealed mappings (mseal(2))", "rebuild.mseal", problem));
    }
}

/// What memory comes back without.
pub(crate) fn note(tree: &Tree, notes: &mut Vec<String>) {
    let mut vmas = tree.living().flat_map(|p| tree.vmas(p.pid).map(move |vma| (p.pid, vma)));
    let named = vmas.find_map(|(pid, vma)| given_name(vma).map(|name| (pid, name)));
    if let Some((pid, name)) = named.filter(|_| !floe_sys::names_memory()) {
        let name = String::from_utf8_lossy(name);
        notes.push(format!(
            "pid {pid}: names of memory such as {name:?} are not set: this kernel has none"
        ));
    }
}

/// Each size of huge pages of which too few are free. The kernel would tell only when they are filled.
fn huge(tree: &Tree, no: &mut Vec<Finding>) {
    let kept = match segments() {
        Ok(kept) => kept,
        Err(e) => return no.push(Finding::about("huge pages", "rebuild.huge", e.to_string())),
    };
    for (size, wanted) in huge_pages(tree, |id| kept.contains(&id)) {
        let kib = size >> 10;
        let pool = PathBuf::from(format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB"));
        let object = format!("huge pages of {kib} KiB");
        let Some(free) = free(&pool) else {
            let problem = "this machine has none of that size";
            no.push(Finding::about(object, "rebuild.huge", problem));
            continue;
        };
        if free < wanted {
            let problem = format!("{wanted} are needed, {free} are free");
            let finding = Finding::about(object, "rebuild.huge", problem);
            let path = pool.join("nr_hugepages");
            let more = wanted - free;
            let hint = format!("write a number that is {more} larger into {}", path.display());
            no.push(finding.hint(hint));
        }
    }
}

/// Segments of shared memory that are still there, and have their pages.
fn segments() -> floe_sys::Result<BTreeSet<ObjectId>> {
    let all = floe_proc::segments()?.into_iter();
    Ok(all.map(|segment| ObjectId { dev: SEGMENTS, ino: segment.id.into() }).collect())
}

/// Pages that are free and not reserved, and those that the kernel would add.
fn free(pool: &std::path::Path) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(pool.join(name)).ok()?.trim().parse().ok()
    };
    let free = number("free_hugepages")?.saturating_sub(number("resv_hugepages")?);
    let more = number("nr_overcommit_hugepages")?.saturating_sub(number("surplus_hugepages")?);
    Some(free + more)
}
