//! See doc/dumpfs.md.
fn main() {}
