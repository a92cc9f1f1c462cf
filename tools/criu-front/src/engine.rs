//! Notifications: what an engine is told in the midst of the work, and what it answers.

use crate::{
    channel::Channel,
    protocol::{Notify, Response, kind},
};
use anyhow::{Context, Result, bail, ensure};
use std::{os::fd::BorrowedFd, process::Command, rc::Rc};

/// An engine, or nobody where a command line was typed; and programs that are run at each step.
pub struct Engine {
    channel: Option<Rc<Channel>>,
    /// It wants to be told.
    notify: bool,
    scripts: Vec<String>,
}

impl Engine {
    /// Behind a channel.
    pub fn new(channel: Option<Rc<Channel>>, notify: bool, scripts: &[String]) -> Self {
        Self { channel, notify, scripts: scripts.to_vec() }
    }

    /// Tells it of a step and waits until it has done its part. It may refuse, or be gone.
    pub fn tell(&self, script: &str, pid: Option<i32>, with: Option<BorrowedFd<'_>>) -> Result<()> {
        self.scripts.iter().try_for_each(|program| run(program, script, pid))?;
        let Some(channel) = self.channel.as_ref().filter(|_| self.notify) else { return Ok(()) };
        let notify = Some(Notify { script: Some(script.to_owned()), pid });
        let response = Response { kind: kind::NOTIFY, success: true, notify, ..Default::default() };
        channel.send(&response, with)?;
        let answer = channel.receive()?.with_context(|| {
            format!("the engine is gone: it has not answered the notification {script}")
        })?;
        if answer.kind != kind::NOTIFY || answer.notify_success != Some(true) {
            bail!("the engine has refused at the notification {script}");
        }
        Ok(())
    }

    /// Whether it is gone.
    pub fn is_gone(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.has_hung_up())
    }

    /// What it is heard through.
    pub fn channel(&self) -> Option<&Channel> {
        self.channel.as_deref()
    }
}

/// Runs a program (`--action-script`), which is told of the step in its environment.
fn run(program: &str, script: &str, pid: Option<i32>) -> Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", program]).env("CRTOOLS_SCRIPT_ACTION", script);
    command.env("CRTOOLS_IMAGE_DIR", ".");
    if let Some(pid) = pid {
        command.env("CRTOOLS_INIT_PID", pid.to_string());
    }
    let status = command.status().with_context(|| format!("unable to run {program}"))?;
    ensure!(status.success(), "{program} has failed at the step {script}: {status}");
    Ok(())
}
