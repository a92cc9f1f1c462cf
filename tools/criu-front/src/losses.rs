//! What does not come back, as the image tells it: the log of a dump says so, and not only that of the restore.

use crate::log::Log;
use anyhow::{Context, Result};
use floe_records::{Finding, Losses};
use floe_stream::{Item, Reader};
use std::{fs::File, os::fd::OwnedFd};

/// Says all losses of an image.
pub fn say(image: File, log: &Log) -> Result<()> {
    let mut reader = Reader::new(floe_toolkit::Input::from(OwnedFd::from(image)));
    // Behind the seal come memory and contents.
    while !reader.sealed() {
        let Item::Record(record) = reader.next().context("unable to read the image")? else {
            break;
        };
        if record.is::<Losses>() {
            record.decode::<Losses>()?.lost.iter().for_each(|lost| log.warn(&sentence(lost)));
        }
    }
    Ok(())
}

/// `lost: pid 5: fd 7: problem`, without what could be done about it.
fn sentence(lost: &Finding) -> String {
    let bare = Finding { hint: String::new(), ..lost.clone() };
    format!("lost: {bare}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::Pid;

    #[test]
    fn a_loss_is_a_sentence() {
        let lost = Finding::of(Pid(5), "fd 7", "x", "it is gone").hint("wait");
        assert_eq!(sentence(&lost), "lost: pid 5: fd 7: it is gone");
    }
}
