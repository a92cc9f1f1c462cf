//! See the tool that uses this; its builder fills it.
