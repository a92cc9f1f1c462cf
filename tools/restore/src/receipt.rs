//! `--receipt`: who has sent the tree says when it may run, and hears that it does. Until it has said so, whatever ends it or the
//! way to it ends the tree with us.

use anyhow::{Context, Result, bail, ensure};
use floe_toolkit::Input;
use nix::sys::stat::{SFlag, fstat};
use std::{
    fs::File,
    io::{Read, Write, stdin},
};

/// Where the sender hears of the tree.
pub struct Receipt(File);

impl Receipt {
    /// By the number of a descriptor of ours. The answers come behind the stream, on standard input.
    pub fn new(fd: Option<i32>) -> Result<Option<Self>> {
        let Some(file) = floe_toolkit::lines("--receipt", fd)? else { return Ok(None) };
        let kind = fstat(stdin()).context("unable to look at standard input")?.st_mode;
        let kind = SFlag::from_bits_truncate(kind) & SFlag::S_IFMT;
        if kind != SFlag::S_IFIFO && kind != SFlag::S_IFSOCK {
            let problem =
                "--receipt: nobody can answer on standard input, which is no pipe or socket";
            return Err(floe_toolkit::Usage(problem.into()).into());
        }
        Ok(Some(Self(file)))
    }

    /// For more to be told there.
    pub fn file(&self) -> Result<File> {
        self.0.try_clone().context("unable to keep the way to the sender open")
    }

    /// The tree is complete: waits until it may run.
    pub fn built(&self) -> Result<()> {
        self.say("built")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        // Byte by byte: what is behind the line is not ours.
        while byte != *b"\n" && answer.len() < LONGEST {
            let read = stdin().lock().read(&mut byte);
            if read.context("unable to hear from the sender")? == 0 {
                bail!("the sender is gone, or does not want the tree to run");
            }
            answer.push(byte[0]);
        }
        ensure!(answer == b"go\n", "the sender does not want the tree to run");
        Ok(())
    }

    /// It runs. Nobody hears of it where the sender has gone meanwhile: it runs all the same.
    pub fn runs(&self) {
        if let Err(error) = self.say("runs") {
            floe_toolkit::warn("restore", &format!("{error:#}"));
        }
    }

    fn say(&self, word: &str) -> Result<()> {
        (&self.0).write_all(format!("{word}\n").as_bytes()).context("unable to tell the sender")
    }
}

/// Where the stream comes from. Who is to answer behind it must not wait for us to end.
pub fn input(receipt: Option<&Receipt>) -> Result<Input> {
    match receipt {
        Some(_) => Ok(floe_toolkit::foreign_input()?),
        None => floe_toolkit::input("restore < FILE"),
    }
}

/// Longest answer, bytes.
const LONGEST: usize = 16;
