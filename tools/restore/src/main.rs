//! See doc/restore.md.
fn main() {}
