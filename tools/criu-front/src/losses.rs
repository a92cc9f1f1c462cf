//! What does not come back, as the image tells it: the log of a dump says so, and not only that of the restore.

use crate::{files::IMAGE, log::Log, tools};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

/// Kinds of records from here on are memory and contents.
const FIRST_BULK_KIND: u64 = 100;

/// Says all losses of the image in the current directory.
pub fn say(log: &Log) -> Result<()> {
    let mut command = tools::tool("imgpack")?;
    command.args(["--json", IMAGE]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().context("unable to start imgpack")?;
    let lines = child.stdout.take().context("imgpack has no output")?;
    for line in BufReader::new(lines).lines() {
        let record: Value = serde_json::from_str(&line.context("unable to read an image")?)?;
        if record["kind"].as_u64().is_some_and(|kind| kind >= FIRST_BULK_KIND) {
            break;
        }
        if record["name"] == "Losses" {
            let lost = record["body"]["lost"].as_array().into_iter().flatten();
            lost.for_each(|lost| log.warn(&sentence(lost)));
        }
    }
    // What comes behind is of no interest.
    let _ = child.kill();
    child.wait().context("unable to wait for imgpack").map(drop)
}

/// `lost: pid 5: fd 7: problem`.
fn sentence(lost: &Value) -> String {
    let text = |name: &str| lost[name].as_str().unwrap_or_default().to_owned();
    let pid = lost["pid"].as_u64().map(|pid| format!("pid {pid}: ")).unwrap_or_default();
    format!("lost: {pid}{}: {}", text("object"), text("problem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_a_sentence() {
        let lost = r#"{"pid":5,"object":"fd 7","rule":"x","problem":"it is gone","hint":""}"#;
        assert_eq!(sentence(&serde_json::from_str(lost).unwrap()), "lost: pid 5: fd 7: it is gone");
        let lost = r#"{"pid":null,"object":"cgroup /a","problem":"it is gone"}"#;
        assert_eq!(sentence(&serde_json::from_str(lost).unwrap()), "lost: cgroup /a: it is gone");
    }
}
