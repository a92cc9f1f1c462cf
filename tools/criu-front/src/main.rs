//! What container engines start in the place of criu(8); see doc/criu-front.md.
#![forbid(unsafe_code)]

mod chain;
mod channel;
mod config;
mod directory;
mod dump;
mod engine;
mod features;
mod files;
mod job;
mod label;
mod log;
mod losses;
mod names;
mod protocol;
mod request;
mod restore;
mod serve;
mod stages;
mod tools;
mod translate;
mod words;

use floe_toolkit::Usage;
use std::process::ExitCode;

/// The version of the programs that engines know, which they compare with what they need.
pub const VERSION: (i32, i32) = (4, 2);

fn main() -> ExitCode {
    floe_toolkit::main("criu", run)
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["swrk", fd] => serve::serve(number(fd)?),
        ["--version" | "-V"] => {
            let (major, minor) = VERSION;
            Ok(floe_toolkit::say(&format!("Version: {major}.{minor}\n"))?)
        }
        [stages::COMMAND, control, image, then] => stages::run(number(control)?, image, then),
        ["check", ref rest @ ..] => features::check(rest),
        ["-h" | "--help"] => Ok(floe_toolkit::say(words::HELP)?),
        [action @ ("dump" | "pre-dump" | "restore"), ref rest @ ..] => words::run(action, rest),
        _ => Err(Usage(words::HELP.trim_end().to_owned()).into()),
    }
}

fn number(word: &str) -> anyhow::Result<i32> {
    word.parse().map_err(|_| Usage(format!("{word} is no descriptor")).into())
}
