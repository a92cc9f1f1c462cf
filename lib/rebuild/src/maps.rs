//! What restore itself has mapped.

use floe_proc::mappings;
use floe_records::Vdso;
use floe_sys::Result;

/// Ranges of addresses.
pub fn own_ranges() -> Result<Vec<(u64, u64)>> {
    Ok(mappings(std::process::id())?.into_iter().map(|map| (map.start, map.end)).collect())
}

/// XXH3-64 of our own vdso, 0 for none.
pub fn own_vdso_hash() -> Result<u64> {
    Ok(own_vdso()?.map_or(0, |vdso| vdso.hash))
}

/// Our own vdso, where this kernel has one.
pub fn own_vdso() -> Result<Option<Vdso>> {
    let own = std::process::id();
    let Some(vdso) = mappings(own)?.into_iter().find(|map| map.name == b"[vdso]") else {
        return Ok(None);
    };
    let mut code = vec![0; vdso.size() as usize];
    floe_sys::read_memory(own as i32, vdso.start, &mut code)?;
    let hash = twox_hash::XxHash3_64::oneshot(&code);
    Ok(Some(Vdso { hash, code: code.into() }))
}
