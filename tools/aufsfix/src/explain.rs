//! `--explain`: what would be done and why, for people.

use crate::{
    fix::AufsFix,
    view::{Sources, View},
};
use anyhow::{Context, Result};
use floe_stream::{Item, Reader};
use floe_toolkit::Stage;
use floe_unions::{Decision, Place, decide};
use std::fs;

/// Of a stream on standard input.
pub fn stream(sources: Sources) -> Result<()> {
    let mut reader = Reader::new(floe_toolkit::input()?);
    let mut fix = AufsFix::new(sources);
    loop {
        match reader.next()? {
            Item::Record(raw) => {
                fix.record(&raw)?;
                fix.rewrite(raw)?;
                fix.told().iter().for_each(|line| println!("{line}"));
            }
            Item::Bulk(_) => {}
            Item::End => return Ok(()),
        }
    }
}

/// Of the mappings of one recorded process.
pub fn recording(sources: &Sources) -> Result<()> {
    let maps = sources.proc.join("maps");
    let text = fs::read(&maps).with_context(|| format!("unable to read {}", maps.display()))?;
    let Some(view) = View::read(sources, 0)? else {
        println!("no union is mounted");
        return Ok(());
    };
    for stack in &view.unions.stacks {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        println!("{} at {}:", show(&stack.mount.fs_type), show(&stack.mount.point));
        for branch in &stack.branches {
            println!("  {} {}", show(&branch.path), show(&branch.permission));
        }
    }
    for line in text.split(|b| *b == b'\n') {
        if let Some(said) = mapping(&view, line) {
            println!("{said}");
        }
    }
    Ok(())
}

fn mapping(view: &View, line: &[u8]) -> Option<String> {
    let path = &line[line.iter().position(|b| *b == b'/')?..];
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let path = floe_unions::below(path, &view.root).unwrap_or(path);
    let range = std::str::from_utf8(line.split(|b| *b == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let link = view.link(hex(start)?, hex(end)?);
    let name = String::from_utf8_lossy(path).into_owned();
    let why = match (decide(&view.unions, path, link.as_deref()), &link) {
        (Decision::Rewrite(seen), _) => {
            format!("is in a branch, becomes {}", String::from_utf8_lossy(&seen))
        }
        (Decision::Nameless, _) => "has no name any more: its content travels".to_owned(),
        (Decision::Keep, Some(link)) => match view.unions.place(link) {
            Place::Elsewhere => "stays: both views agree".to_owned(),
            _ => {
                let link_name = String::from_utf8_lossy(link);
                match view.unions.hidden(link, &|path| view.exists(path)) {
                    Some(by) => format!(
                        "is {link_name}, which {} hides now: its content travels",
                        String::from_utf8_lossy(&by)
                    ),
                    None => format!("stays, though map_files shows {link_name}"),
                }
            }
        },
        (Decision::Keep, None) => "stays: map_files does not show it".to_owned(),
    };
    Some(format!("{range} {name}: {why}"))
}
