//! The command line, the same way for every tool.

use clap::Parser;
use clap_complete::Shell;
use std::{env::args_os, io};

/// The word that, as the first of two, asks for a completion script: `freeze --completions zsh`. `scripts/install.sh` installs
/// them; it is in no help text.
const COMPLETIONS: &str = "--completions";

/// The arguments of this tool. Ends it with exit code 2 where they are wrong, and with 0 where they ask for a help text, the
/// version or a completion script.
pub fn arguments<T: Parser>() -> T {
    let words: Vec<_> = args_os().skip(1).collect();
    if let [asks, shell] = &words[..]
        && asks == COMPLETIONS
        && let Some(shell) = shell.to_str().and_then(|shell| shell.parse::<Shell>().ok())
    {
        complete(shell, T::command());
        std::process::exit(0);
    }
    T::parse()
}

fn complete(shell: Shell, mut command: clap::Command) {
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut io::stdout());
}
