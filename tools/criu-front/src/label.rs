//! Labels of security modules: a tree comes back with that of restore, which is ours.

use anyhow::Result;

/// Whether the label that an engine asks for (`apparmor:NAME`, `selinux:CONTEXT`) is that which the tree will have.
pub fn is_ours(wanted: &str) -> Result<bool> {
    let own = floe_proc::label(std::process::id())?;
    let own = own.map(|own| String::from_utf8_lossy(&own).into_owned());
    Ok(same(own.as_deref(), wanted))
}

/// Without a security module nothing is confined.
fn same(own: Option<&str>, wanted: &str) -> bool {
    let name = wanted.split_once(':').map_or(wanted, |(_, name)| name);
    let own = own.unwrap_or("unconfined");
    // AppArmor puts the mode behind the name.
    own == name || own.strip_prefix(name).is_some_and(|mode| mode.starts_with(" ("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_compared_with_ours() {
        assert!(same(None, "apparmor:unconfined") && same(Some("unconfined"), "unconfined"));
        assert!(same(Some("box (enforce)"), "apparmor:box"));
        assert!(same(Some("a:b:c:s0:c1,c2"), "selinux:a:b:c:s0:c1,c2"));
        assert!(!same(Some("boxes (enforce)"), "apparmor:box") && !same(None, "apparmor:box"));
    }
}
