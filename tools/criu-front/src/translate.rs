//! What is asked for in the words of the tools.

use crate::request::{Cgroups, Wanted};
use anyhow::{Context, Result, bail};

/// Kinds of namespaces that restore can join, as engines and as floe call them.
const KINDS: [&str; 6] = ["user", "cgroup", "ipc", "uts", "net", "mnt"];

/// Arguments of freeze, without the pid.
pub fn freeze(wanted: &Wanted) -> Vec<String> {
    let mut words = vec!["--then".to_owned()];
    words.push(if wanted.leave_running { "run" } else { "kill" }.to_owned());
    let mut deny = |what: &str, allowed: bool| {
        if !allowed {
            words.extend(["--deny".to_owned(), what.to_owned()]);
        }
    };
    deny("connections", wanted.tcp_established || wanted.tcp_close);
    deny("outside-sockets", wanted.ext_unix_sk);
    deny("outside-terminals", wanted.shell_job || wanted.orphan_pts_master);
    if wanted.tcp_close {
        words.extend(["--tcp".to_owned(), "close".to_owned()]);
    }
    words
}

/// Arguments of restore that are no descriptors. `places` are those of mounts from outside, with the names by which what is asked
/// for calls them.
pub fn restore(wanted: &Wanted, places: &[(String, String)]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    add("--cgroup", &cgroup(wanted, &own_cgroups()?)?);
    if let Some(root) = &wanted.root {
        add("--root", root);
    }
    for (place, name) in places {
        if let Some((_, source)) = wanted.mounts.iter().find(|(own, _)| own == name) {
            add("--external", &format!("{place}={source}"));
        }
    }
    // Engines stop a container before a dump, and expect that one to run that they start.
    words.push("--thaw".to_owned());
    let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    // Outside files that nothing was given for.
    add("--outside", "refuse");
    add("--outside", "broken:pipe:*");
    if wanted.ext_unix_sk {
        add("--outside", "broken:socket:*");
    }
    for (kind, path) in &wanted.join {
        if !KINDS.contains(&kind.as_str()) {
            bail!("join_ns: a namespace of the kind {kind} cannot be joined");
        }
        add("--join", &format!("{kind}={path}"));
    }
    Ok(words)
}

/// Where the tree comes back among cgroups: where we are, for most engines have put us there already, or where they say.
/// `own` are our cgroups, each with the controllers of its hierarchy.
fn cgroup(wanted: &Wanted, own: &[(String, String)]) -> Result<String> {
    if wanted.cgroups == Cgroups::Ignore {
        return Ok("ignore".to_owned());
    }
    let ours = |controller: &Option<String>| {
        let has = |all: &String| match controller {
            Some(name) => all.split(',').any(|one| bare(one) == bare(name)),
            None => all.is_empty(),
        };
        own.iter().find(|(all, _)| has(all)).map(|(_, path)| path)
    };
    let others = wanted.cgroup_roots.iter().filter(|(name, path)| ours(name) != Some(path));
    let mut others = others.map(|(_, path)| path.as_str());
    let Some(place) = others.next() else { return Ok("join:.".to_owned()) };
    if others.any(|other| other != place) {
        let all: Vec<String> = wanted.cgroup_roots.iter().map(|root| format!("{root:?}")).collect();
        let all = all.join(", ");
        bail!("cg_root: the tree is to be in different places of different hierarchies: {all}");
    }
    Ok(format!("join:{place}"))
}

/// The name of a hierarchy without controllers.
fn bare(name: &str) -> &str {
    name.strip_prefix("name=").unwrap_or(name)
}

fn own_cgroups() -> Result<Vec<(String, String)>> {
    let text =
        std::fs::read_to_string("/proc/self/cgroup").context("unable to read our cgroups")?;
    let line = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':').map(|(all, path)| (all.to_owned(), path.to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// What is to take the place of something outside: the name of that, and our descriptor.
pub fn inherited(wanted: &Wanted) -> Result<Vec<(String, i32)>> {
    let mut all = Vec::new();
    for (key, fd) in &wanted.inherit {
        let fd = *fd;
        u32::try_from(fd).with_context(|| format!("inherit_fd {key}: {fd} is no descriptor"))?;
        all.push((key.clone(), fd));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_ours_or_said() {
        let own = [("".into(), "/box".into()), ("cpu,cpuacct".into(), "/box".into())];
        let mut wanted = Wanted { cgroups: Cgroups::Make, ..Wanted::default() };
        assert_eq!(cgroup(&wanted, &own).unwrap(), "join:.");
        wanted.cgroup_roots = vec![(Some("cpu".into()), "/box".into()), (None, "/box".into())];
        assert_eq!(cgroup(&wanted, &own).unwrap(), "join:.");
        wanted.cgroup_roots = vec![(None, "/other".into())];
        assert_eq!(cgroup(&wanted, &own).unwrap(), "join:/other");
        wanted.cgroup_roots.push((Some("cpu".into()), "/third".into()));
        assert!(cgroup(&wanted, &own).is_err());
        wanted.cgroups = Cgroups::Ignore;
        assert_eq!(cgroup(&wanted, &own).unwrap(), "ignore");
    }

    #[test]
    fn mounts_are_found_by_their_names() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let places =
            [pair("/etc/hosts", "/etc/hosts"), pair("/proc/kcore", "/dev/null"), pair("/x", "/x")];
        let mounts = vec![pair("/etc/hosts", "/srv/hosts"), pair("/dev/null", "/dev/null")];
        let words = restore(&Wanted { mounts, ..Wanted::default() }, &places).unwrap().join(" ");
        assert!(
            words.contains("--external /etc/hosts=/srv/hosts --external /proc/kcore=/dev/null")
        );
        assert!(!words.contains("/x="), "{words}");
    }
}
