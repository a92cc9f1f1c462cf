//! See doc/freeze.md.
fn main() {}
