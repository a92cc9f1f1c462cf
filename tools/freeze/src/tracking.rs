//! `--track` and `--since`: what is written between two images.

use crate::{
    failure::plain,
    keeper::{Found, Keeper, Since, start_of},
};
use anyhow::{Context, Result};
use floe_capture::{
    memory::Scanner,
    tracking::{Watched, know},
    tree::Tree,
};
use floe_records::{
    AnyRecord, Bytes, Finding, Parent, Pid, Record, Refusals, Resource, Tracked, USER_END, is_bulk,
};
use floe_stream::{Item, Reader};
use std::{ffi::OsStr, path::Path};

/// What is asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    pub root: u32,
    /// An image, or its id.
    pub since: Option<&'a OsStr>,
    /// What this image is to be called.
    pub id: Option<&'a str>,
    /// Whether changes of the tree are of interest behind this image.
    pub goes_on: bool,
}

/// From the start up to the end of a checkpoint.
#[derive(Debug)]
pub struct Tracking {
    since: Option<Bytes>,
    before: Option<Found>,
    /// Of the next round: who will keep it, and under which name.
    next: Option<(Keeper, Since)>,
    watched: Vec<Watched>,
}

/// Notes what watches a tree already, so that it can be captured all the same; to be called where the keeper may be.
pub fn look_for_others(root: u32) -> Result<()> {
    let watched = Scanner::new(root).and_then(|scanner| scanner.is_watched(0..USER_END));
    // Why a process cannot be read will be said.
    if !watched.unwrap_or(false) {
        return Ok(());
    }
    if let Some(found) = Found::of(root, start_of(root)?)? {
        know(found.watched);
    }
    Ok(())
}

impl Tracking {
    /// Finds what an earlier round has left, and starts who will keep this one; to be called before we go where the tree stands.
    pub fn begin(asked: &Asked<'_>) -> Result<Self> {
        let &Asked { root, since, id, goes_on } = asked;
        let start = start_of(root)?;
        let mut before = Found::of(root, start)?;
        let since = since.map(image_id).transpose()?;
        if let Some(since) = &since {
            let known = before.as_ref().map(|found| found.since.id.as_bytes());
            let problem = match known {
                Some(id) if id == since.0 => None,
                Some(id) => Some(format!(
                    "what has changed is known since the image {}, and not since {since}",
                    String::from_utf8_lossy(id)
                )),
                None => Some(format!(
                    "nothing has kept track of what has changed since the image {since}"
                )),
            };
            if let Some(problem) = problem {
                let finding = Finding::of(Pid(root), "its memory", "tracking.since", problem);
                let hint = "write a whole image with --track";
                return Err(Refusals(vec![finding.hint(hint)]).into());
            }
        }
        if let Some(found) = &mut before {
            know(std::mem::take(&mut found.watched));
        }
        let id = match id {
            Some(id) => id.to_owned(),
            None => by_chance()?,
        };
        Tracked { id: id.as_str().into() }
            .check()
            .map_err(|problem| floe_toolkit::Usage(format!("--id: {problem}")))?;
        let next =
            goes_on.then(|| Ok::<_, anyhow::Error>((Keeper::start()?, Since { id, root, start })));
        Ok(Self { since, before, next: next.transpose()?, watched: Vec::new() })
    }

    /// What the image says of it, while the tree stands still: from here on changes count for the next one.
    pub fn round(&mut self, tree: &Tree, records: &[AnyRecord]) -> Result<Vec<AnyRecord>> {
        let mut all = Vec::new();
        if let Some(id) = &self.since {
            all.push(Parent { id: id.clone() }.any());
            all.extend(tree.unchanged(records).map_err(plain)?);
        }
        let Some((_, since)) = &self.next else { return Ok(all) };
        // Only we have what watches, up to the end: should we die, nothing is watched, and nobody takes this round for the one
        // before.
        self.before.take().map_or(Ok(()), |before| before.end())?;
        self.watched = tree.watch(records).map_err(plain)?;
        all.push(Tracked { id: since.id.as_str().into() }.any());
        Ok(all)
    }

    /// The image is there: track is kept from here on.
    pub fn keep(self) {
        let Some((keeper, since)) = self.next else { return };
        if let Err(error) = keeper.hand_over(&self.watched, since) {
            let what = "what changes from here on is not kept track of";
            floe_toolkit::warn("freeze", &format!("{what}: {error:#}"));
        }
    }
}

/// The id of an image: the word itself, or what a file says.
fn image_id(word: &OsStr) -> Result<Bytes> {
    let id = Tracked { id: word.as_encoded_bytes().into() };
    let path = Path::new(word);
    if id.check().is_ok() && !path.exists() {
        return Ok(id.id);
    }
    let shown = path.display();
    let unable = || format!("unable to read the image {shown}");
    let mut reader = Reader::new(floe_toolkit::file(path).with_context(unable)?);
    loop {
        match reader.next().with_context(unable)? {
            Item::Record(raw) if raw.is::<Tracked>() => {
                let tracked: Tracked = raw.decode().with_context(unable)?;
                return Ok(tracked.id);
            }
            Item::Record(raw) if !is_bulk(raw.kind) => {}
            Item::Bulk(_) => {}
            _ => {
                let problem =
                    "it was written without --track: what has changed since cannot be told";
                let finding = Finding::about(shown.to_string(), "tracking.image", problem);
                return Err(Refusals(vec![finding]).into());
            }
        }
    }
}

/// 32 hexadecimal digits.
fn by_chance() -> Result<String> {
    let random = "/proc/sys/kernel/random/uuid";
    let text =
        std::fs::read_to_string(random).with_context(|| format!("unable to read {random}"))?;
    Ok(text.chars().filter(char::is_ascii_hexdigit).collect())
}
