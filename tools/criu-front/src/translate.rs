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

/// Arguments of restore that are no descriptors.
pub fn restore(wanted: &Wanted) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    if wanted.cgroups == Cgroups::Ignore {
        add("--cgroup", "ignore");
    } else {
        // The engine has put us where the tree belongs, or says where that is.
        let place = wanted.cgroup_roots.first().map_or(".", |(_, path)| path.as_str());
        if wanted.cgroup_roots.iter().any(|(_, path)| path != place) {
            bail!("cg_root: the tree is to be in different places of different hierarchies");
        }
        add("--cgroup", &format!("join:{place}"));
    }
    // What of the outside nothing was given for.
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
