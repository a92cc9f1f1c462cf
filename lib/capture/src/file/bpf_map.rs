//! Maps of bpf(2), by their numbers: a descriptor may be one for writing only.
//!
//! What else uses a map is not all shown: programs are, names in a file system (BPF_OBJ_PIN) and descriptors of other processes are
//! not. Restore finds out: a map that outlives the tree is somebody else's as well, and is the same one then.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
};
use floe_records::{AnyRecord, BpfEntry, BpfMap, Bytes, FileId, Finding, Findings, MAP_FLAGS, Pid};
use floe_sys::{BPF_MAPS, BpfMapInfo, Error, bpf_map_by_id, bpf_map_info, bpf_map_is_used};
use std::collections::BTreeSet;

const RULE: &str = "file.bpf";

impl OfFile for BpfMap {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("bpf-map")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = |_| Problem::new(RULE, "it has an unknown form");
        let frozen = seen.info.decimal::<u32>("frozen").map_err(unknown)? != 0;
        let info = bpf_map_info(seen.duplicate()?)?;
        look(&info)?;
        let entries = entries(&info)?;
        let end = info.name.iter().position(|byte| *byte == 0).unwrap_or(info.name.len());
        let BpfMapInfo { kind, id, key_size, value_size, max_entries, flags, .. } = info;
        let (pid, name) = (Pid(seen.pid), Bytes(info.name[..end].to_vec()));
        Ok(BpfMap {
            file,
            pid,
            map: id,
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
            name,
            frozen,
            entries,
        })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let mut maps = BTreeSet::new();
        for (open, what) in files.of::<BpfMap>() {
            let AnyRecord::BpfMap(map) = what else { continue };
            if !maps.insert(map.map) {
                let problem = "it is open twice, by descriptors that are no duplicates";
                let object = format!("map {} of BPF", map.map);
                out.refuse(Finding::of(open.pid, object, RULE, problem));
            }
        }
        Ok(())
    }
}

/// Refuses a map that cannot be made again.
fn look(info: &BpfMapInfo) -> Result<(), Problem> {
    let refuse = |problem: String| Err(Problem::new(RULE, problem));
    if !BPF_MAPS.contains(&info.kind) {
        let kind = info.kind;
        return refuse(format!(
            "a map of BPF of type {kind}, which is neither a hash nor an array"
        ));
    }
    if !info.plain {
        return refuse("a map of BPF with types (BTF), or of a device".into());
    }
    if info.flags & !MAP_FLAGS != 0 {
        return refuse(format!(
            "a map of BPF with flags that do not come back ({:#x})",
            info.flags
        ));
    }
    let admin = floe_sys::effective_capabilities()? >> SYS_ADMIN & 1 != 0;
    if !admin {
        return refuse("a map of BPF, which cannot be read without CAP_SYS_ADMIN".into());
    }
    if bpf_map_is_used(info.id)? {
        return refuse("a program of BPF uses it".into());
    }
    Ok(())
}

/// Number of the capability.
const SYS_ADMIN: u32 = 21;

/// All that a map holds; of an array what is not zero.
fn entries(info: &BpfMapInfo) -> Result<Vec<BpfEntry>, Problem> {
    let fail = |e| Error::new("read a map of BPF", e);
    let map = floe_sys::BpfMap::of(bpf_map_by_id(info.id, 0).map_err(fail)?)?;
    let most = BpfMap::most(info.key_size, info.value_size);
    let is_array = info.kind == BPF_MAPS[1];
    let (mut all, mut at, mut steps) = (Vec::new(), None::<Vec<u8>>, 0);
    while let Some(key) = map.next_key(at.as_deref()).map_err(fail)? {
        // One that changes meanwhile may have no end.
        steps += 1;
        if all.len() as u64 >= most || steps > 2 * u64::from(info.max_entries) {
            let problem = "a map of BPF that holds more than a record of an image does";
            return Err(Problem::new(RULE, problem));
        }
        if let Some(value) = map.lookup(&key).map_err(fail)?
            && !(is_array && value.iter().all(|byte| *byte == 0))
        {
            all.push(BpfEntry { key: Bytes(key.clone()), value: Bytes(value) });
        }
        at = Some(key);
    }
    Ok(all)
}
