//! Directories of cgroups, and what is written to their files.

use super::target::Target;
use floe_cgroups::{Directory, Mounts};
use floe_records::*;
use floe_sys::{Error, Result};
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
};

/// What a property says in a cgroup that nobody has limited. Where a controller is not there, these are no loss.
const UNLIMITED: [&[u8]; 9] =
    [b"", b"0", b"1", b"100", b"max", b"max 100000", b"default 100", b"member", b"no-change"];

/// The directory of a cgroup, and whether it had to be made.
pub(super) fn find(
    target: &Target<'_>,
    mounts: &Mounts,
    is_hierarchy: bool,
) -> Result<(Directory, bool)> {
    let no = |problem: &str| Err(Error::because("find it", problem));
    let paths = mounts.directories(&target.cgroup.hierarchy.0, &target.path);
    if !is_hierarchy {
        return no("there is no such hierarchy here");
    }
    if paths.is_empty() {
        return no("its hierarchy, or this part of it, is not mounted here");
    }
    if let Some(there) = Directory::open(&paths)? {
        return Ok((there, false));
    }
    if target.cgroup.directory.is_none() {
        return no("it is gone, and was not seen by freeze");
    }
    for path in paths {
        let parent: Vec<_> = path.parent().map(|parent| parent.to_owned()).into_iter().collect();
        if Directory::open(&parent)?.is_none() {
            continue;
        }
        let fail = |e| Error::new(format!("make {}", path.display()), e);
        DirBuilder::new().mode(0o755).create(&path).map_err(fail)?;
        return match Directory::open(std::slice::from_ref(&path)) {
            Ok(Some(made)) => Ok((made, true)),
            other => {
                // It is of no use to anybody.
                let _ = fs::remove_dir(&path);
                other?;
                no("it is gone again")
            }
        };
    }
    no("the one above it is gone")
}

/// Everything that a cgroup must have before something is in it.
pub(super) fn begin(directory: &Directory, was: &CgroupDirectory) -> Result<()> {
    set(directory, was, PropertyTurn::Early)?;
    for (name, value) in &was.properties {
        let there = directory.property(&name.0)?.is_some();
        if !there && !UNLIMITED.contains(&value.0.as_slice()) {
            let problem = format!("it was {value}, and its controller is not enabled here");
            return Err(Error::because(format!("set its {name}"), problem));
        }
    }
    let entries = directory.entries()?;
    for (name, owner, mode) in &was.files {
        if entries.iter().any(|(there, _)| *there == name.0) {
            directory.own(&name.0, *owner, *mode)?;
        }
    }
    directory.own(b"", was.owner, was.mode)
}

/// Sets those properties that have their turn, and are not what they were.
pub(super) fn set(directory: &Directory, was: &CgroupDirectory, turn: PropertyTurn) -> Result<()> {
    for (name, value) in &was.properties {
        let Some((_, (_, _, form))) = cgroup_property(&name.0).filter(|(_, of)| of.1 == turn)
        else {
            continue;
        };
        let now = directory.property(&name.0)?;
        if let Some(now) = now.filter(|now| *now != value.0) {
            write(directory, &name.0, (&value.0, &now), form)?;
        }
    }
    Ok(())
}

fn write(
    directory: &Directory,
    name: &[u8],
    (value, now): (&[u8], &[u8]),
    form: PropertyForm,
) -> Result<()> {
    let words = |text: &'_ [u8]| -> Vec<Vec<u8>> {
        let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.map(<[u8]>::to_vec).collect()
    };
    let lines = || value.split(|byte| *byte == b'\n');
    match form {
        PropertyForm::Lines => lines().try_for_each(|line| match line {
            b"" => directory.write(name, b"\n"),
            line => directory.write(name, line),
        }),
        PropertyForm::Word => {
            words(value).first().map_or(Ok(()), |word| directory.write(name, word))
        }
        PropertyForm::Type if value == b"threaded" => directory.write(name, value),
        PropertyForm::Type => Ok(()),
        PropertyForm::Controllers => {
            let has = words(now);
            let new = words(value).into_iter().filter(|word| !has.contains(word));
            new.into_iter().try_for_each(|word| directory.write(name, &[b"+", &word[..]].concat()))
        }
        PropertyForm::Number => {
            let number = |text: &[u8]| words(text).into_iter().nth(1);
            match number(value).filter(|value| Some(value) != number(now).as_ref()) {
                Some(value) => directory.write(name, &value),
                None => Ok(()),
            }
        }
        PropertyForm::Devices => {
            directory.write(b"devices.deny", b"a")?;
            let some = lines().filter(|line| !line.is_empty());
            some.into_iter().try_for_each(|line| directory.write(b"devices.allow", line))
        }
    }
}

/// Whether a cgroup above one is frozen, and so it as well.
pub(super) fn is_frozen_above(directory: &Directory) -> Result<bool> {
    if !directory.is_version_2() {
        return directory.is_frozen();
    }
    let mut path = directory.path().to_owned();
    while path.pop() {
        match Directory::open(std::slice::from_ref(&path))? {
            Some(above) if above.is_version_2() && above.is_told_to_freeze()? => return Ok(true),
            Some(above) if above.is_version_2() => {}
            _ => break,
        }
    }
    Ok(false)
}
