//! `--explain`: what would be done and why, for people.

use crate::{fix::AufsFix, sources::Sources, view::View};
use anyhow::{Context, Result};
use floe_stream::{Item, Reader};
use floe_toolkit::Stage;
use floe_unions::Decision;
use std::{collections::BTreeMap, fs};

const DELETED: &[u8] = b" (deleted)";

/// Of a stream on standard input.
pub fn stream(sources: Sources) -> Result<()> {
    let mut reader = Reader::new(floe_toolkit::input("freeze PID | aufsfix --explain")?);
    let mut fix = AufsFix::new(sources);
    // From now on it keeps what it does.
    fix.told();
    loop {
        match reader.next()? {
            Item::Record(raw) => {
                fix.record(&raw)?;
                fix.rewrite(raw)?;
                fix.told().iter().try_for_each(|line| say(line))?;
            }
            Item::Bulk(_) => {}
            Item::End => return Ok(()),
        }
    }
}

/// Of recorded processes.
pub fn recordings(sources: &Sources, pids: &[u32]) -> Result<()> {
    for &pid in pids {
        if pid != 0 {
            say(&format!("pid {pid}:"))?;
        }
        recording(sources, pid)?;
    }
    Ok(())
}

fn recording(sources: &Sources, pid: u32) -> Result<()> {
    let maps = sources.process(pid).join("maps");
    let text = fs::read(&maps).with_context(|| format!("unable to read {}", maps.display()))?;
    let Some(view) = View::read(sources, pid, &mut BTreeMap::new())? else {
        say("no union is mounted")?;
        return Ok(());
    };
    for stack in &view.space.unions.stacks {
        say(&format!("{} at {}:", show(&stack.mount.fs_type), show(&stack.mount.point)))?;
        if stack.branches.is_none() {
            say("  its branches are not known: list them with --branches")?;
        }
        for branch in stack.branches.iter().flatten() {
            say(&format!("  {} {}", show(&branch.path), show(&branch.permission)))?;
        }
    }
    for line in text.split(|b| *b == b'\n') {
        if let Some(said) = mapping(&view, line) {
            say(&said)?;
        }
    }
    for (name, path) in view.descriptors() {
        say(&reference(&view, &name, &path, None))?;
    }
    Ok(())
}

fn mapping(view: &View, line: &[u8]) -> Option<String> {
    // The kernel writes a newline of a name as `\012`, and nothing else so.
    let path = line[line.iter().position(|b| *b == b'/')?..].to_vec();
    let path = floe_unions::newlines(&path);
    let range = std::str::from_utf8(line.split(|b| *b == b' ').next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let link = view.link(hex(start)?, hex(end)?);
    Some(reference(view, range, &path, link.as_deref()))
}

/// One line: what the kernel reports, what the process sees, and why.
fn reference(view: &View, name: &str, path: &[u8], link: Option<&[u8]>) -> String {
    let gone = path.ends_with(DELETED);
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    let decision = view.decide(path, || link.map(<[u8]>::to_vec), || false);
    let link = link.map(|link| link.strip_suffix(DELETED).unwrap_or(link));
    let branch_of = |path| view.space.unions.branch_of(path, &view.root);
    let reported = link.filter(|link| branch_of(link).is_some()).unwrap_or(path);
    let inner = |path: &[u8]| {
        let (path, outside) = view.relative(path);
        let outside = if outside { " (outside of its root)" } else { "" };
        format!("{}{outside}", show(&path))
    };
    let travels = |hidden: Option<Vec<u8>>| match hidden {
        _ if gone => ", removed: its content travels".to_owned(),
        Some(by) => format!(", hidden by {} since it was mapped: its content travels", show(&by)),
        None => String::new(),
    };
    let Some((stack, branch)) = branch_of(reported) else {
        return format!("{name}: {}: in no branch{}", inner(path), travels(None));
    };
    let place = format!(
        "in branch {} of the {} at {}",
        show(&branch.path),
        show(&stack.mount.fs_type),
        show(&stack.mount.point)
    );
    let (seen, agreed) = match &decision {
        Decision::Nameless => {
            return format!(
                "{name}: {}: {place}, and has no name there: its content travels",
                show(reported)
            );
        }
        Decision::Rewrite(seen) => (&seen[..], ""),
        Decision::Keep => (path, ", as maps shows it"),
    };
    let hidden = travels(view.hidden(reported));
    format!("{name}: {} -> {}: {place}{agreed}{hidden}", show(reported), inner(seen))
}

fn say(line: &str) -> std::io::Result<()> {
    floe_toolkit::say(&format!("{line}\n"))
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
