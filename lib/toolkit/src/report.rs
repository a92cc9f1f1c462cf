//! Sentences for people that are no error.

/// Says something on standard error, behind the name of the tool.
pub fn warn(tool: &str, sentence: &str) {
    eprintln!("{tool}: {sentence}");
}
