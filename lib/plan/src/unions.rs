//! In which order union mounts are mounted: one comes behind the union that it is mounted on, and behind those that its
//! branches lie on. And which of them a tree has anything to do with.

use floe_records::*;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

/// Mount points by the components of their paths. Looking one up takes as long as its path is.
#[derive(Default)]
struct Points<'a> {
    below: HashMap<(usize, &'a [u8]), usize>,
    unions: HashMap<usize, usize>,
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

impl<'a> Points<'a> {
    fn insert(&mut self, path: &'a [u8], union: usize) {
        let mut node = 0;
        for component in components(path) {
            let next = self.below.len() + 1;
            node = *self.below.entry((node, component)).or_insert(next);
        }
        self.unions.insert(node, union);
    }

    /// Visits every union that a path lies on.
    fn over(&self, path: &[u8], visit: &mut dyn FnMut(usize)) {
        let mut node = 0;
        self.unions.get(&node).into_iter().for_each(|union| visit(*union));
        for component in components(path) {
            let Some(next) = self.below.get(&(node, component)) else { return };
            node = *next;
            self.unions.get(&node).into_iter().for_each(|union| visit(*union));
        }
    }

    /// The nearest union that a path lies on, but `own`.
    fn nearest(&self, path: &'a [u8], own: usize) -> Option<usize> {
        let (mut node, mut found) = (0, None);
        let other = |node: usize| self.unions.get(&node).copied().filter(|union| *union != own);
        for component in components(path) {
            found = other(node).or(found);
            let Some(next) = self.below.get(&(node, component)) else { return found };
            node = *next;
        }
        other(node).or(found)
    }
}

macro_rules! references {
    ($($scope:ident { $($module:ident: $type:ident $kind:literal $version:literal [$($phase:ident)*];)* })*) => {
        /// Shows every reference of the tree to a file or name.
        fn references(tree: &Tree, visit: &mut dyn FnMut(Reference<'_>)) {
            $($(
                for row in tree.all::<$type>() {
                    row.clone().references(visit);
                }
            )*)*
        }
    };
}
floe_records::resources!(references);

/// Points of those unions that a path of the tree lies on, or a branch of a union that is in use itself. A stream may name
/// others as well, which are nothing that a restore would have to mount.
pub fn unions_in_use(tree: &Tree) -> HashSet<Bytes> {
    let unions = tree.all::<Union>();
    let mut points = Points::default();
    unions.iter().enumerate().for_each(|(at, union)| points.insert(&union.point.0, at));
    let mut found = vec![false; unions.len()];
    let mut new = Vec::new();
    references(tree, &mut |reference| {
        let inside = |pid: Pid, path: &Bytes| {
            let root = tree.get::<Fs>(pid).map_or(&b"/"[..], |fs| &fs.root.path.0);
            [root, b"/", &path.0[..]].concat()
        };
        let of_file = |pid, file: &FileRef| match file.outside {
            true => file.path.0.clone(),
            false => inside(pid, &file.path),
        };
        let path = match reference {
            Reference::File(pid, _, file) => of_file(pid, file),
            Reference::Root(_, root) => root.path.0.clone(),
            Reference::Mapping(pid, vma) => match &vma.file {
                Some(file) => of_file(pid, file),
                None => return,
            },
            Reference::Mapped(mapped) => of_file(mapped.pid, &mapped.file),
            Reference::Socket(_, name) if !name.0.starts_with(b"/") => return,
            Reference::Socket(pid, name) => {
                inside(pid, &name.0.strip_suffix(b"\0").unwrap_or(&name.0).into())
            }
        };
        points.over(&path, &mut |at| new.push(at));
    });
    while let Some(at) = new.pop() {
        if !std::mem::replace(&mut found[at], true) {
            for (branch, _) in &unions[at].branches {
                points.over(&branch.0, &mut |at| new.push(at));
            }
            points.over(&unions[at].point.0, &mut |at| new.push(at));
        }
    }
    let used = unions.iter().zip(found).filter(|(_, found)| *found);
    used.map(|(union, _)| union.point.clone()).collect()
}

/// Rows of the unions in that order, of several possible ones the shorter paths first. Where two need each other, which
/// cannot be mounted, the shorter one comes first too.
pub(crate) fn in_order(unions: &[Union]) -> Vec<usize> {
    let mut points = Points::default();
    unions.iter().enumerate().for_each(|(at, union)| points.insert(&union.point.0, at));
    // The nearest one is enough: it needs those above it itself.
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); unions.len()];
    let mut waits: Vec<usize> = vec![0; unions.len()];
    for (at, union) in unions.iter().enumerate() {
        let paths = union.branches.iter().map(|(path, _)| path).chain([&union.point]);
        for base in paths.filter_map(|path| points.nearest(&path.0, at)) {
            dependents[base].push(at);
            waits[at] += 1;
        }
    }
    let place = |at: usize| Reverse((unions[at].point.0.len(), at));
    let mut ready: BinaryHeap<_> =
        (0..unions.len()).filter(|at| waits[*at] == 0).map(place).collect();
    let mut rest: BinaryHeap<_> = (0..unions.len()).map(place).collect();
    let mut done = vec![false; unions.len()];
    let mut order = Vec::with_capacity(unions.len());
    while let Some(Reverse((_, at))) = ready.pop().or_else(|| rest.pop()) {
        if std::mem::replace(&mut done[at], true) {
            continue;
        }
        order.push(at);
        for &dependent in &dependents[at] {
            waits[dependent] = waits[dependent].saturating_sub(1);
            if waits[dependent] == 0 {
                ready.push(place(dependent));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(all: &[(&str, &str)]) -> Vec<String> {
        let union = |(point, branch): &(&str, &str)| Union {
            point: (*point).into(),
            fs_type: "overlay".into(),
            source: "none".into(),
            flags: "rw".into(),
            root: "/".into(),
            branches: vec![((*branch).into(), "ro".into())],
            options: "rw".into(),
        };
        let unions: Vec<Union> = all.iter().map(union).collect();
        in_order(&unions).iter().map(|at| unions[*at].point.to_string()).collect()
    }

    #[test]
    fn bases_come_first() {
        let all = [("/u", "/long/base/layer"), ("/u/in/side", "/x"), ("/long/base", "/y")];
        assert_eq!(ordered(&all), ["/long/base", "/u", "/u/in/side"]);
        // Names are compared by whole components.
        assert_eq!(ordered(&[("/ab", "/abc/x"), ("/abc", "/y")]), ["/abc", "/ab"]);
        assert_eq!(ordered(&[("/ab", "/abcd/x"), ("/abc", "/y")]), ["/ab", "/abc"]);
        // A branch below its own point needs what the point needs.
        assert_eq!(ordered(&[("/u", "/u/own"), ("/", "/y")]), ["/", "/u"]);
    }

    #[test]
    fn a_knot_is_told_as_well() {
        assert_eq!(
            ordered(&[("/aa", "/b/x"), ("/b", "/aa/x"), ("/c", "/aa")]),
            ["/b", "/aa", "/c"]
        );
    }
}
