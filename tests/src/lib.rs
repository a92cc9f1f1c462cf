//! Fixtures and end-to-end tests.

pub mod made;
