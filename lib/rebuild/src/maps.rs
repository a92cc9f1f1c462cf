//! Ranges of /proc/PID/maps.

use floe_sys::{Error, Result};

/// Start, end and name.
pub(crate) type Range = (u64, u64, String);

pub(crate) fn ranges(pid: &str) -> Result<Vec<Range>> {
    let path = format!("/proc/{pid}/maps");
    let text = std::fs::read(&path).map_err(|e| Error::new(format!("read {path}"), e))?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let name = line.split_whitespace().nth(5).unwrap_or("").to_owned();
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?, name))
        })
        .collect())
}

/// What restore itself has mapped.
pub(crate) fn own_ranges() -> Result<Vec<(u64, u64)>> {
    Ok(ranges("self")?.into_iter().map(|(start, end, _)| (start, end)).collect())
}

/// XXH3-64 of our own vdso, 0 for none.
pub fn own_vdso_hash() -> Result<u64> {
    let Some((start, end, _)) = ranges("self")?.into_iter().find(|r| r.2 == "[vdso]") else {
        return Ok(0);
    };
    let mut bytes = vec![0; (end - start) as usize];
    floe_sys::read_memory(std::process::id() as i32, start, &mut bytes)?;
    Ok(xxhash_rust::xxh3::xxh3_64(&bytes))
}
