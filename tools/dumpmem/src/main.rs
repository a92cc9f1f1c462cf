//! See doc/dumpmem.md.
fn main() {}
