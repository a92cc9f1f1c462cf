//! Terminals: which of restore's own takes the place of one, and its modes.

use crate::resource::ForDescriptor;
use floe_records::{FileId, Terminal, Tree};
use floe_sys::{Error, Result};
use nix::{
    fcntl::{OFlag, open},
    sys::{
        stat::Mode,
        termios::{
            ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, Termios, tcgetattr,
            tcsetattr,
        },
    },
};
use std::{io::IsTerminal, os::fd::OwnedFd};

/// The modes are set when the tree is let go, by [`Modes`].
impl ForDescriptor for Terminal {}

/// The number of our standard output or error that is a terminal.
pub(crate) fn ours() -> Option<u32> {
    let terminals = [(1, std::io::stdout().is_terminal()), (2, std::io::stderr().is_terminal())];
    terminals.into_iter().find(|(_, is_terminal)| *is_terminal).map(|(number, _)| number)
}

/// Our terminal with a description of its own.
pub(crate) fn again(number: u32, flags: OFlag) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{number}");
    open(path.as_str(), flags | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| Error::new("open the terminal again", e))
}

/// Terminals that are set as those of the tree were; dropped, they are set back.
#[derive(Default)]
pub struct Modes(Vec<Set>);

struct Set {
    fd: OwnedFd,
    /// What it was set to by others.
    before: Termios,
    /// What the tree wants.
    inside: Termios,
}

impl Modes {
    /// Sets the terminals that the tree is given.
    pub(crate) fn set(tree: &Tree, fd_of: &dyn Fn(FileId) -> Option<OwnedFd>) -> Result<Self> {
        let mut all = Self::default();
        for terminal in tree.all::<Terminal>() {
            let Some(fd) = fd_of(terminal.file).filter(IsTerminal::is_terminal) else { continue };
            let before = tcgetattr(&fd).map_err(fail)?;
            let mut inside = before.clone();
            apply(terminal, &mut inside);
            all.0.push(Set { fd, before, inside });
        }
        all.enter()?;
        Ok(all)
    }

    /// As the tree wants them.
    pub fn enter(&mut self) -> Result<()> {
        for set in &mut self.0 {
            set.before = tcgetattr(&set.fd).map_err(fail)?;
            tcsetattr(&set.fd, SetArg::TCSADRAIN, &set.inside).map_err(fail)?;
        }
        Ok(())
    }

    /// As they were before.
    pub fn leave(&mut self) {
        for set in self.0.iter_mut().rev() {
            // It may be gone.
            if let Ok(inside) = tcgetattr(&set.fd) {
                set.inside = inside;
                let _ = tcsetattr(&set.fd, SetArg::TCSADRAIN, &set.before);
            }
        }
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        self.leave();
    }
}

fn fail(e: nix::Error) -> Error {
    Error::new("set the modes of the terminal", e)
}

fn apply(from: &Terminal, to: &mut Termios) {
    let [input, output, control, local] = from.flags;
    to.input_flags = InputFlags::from_bits_retain(input);
    to.output_flags = OutputFlags::from_bits_retain(output);
    to.control_flags = ControlFlags::from_bits_retain(control);
    to.local_flags = LocalFlags::from_bits_retain(local);
    for (to, from) in to.control_chars.iter_mut().zip(&from.characters.0) {
        *to = *from;
    }
}
