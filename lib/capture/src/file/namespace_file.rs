//! Open namespaces. One that no process of the tree is a member of is refused.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfFile,
};
use floe_records::{AnyRecord, FileId, Finding, Findings, NamespaceFile, NsId, NsKind};
use std::collections::BTreeSet;

impl OfFile for NamespaceFile {
    fn claims(seen: &Descriptor<'_>) -> bool {
        !seen.is_path() && parse(seen.link).is_some()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = || Problem::new("file.namespace", "it is of an unknown kind");
        let (kind, namespace) = parse(seen.link).ok_or_else(unknown)?;
        Ok(NamespaceFile { file, kind, namespace })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let mut members = None;
        for (open, what) in &files.all {
            let AnyRecord::NamespaceFile(it) = what else { continue };
            let members = match &members {
                Some(members) => members,
                None => members.insert(members_of(files)?),
            };
            if !members.contains(&it.namespace) {
                let object = format!("{}:[{}]", it.kind.name(), it.namespace);
                let problem = "no process of the tree is a member of this namespace";
                out.refuse(Finding::of(open.pid, object, "file.namespace", problem));
            }
        }
        Ok(())
    }
}

/// Kind and number of a link such as `net:[4026531840]`.
fn parse(link: &[u8]) -> Option<(NsKind, NsId)> {
    let (kind, number) = std::str::from_utf8(link).ok()?.split_once(":[")?;
    let kind = NsKind::ALL.into_iter().find(|known| known.name() == kind)?;
    Some((kind, NsId(number.strip_suffix(']')?.parse().ok()?)))
}

/// The namespaces of all processes, and those of their children to come.
fn members_of(files: &Files) -> Result<BTreeSet<NsId>> {
    let mut all = BTreeSet::new();
    for pid in &files.pids {
        all.extend(floe_proc::namespaces(pid.0)?.into_iter().map(|(_, id)| NsId(id)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        assert_eq!(parse(b"net:[4026531840]"), Some((NsKind::Net, NsId(4_026_531_840))));
        for other in ["pipe:[5]", "socket:[5]", "net:[x]", "net:[5", "/net:[5]", ""] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}
