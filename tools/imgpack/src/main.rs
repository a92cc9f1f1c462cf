//! See doc/imgpack.md.
fn main() {}
