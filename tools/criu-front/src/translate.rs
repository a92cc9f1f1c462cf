//! What is asked for in the words of the tools.

use crate::{
    files::Outside,
    request::{Cgroups, Wanted},
};
use anyhow::{Context, Result, bail};

/// Kinds of namespaces that restore can join, as engines and as floe call them.
const KINDS: [&str; 6] = ["user", "cgroup", "ipc", "uts", "net", "mnt"];

/// Fails where a namespace from outside could not be joined by the restore of this dump.
pub fn can_come_back(wanted: &Wanted) -> Result<()> {
    for what in &wanted.external {
        let Some((kind, _)) = what.split_once('[') else { continue };
        if ["pid", "time"].contains(&kind) {
            bail!("external {what}: the {kind} namespace of others cannot be joined by a restore");
        }
    }
    Ok(())
}

/// Arguments of freeze that say what may be captured, and how.
pub fn freeze(wanted: &Wanted) -> Vec<String> {
    let mut words = Vec::new();
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
    // Hooks of the engine fill it at restore. One from outside is joined.
    if wanted.empty & libc::CLONE_NEWNET as u32 != 0 {
        words.extend(["--empty".to_owned(), "net".to_owned()]);
    }
    words
}

/// Arguments of restore that are no descriptors. `outside` is what was said at the dump.
pub fn restore(wanted: &Wanted, outside: &Outside) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    add("--cgroup", &cgroup(wanted, &own_cgroups()?)?);
    if let Some(root) = &wanted.root {
        add("--root", root);
    }
    for (place, name) in &outside.mounts {
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
    wanted.on_change.iter().for_each(|rule| add("--on-change", rule));
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

/// What takes the place of something outside: our descriptor `fd`, of a namespace, or of a file that is called `key`.
pub fn inherited(key: &str, fd: &str, outside: &Outside) -> Result<[String; 2]> {
    let named = |it: &&String| it.rsplit_once("]:").is_some_and(|(_, name)| name == key);
    let Some(what) = outside.external.iter().find(named) else {
        return Ok(["--inherit".to_owned(), format!("{key}={fd}")]);
    };
    let kind = what.split('[').next().unwrap_or_default();
    if !KINDS.contains(&kind) {
        bail!(
            "inherit_fd {key}: what comes from outside is of the kind {kind}, and cannot be joined"
        );
    }
    Ok(["--join".to_owned(), format!("{kind}=/proc/self/fd/{fd}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_joined_is_not_dumped() {
        let of = |what: &str| Wanted { external: vec![what.to_owned()], ..Wanted::default() };
        assert!(can_come_back(&of("net[5]:extRootNetNS")).is_ok());
        assert!(can_come_back(&of("dev[8/1]:disk")).is_ok());
        let error = can_come_back(&of("pid[5]:extRootPidNS")).unwrap_err().to_string();
        assert!(error.starts_with("external pid[5]:extRootPidNS: the pid namespace of others"));
    }

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
        let external = vec!["net[5]:extRootNetNS".to_owned(), "pid[6]:extRootPidNS".to_owned()];
        let outside = Outside { mounts: places.to_vec(), external };
        let joined = inherited("extRootNetNS", "65", &outside).unwrap();
        assert_eq!(joined, ["--join", "net=/proc/self/fd/65"]);
        assert!(inherited("extRootPidNS", "65", &outside).is_err());
        let given = inherited("pipe:[7]", "66", &outside).unwrap();
        assert_eq!(given, ["--inherit", "pipe:[7]=66"]);
        let mounts = vec![pair("/etc/hosts", "/srv/hosts"), pair("/dev/null", "/dev/null")];
        let words = restore(&Wanted { mounts, ..Wanted::default() }, &outside).unwrap().join(" ");
        assert!(
            words.contains("--external /etc/hosts=/srv/hosts --external /proc/kcore=/dev/null")
        );
        assert!(!words.contains("/x="), "{words}");
    }
}
