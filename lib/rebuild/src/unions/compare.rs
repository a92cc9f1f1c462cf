//! Is a union mount the one that was there?

use super::plain_options;
use floe_records::Union;
use floe_unions::Stack;
use std::collections::BTreeSet;

/// Options of a mount that programs notice; times of access are none of them.
const NOTICED: [&[u8]; 5] = [b"ro", b"nosuid", b"nodev", b"noexec", b"nosymfollow"];

/// How a mount differs from the one that was there.
pub(super) fn differs(union: &Union, stack: &Stack) -> Option<String> {
    let mount = &stack.mount;
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if mount.fs_type != union.fs_type.0 {
        return Some(format!("is {} now", shown(&mount.fs_type)));
    }
    if mount.root != union.root.0 {
        return Some(format!(
            "shows its part {} now, and showed {}",
            shown(&mount.root),
            union.root
        ));
    }
    let Some(now) = &stack.branches else { return Some("has branches that nothing tells".into()) };
    for (n, (path, permission)) in union.branches.iter().enumerate() {
        let there = now.get(n).map(|branch| branch.path.as_slice());
        if there != Some(&path.0) {
            let there = there.map_or("none".into(), shown);
            return Some(format!("has {there} as branch {n} now, and had {path}"));
        }
        let there = now.get(n).map_or(&[][..], |branch| &branch.permission);
        if there != permission.0 {
            return Some(format!("has {path} as {} now, and had it as {permission}", shown(there)));
        }
    }
    if now.len() > union.branches.len() {
        return Some("has more branches now".to_owned());
    }
    let options = |text: &[u8]| -> BTreeSet<Vec<u8>> {
        let all = plain_options(text).into_iter();
        // The kernel chooses the uuid by what it finds in the upper directory, and does not show what is off unless that is on in
        // others that it mounts, which another kernel may have otherwise (xino_auto and others of /sys/module/overlay).
        let alike = |option: &Vec<u8>| {
            let free = [&b"workdir="[..], b"uuid="].iter().any(|p| option.starts_with(p));
            free || option.ends_with(b"=off")
        };
        all.filter(|option| !alike(option)).collect()
    };
    let flags = |text: &[u8]| -> BTreeSet<Vec<u8>> {
        let all = text.split(|b| *b == b',').filter(|flag| NOTICED.contains(flag));
        all.map(<[u8]>::to_vec).collect()
    };
    let pairs = [
        (options(&union.options.0), options(&mount.options)),
        (flags(&union.flags.0), flags(&mount.flags)),
    ];
    pairs.iter().find_map(|(was, is)| {
        let lost = was.difference(is).next().map(|option| format!("had {}", shown(option)));
        let new = is.difference(was).next().map(|option| format!("has {} now", shown(option)));
        match (lost, new) {
            (Some(lost), Some(new)) => Some(format!("{new}, and {lost}")),
            (lost, new) => lost.map(|lost| format!("{lost}, and has it no more")).or(new),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::union, *};
    use floe_unions::{Branch, Mount};

    fn stack(options: &str, flags: &str, branches: &[(&str, &str)]) -> Stack {
        let mount = Mount {
            root: b"/".to_vec(),
            fs_type: b"aufs".to_vec(),
            options: options.into(),
            flags: flags.into(),
            ..Mount::default()
        };
        let branch = |(path, permission): &(&str, &str)| Branch {
            path: (*path).into(),
            permission: (*permission).into(),
        };
        Stack { mount, branches: Some(branches.iter().map(branch).collect()) }
    }

    #[test]
    fn every_difference_is_told() {
        let was = union("aufs", "rw,si=1,dirperm1,create=rr", &[("/a", "rw"), ("/b", "ro+wh")]);
        let same = [("/a", "rw"), ("/b", "ro+wh")];
        let says = |options, flags, branches: &[(&str, &str)]| {
            differs(&was, &stack(options, flags, branches)).unwrap_or_default()
        };
        let options = "rw,si=2,create=rr,dirperm1";
        assert_eq!(says(options, "rw,noatime", &same), "");
        assert_eq!(
            says(options, "rw,relatime", &[same[1], same[0]]),
            "has /b as branch 0 now, and had /a"
        );
        assert_eq!(
            says(options, "rw", &[same[0], ("/b", "ro")]),
            "has /b as ro now, and had it as ro+wh"
        );
        assert_eq!(says("rw,si=2,create=rr", "rw", &same), "had dirperm1, and has it no more");
        assert_eq!(
            says("rw,create=tdp,dirperm1", "rw", &same),
            "has create=tdp now, and had create=rr"
        );
        assert_eq!(says(options, "rw,nosuid", &same), "has nosuid now");
        let was = union("overlay", "rw,lowerdir=/a,xino=off", &[("/a", "ro")]);
        let overlay = |options| {
            let there = stack(options, "rw", &[("/a", "ro")]);
            let mount = Mount { fs_type: b"overlay".to_vec(), ..there.mount };
            differs(&was, &Stack { mount, ..there })
        };
        assert_eq!(overlay("rw,lowerdir=/a"), None);
        assert_eq!(overlay("rw,lowerdir=/a,xino=on").unwrap(), "has xino=on now");
        let was = union("aufs", "rw,si=1,dirperm1,create=rr", &same);
        let part = Stack {
            mount: Mount { root: b"/sub".to_vec(), ..stack(options, "rw", &same).mount },
            branches: None,
        };
        assert_eq!(differs(&was, &part).unwrap(), "shows its part /sub now, and showed /");
    }
}
