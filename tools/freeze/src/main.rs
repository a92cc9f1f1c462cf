//! Holds a process tree still and writes what it is; see doc/freeze.md.
#![forbid(unsafe_code)]

mod cli;
mod command;
mod commit;
mod failure;
mod interrupt;
mod keeper;
mod requests;
mod starter;
mod stop;
mod tracking;
mod write;

fn main() -> std::process::ExitCode {
    let is_keeper = std::env::args_os().nth(1).is_some_and(|word| word == keeper::WORD);
    floe_toolkit::main("freeze", if is_keeper { keeper::run } else { cli::run })
}
