//! What this kernel and floe can do.

use crate::protocol::Features;
use anyhow::{Context, Result, bail, ensure};
use floe_toolkit::{Exit, Usage};
use std::path::Path;

/// Features that engines ask for on a command line, and whether they are there.
fn by_name() -> [(&'static str, bool); 6] {
    let tracks = floe_sys::notes_writes();
    [
        ("mem_dirty_track", tracks),
        ("mem_track", tracks),
        ("uffd-noncoop", false),
        ("lazy_pages", false),
        ("external_net_ns", true),
        ("tcp_half_closed", true),
    ]
}

/// The answer to a question for features.
pub fn features() -> Features {
    let no = Some(false);
    Features { mem_track: Some(floe_sys::notes_writes()), lazy_pages: no, pidfd_store: no }
}

/// Whether this machine has what floe needs.
pub fn works() -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "floe works on x86-64 alone");
    let own = crate::tools::own()?;
    for name in crate::tools::NAMES.iter().filter(|name| **name != "criu") {
        let tool = own.with_file_name(name);
        ensure!(tool.exists(), "{} is missing", tool.display());
    }
    // The oldest call that nothing can take the place of (Linux 5.6).
    floe_sys::pidfd_open(std::process::id() as i32)
        .and_then(|own| floe_sys::pidfd_getfd(std::os::fd::AsFd::as_fd(&own), 2))
        .context("the kernel is too old, or forbids it")?;
    let needed = [19u32, 21];
    let effective = floe_sys::effective_capabilities()?;
    if needed.iter().any(|bit| effective >> bit & 1 == 0) {
        bail!("not permitted: needs CAP_SYS_PTRACE and CAP_SYS_ADMIN");
    }
    ensure!(Path::new("/proc/self/timens_offsets").exists(), "the kernel has no time namespaces");
    Ok(())
}

/// `criu check`: exits 0 or 1.
pub fn check(words: &[&str]) -> Result<()> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let feature = match *word {
            "--feature" => words.next().copied(),
            word if word.starts_with("--feature=") => word.strip_prefix("--feature="),
            "--list" => {
                let names: Vec<&str> =
                    by_name().iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
                return Ok(floe_toolkit::say(&format!("{}\n", names.join(" ")))?);
            }
            // How much it says, and to whom, is of no use to anybody.
            word if word.starts_with('-') => continue,
            word => return Err(Usage(format!("check takes no {word}")).into()),
        };
        let feature = feature.ok_or_else(|| Usage("--feature needs a name".into()))?;
        if !by_name().iter().any(|(name, has)| *name == feature && *has) {
            return Err(Exit(1).into());
        }
    }
    works()?;
    Ok(floe_toolkit::say("Looks good.\n")?)
}
