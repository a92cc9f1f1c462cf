//! `--explain`: what would be done and why, for people.

use crate::{
    fix::AufsFix,
    view::{Sources, View},
};
use anyhow::{Context, Result};
use floe_stream::{Item, Reader};
use floe_toolkit::Stage;
use floe_unions::{Decision, decide};
use std::fs;

const DELETED: &[u8] = b" (deleted)";

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

/// Of one recorded process.
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
    for (name, path) in view.descriptors() {
        println!("{}", reference(&view, &name, &path, None));
    }
    Ok(())
}

fn mapping(view: &View, line: &[u8]) -> Option<String> {
    let path = &line[line.iter().position(|b| *b == b'/')?..];
    let range = std::str::from_utf8(line.split(|b| *b == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let link = view.link(hex(start)?, hex(end)?);
    Some(reference(view, range, path, link.as_deref()))
}

/// One line: what the kernel reports, what the process sees, and why.
fn reference(view: &View, name: &str, path: &[u8], link: Option<&[u8]>) -> String {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let gone = path.ends_with(DELETED);
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    let path = match floe_unions::below(path, &view.root) {
        Some(b"") => b"/",
        Some(inner) => inner,
        None => path,
    };
    let decision = decide(&view.unions, path, || link.map(<[u8]>::to_vec));
    let link = link.map(|link| link.strip_suffix(DELETED).unwrap_or(link));
    let reported = link.filter(|link| view.unions.branch_of(link).is_some()).unwrap_or(path);
    let Some((stack, n)) = view.unions.branch_of(reported) else {
        let removed = if gone { ", removed: its content travels" } else { "" };
        return format!("{name}: {}: in no branch{removed}", show(path));
    };
    let (fs_type, point) = (show(&stack.mount.fs_type), show(&stack.mount.point));
    let branch = format!("in branch {n} of the {fs_type} at {point}");
    let (seen, agreed) = match &decision {
        Decision::Nameless => {
            return format!(
                "{name}: {}: {branch}, and has no name: its content travels",
                show(reported)
            );
        }
        Decision::Rewrite(seen) => (&seen[..], ""),
        Decision::Keep => (path, ", as maps shows it"),
    };
    let hidden = view.unions.hidden(reported, &|path| view.exists(path));
    let hidden = match hidden {
        _ if gone => ", removed: its content travels".to_owned(),
        Some(by) => format!(", hidden by {} since it was mapped: its content travels", show(&by)),
        None => String::new(),
    };
    format!("{name}: {} -> {}: {branch}{agreed}{hidden}", show(reported), show(seen))
}
