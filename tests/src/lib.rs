//! Fixtures and end-to-end tests.
