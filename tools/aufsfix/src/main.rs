//! See doc/aufsfix.md.
fn main() {}
