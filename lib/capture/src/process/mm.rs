//! The numbers of an address space.

use crate::{
    Result,
    other_names::{self, Lost},
    path::Root,
    resource::OfProcess,
    subject::Process,
};
use floe_parasite::{Arg, Batch, Call, Replies};
use floe_records::{Addr, FileRef, Finding, Findings, Mm, PAGE_SIZE, PROTECTION_KEYS, Pid};
use floe_sys::{Error, open_unnoticed};
use std::{io::Read, os::unix::fs::MetadataExt};

/// The last page of the largest address space.
const NOWHERE: u64 = 0x00ff_ffff_ffff_f000;

/// Where the answers will be found.
pub(crate) struct Asked {
    brk: Call,
    /// Of each protection key, whether the process has allocated it.
    keys: Vec<(u8, Call)>,
}

impl OfProcess for Mm {
    type Asked = Asked;

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let pid = Pid(process.pid);
        let mut ident = [0; 5];
        let program = open_unnoticed(&floe_proc::path(process.pid, "exe"));
        let read = program.is_ok_and(|mut program| program.read_exact(&mut ident).is_ok());
        if read && ident == *b"\x7fELF\x01" {
            let problem = "32-bit programs cannot be captured";
            out.refuse(Finding::of(pid, "the program", "mm.bits", problem));
        }
        let exe = &process.exe;
        let same = |file: &FileRef| file.deleted && (file.dev, file.ino) == (exe.dev, exe.ino);
        let mut mapped = process.layout.vmas.iter().filter_map(|vma| vma.file.as_ref());
        if exe.deleted && exe.ino == 0 {
            let problem = "its file was removed or replaced, and its union file system does not open it any more";
            let finding = Finding::of(pid, "the program", "mm.exe", problem);
            out.refuse(finding.hint("start the program again"));
        } else if exe.deleted {
            let mapped = mapped.any(same);
            let other = other_name(process, mapped)?;
            if !mapped {
                let problem = other.unwrap_or("its file was removed, and it is not mapped");
                out.refuse(Finding::of(pid, "the program", "mm.exe", problem));
            }
        } else if let Some(problem) = shown(process)? {
            out.lose(Finding::of(pid, "the program", "file.name", problem));
        }
        Ok(())
    }

    fn ask(_: &Process<'_>, batch: &mut Batch) -> Result<Asked> {
        let brk = batch.call(libc::SYS_brk, [0.into()]);
        let keys = Some(PROTECTION_KEYS).filter(|_| floe_sys::has_protection_keys());
        // Nothing can be mapped there: the kernel says ENOMEM where it knows the key, and otherwise EINVAL.
        let mut ask = |key: u8| {
            let args = [NOWHERE, PAGE_SIZE, 0, key.into()].map(Arg::Val);
            (key, batch.try_call(libc::SYS_pkey_mprotect, args))
        };
        Ok(Asked { brk, keys: keys.into_iter().flatten().map(&mut ask).collect() })
    }

    fn take(process: &Process<'_>, asked: Asked, replies: &Replies) -> Result<Vec<Self>> {
        let Asked { brk, keys } = asked;
        let known = keys.iter().filter(|key| replies.errno(key.1) == Some(libc::ENOMEM));
        let pid = process.pid;
        let none = || Error::because("read its address space", "it has none").pid(pid);
        let mm = process.stat.mm.ok_or_else(none)?;
        Ok(vec![Mm {
            pid: Pid(pid),
            exe: process.exe.clone(),
            code: (Addr(mm.start_code), Addr(mm.end_code)),
            data: (Addr(mm.start_data), Addr(mm.end_data)),
            brk: (Addr(mm.start_brk), Addr(replies.value(brk)?)),
            stack: Addr(mm.start_stack),
            args: (Addr(mm.arg_start), Addr(mm.arg_end)),
            env: (Addr(mm.env_start), Addr(mm.env_end)),
            auxv: floe_proc::read(pid, "auxv")?.into(),
            vdso_hash: vdso_hash(process)?,
            keys: known.fold(0, |bits, key| bits | 1 << key.0),
        }])
    }
}

/// Has another name of a program that was removed searched for, where it has one: far if it is needed, since the program is not
/// mapped. Gives why that is not known.
fn other_name(process: &Process<'_>, mapped: bool) -> Result<Option<&'static str>> {
    let at = floe_proc::path(process.pid, "exe");
    if std::fs::metadata(&at).map_or(0, |meta| meta.nlink()) == 0 {
        return Ok(None);
    }
    let (root, exe) = (Root::of(process.pid)?, &process.exe);
    let lost = Lost { at, file: (exe.dev, exe.ino) };
    if mapped {
        other_names::wish(&root, lost);
        return Ok(None);
    }
    Ok(Some(other_names::problem(&root, lost)))
}

/// What is said of a program that has lost its name, and another one of which is known.
fn shown(process: &Process<'_>) -> Result<Option<String>> {
    let link = floe_proc::link(process.pid, "exe")?;
    if !Root::may_be_removed(&link) {
        return Ok(None);
    }
    let (link, _) = Root::of(process.pid)?.below(link);
    Ok(other_names::shown(&link, &process.exe.path.0))
}

fn vdso_hash(process: &Process<'_>) -> Result<u64> {
    let Some((start, end)) = process.vdso() else { return Ok(0) };
    let mut bytes = vec![0; (end.0 - start.0) as usize];
    floe_sys::read_memory(process.pid as i32, start.0, &mut bytes)?;
    Ok(twox_hash::XxHash3_64::oneshot(&bytes))
}
