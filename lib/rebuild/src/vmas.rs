//! The address space.

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::Result;

/// No executable yet.
const NONE: u32 = u32::MAX;
const MAP_GROWSDOWN: i32 = 0x100;
/// In the place of MAP_PRIVATE (Linux 6.11).
const MAP_DROPPABLE: i32 = 8;
const MADV_GUARD_INSTALL: u64 = 102;
const MLOCK_ONFAULT: u64 = 1;

/// Protection while pages are filled in. What was once writable is accounted (`ac`), and must be so again;
/// what never was may not become it, or neighbours would merge.
fn fill_prot(vma: &Vma) -> u8 {
    if !vma.shared && vma.has(b"ac") { vma.prot | 3 } else { vma.prot }
}

impl Work<'_> {
    pub(crate) fn map(&mut self, pid: Pid) -> Result<()> {
        let mut b = Batch::new();
        for vma in self.tree.vmas.get(&pid).into_iter().flatten() {
            let len = vma.end.0 - vma.start.0;
            match vma.kind {
                VmaKind::Vsyscall => continue,
                VmaKind::Vdso | VmaKind::Vvar => {
                    let name = vma.name.as_ref().map_or("vdso".into(), ToString::to_string);
                    let parked = self.parked.iter().find(|p| p.0 == name && p.2 == len);
                    let Some(parked) = parked else {
                        return Err(floe_sys::Error::because(
                            format!("place {name}"),
                            "this kernel has none of that size",
                        )
                        .pid(pid.0));
                    };
                    b.call(libc::SYS_mremap, [parked.1, len, len, 3, vma.start.0].map(Arg::Val));
                    continue;
                }
                _ => {}
            }
            let mut flags = libc::MAP_FIXED_NOREPLACE;
            flags |= match vma.shared {
                true => libc::MAP_SHARED,
                false if vma.has(b"dp") => MAP_DROPPABLE,
                false => libc::MAP_PRIVATE,
            };
            let fd = match vma.kind {
                VmaKind::Anon | VmaKind::Content => {
                    flags |= libc::MAP_ANONYMOUS;
                    u64::MAX
                }
                _ => self.open.mapped(pid, vma)? as u64,
            };
            for (flag, bit) in [(b"gd", MAP_GROWSDOWN), (b"nr", libc::MAP_NORESERVE)] {
                if vma.has(flag) {
                    flags |= bit;
                }
            }
            let prot = u64::from(fill_prot(vma));
            let args = [vma.start.0, len, prot, flags as u64, fd, vma.offset];
            b.call(libc::SYS_mmap, args.map(Arg::Val));
            for (flag, advice) in
                [(b"hg", 14), (b"nh", 15), (b"dc", 10), (b"wf", 18), (b"dd", 16), (b"mg", 12)]
            {
                if vma.has(flag) {
                    b.call(libc::SYS_madvise, [vma.start.0, len, advice].map(Arg::Val));
                }
            }
        }
        self.runner(pid.0 as i32).run(&b)?;
        // One that was removed is still open for writing.
        let exe = if self.exe_comes_late(pid) { NONE } else { self.open.exe(pid)? };
        self.numbers(pid, exe)
    }

    /// Whether the executable is set only when its content is there.
    pub(crate) fn exe_comes_late(&self, pid: Pid) -> bool {
        self.tree.mm.get(&pid).is_some_and(|mm| mm.exe.deleted)
    }

    /// Sets the executable that comes late.
    pub(crate) fn late_exe(&self, pid: Pid) -> Result<()> {
        if !self.exe_comes_late(pid) {
            return Ok(());
        }
        let exe = self.open.exe(pid)?;
        self.numbers(pid, exe)?;
        self.one(pid.0, libc::SYS_close, &[u64::from(exe)]).map(drop)
    }

    fn numbers(&self, pid: Pid, exe: u32) -> Result<()> {
        let Some(mm) = self.tree.mm.get(&pid) else { return Ok(()) };
        let mut b = Batch::new();
        let auxv = b.bytes(&mm.auxv.0);
        let words = [
            mm.code.0, mm.code.1, mm.data.0, mm.data.1, mm.brk.0, mm.brk.1, mm.stack, mm.args.0,
            mm.args.1, mm.env.0, mm.env.1,
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.0.to_ne_bytes()).collect();
        bytes.extend(0u64.to_ne_bytes());
        bytes.extend((mm.auxv.0.len() as u32).to_ne_bytes());
        bytes.extend(exe.to_ne_bytes());
        let map = b.bytes(&bytes);
        b.pointer(map, 88, auxv);
        let call = b.call(
            libc::SYS_prctl,
            [Arg::Val(35), Arg::Val(14), map.into(), Arg::Val(104), Arg::Val(0)],
        );
        self.runner(pid.0 as i32).run(&b)?.value(call).map(drop)
    }

    /// Final protections and locks.
    pub(crate) fn protect(&self, pid: Pid) -> Result<()> {
        let mut b = Batch::new();
        for vma in self.tree.vmas.get(&pid).into_iter().flatten() {
            let len = vma.end.0 - vma.start.0;
            if matches!(vma.kind, VmaKind::Vdso | VmaKind::Vvar | VmaKind::Vsyscall) {
                continue;
            }
            if vma.prot != fill_prot(vma) {
                let args = [vma.start.0, len, u64::from(vma.prot)];
                b.call(libc::SYS_mprotect, args.map(Arg::Val));
            }
            for (start, end) in &vma.guards {
                let len = end.0 - start.0;
                b.call(libc::SYS_madvise, [start.0, len, MADV_GUARD_INSTALL].map(Arg::Val));
            }
            if vma.has(b"lo") {
                let on_fault = if vma.has(b"lf") { MLOCK_ONFAULT } else { 0 };
                let args = [vma.start.0, len, on_fault].map(Arg::Val);
                // Where nothing may be touched nothing can be brought in, which is told; it is locked all the same.
                if vma.prot == 0 {
                    b.try_call(libc::SYS_mlock2, args);
                } else {
                    b.call(libc::SYS_mlock2, args);
                }
            }
        }
        self.runner(pid.0 as i32).run(&b).map(drop)
    }
}
