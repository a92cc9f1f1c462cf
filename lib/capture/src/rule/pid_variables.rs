//! Variables of the pid namespace of a tree (proc_sys_kernel(5), proc_sys_vm(5)), where that is its own. Those of namespaces below show
//! only to their members.

use crate::{Result, origin};
use floe_records::{Finding, Findings, NsKind};
use floe_sys::Error;
use std::{io::ErrorKind, path::Path};

/// Those that a namespace has of its own, and what a new one has where that is not the value of the one around it. A kernel that
/// has one for the whole system (`pid_max` before Linux 6.14) shows that everywhere.
const ALL: [(&str, Option<&str>); 2] =
    [("kernel/pid_max", Some("4194304")), ("vm/memfd_noexec", None)];

/// The value of each, where the kernel has it.
pub(crate) type Values = [Option<String>; ALL.len()];

/// What we see where we are.
pub(crate) fn read() -> Result<Values> {
    let mut all = [const { None }; ALL.len()];
    for (value, (name, _)) in all.iter_mut().zip(ALL) {
        let path = Path::new("/proc/sys").join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => *value = Some(text.trim_end().to_owned()),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::new(format!("read {}", path.display()), e).into()),
        }
    }
    Ok(all)
}

/// Looks at those of the namespace that we have entered.
pub(crate) fn check(out: &mut Findings) -> Result<()> {
    let Some(around) = origin::pid_variables() else { return Ok(()) };
    if !origin::has_left(NsKind::Pid)? {
        return Ok(());
    }
    for (((name, fresh), around), value) in ALL.iter().zip(around).zip(read()?) {
        let Some(value) = value else { continue };
        if Some(&value) != around.as_ref() && Some(value.as_str()) != *fresh {
            let problem = format!(
                "it is {value} in the pid namespace of the tree; one that is made again has that of any new one"
            );
            out.lose(Finding::about(name.replace('/', "."), "namespace.variable", problem));
        }
    }
    Ok(())
}
