//! Maps of bpf(2). One that is still there since the tree ended is somebody else's as well, and is opened; of all others nobody
//! knows, and they are made again.

use crate::{factory::Factory, factory::with_status, resource::ForFile};
use floe_records::{BpfMap, OpenFile};
use floe_sys::{BpfMapInfo, Error, Result, bpf_map_by_id, bpf_map_info};
use std::os::fd::{AsFd, OwnedFd};

/// BPF_F_RDONLY and BPF_F_WRONLY: what a descriptor is for.
const RDONLY: u32 = 1 << 3;
const WRONLY: u32 = 1 << 4;

impl ForFile for BpfMap {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let fail = |e| Error::new("open a map of BPF", e);
        let access = match open.flags as i32 & libc::O_ACCMODE {
            libc::O_RDONLY => RDONLY,
            libc::O_WRONLY => WRONLY,
            _ => 0,
        };
        let mut name = [0; 16];
        name.iter_mut().zip(&self.name.0).for_each(|(to, from)| *to = *from);
        let info = BpfMapInfo {
            kind: self.kind,
            id: self.map,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            name,
            plain: true,
        };
        if make.stands.same.is_same_boot()
            && let Ok(there) = bpf_map_by_id(self.map, access)
            && bpf_map_info(there.as_fd())? == info
        {
            return with_status(there, open);
        }
        let map = floe_sys::BpfMap::new(&info)?;
        let fill = |e| Error::new("fill a map of BPF", e);
        for entry in &self.entries {
            map.update(&entry.key.0, &entry.value.0).map_err(fill)?;
        }
        if self.frozen {
            map.freeze().map_err(fill)?;
        }
        with_status(bpf_map_by_id(map.info().id, access).map_err(fail)?, open)
    }
}
