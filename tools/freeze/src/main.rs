//! Holds a process tree still and writes what it is; see doc/freeze.md.
#![forbid(unsafe_code)]

mod cli;
mod command;
mod commit;
mod failure;
mod interrupt;
mod requests;
mod starter;
mod stop;
mod write;

fn main() -> std::process::ExitCode {
    floe_toolkit::main("freeze", cli::run)
}
