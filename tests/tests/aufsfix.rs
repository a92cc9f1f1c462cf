//! `aufsfix` over streams and recorded trees, without an AUFS kernel.

use floe_records::*;
use floe_stream::{Item, Reader};
use floe_tests::{made, run};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

type Lines = BTreeMap<String, Vec<u8>>;

fn recordings() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/unions/tests/recordings");
    let all = ["map-files-bug", "map-files-fixed"].into_iter().flat_map(|variant| {
        let entries = fs::read_dir(top.join(variant)).expect("recordings");
        entries.map(|entry| entry.expect("entry").path())
    });
    let all: Vec<_> = all.filter(|dir| !table(dir, "maps").is_empty()).collect();
    assert!(all.len() >= 8, "recordings are missing");
    all
}

/// First word and rest of each line.
fn table(dir: &Path, name: &str) -> Lines {
    let text = fs::read(dir.join(name)).expect("a file of the recording");
    let pair = |line: &[u8]| {
        let at = line.iter().position(|b| *b == b' ')?;
        Some((String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec()))
    };
    text.split(|b| *b == b'\n').filter_map(pair).collect()
}

fn range(text: &str) -> (u64, u64) {
    let (start, end) = text.split_once('-').expect("a range");
    let hex = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
    (hex(start), hex(end))
}

/// Range to what the process sees.
fn seen(dir: &Path) -> BTreeMap<(u64, u64), Vec<u8>> {
    let root = table(dir, "links").remove("root").unwrap_or_default();
    let mut all = BTreeMap::new();
    for (key, rest) in table(dir, "maps") {
        let Some(at) = rest.iter().position(|b| *b == b'/') else { continue };
        let path = rest[at..].strip_suffix(b" (deleted)").unwrap_or(&rest[at..]);
        all.insert(range(&key), path.strip_prefix(&root[..]).expect("below the root").to_vec());
    }
    all
}

fn vmas_of(output: &[u8]) -> (Vec<Vma>, Vec<Union>) {
    let mut reader = Reader::new(output);
    let (mut vmas, mut unions) = (Vec::new(), Vec::new());
    loop {
        match reader.next().expect("a whole stream") {
            Item::Record(raw) if raw.is::<Vmas>() => {
                vmas.extend(raw.decode::<Vmas>().expect("Vmas").vmas);
            }
            Item::Record(raw) if raw.is::<Union>() => unions.push(raw.decode().expect("Union")),
            Item::Record(_) => {}
            Item::Bulk(_) => reader.skip_bulk().expect("bulk"),
            Item::End => return (vmas, unions),
        }
    }
}

fn filter(dir: &Path, processes: &[(Pid, Vec<Vma>)]) -> (Vec<u8>, Vec<u8>) {
    let input = made::stream(Vec::new(), processes, &[]).expect("a stream");
    let (sysfs, proc) = (dir.join("sysfs"), dir.to_owned());
    let args = ["--sysfs", sysfs.to_str().expect("text"), "--proc", proc.to_str().expect("text")];
    let output = run("aufsfix", &args, &input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", dir.display());
    (input, output.stdout)
}

#[test]
fn references_of_recordings_come_out_as_the_process_sees_them() {
    for dir in recordings() {
        let seen = seen(&dir);
        // What a kernel reports that shows the branch in every place, as far as this one does.
        let reported: Vec<Vma> = table(&dir, "map_files")
            .iter()
            .filter(|(name, _)| name.contains('-'))
            .map(|(name, link)| {
                let (start, end) = range(name);
                let link = link.strip_suffix(b" (deleted)").unwrap_or(link);
                let root = table(&dir, "links").remove("root").unwrap_or_default();
                made::mapping(start, end, link.strip_prefix(&root[..]).unwrap_or(link))
            })
            .collect();
        let (_, output) = filter(&dir, &[(made::NOBODY, reported)]);
        let (vmas, unions) = vmas_of(&output);
        assert_eq!(vmas.len(), seen.len(), "{}", dir.display());
        for vma in vmas {
            let want = &seen[&(vma.start.0, vma.end.0)];
            match &vma.file {
                Some(file) => assert_eq!(&file.path.0, want, "{}", dir.display()),
                None => assert_eq!(vma.kind, VmaKind::Detached, "{}", dir.display()),
            }
        }
        assert_eq!(unions.len(), 1, "{}: the stack in use", dir.display());
        assert!(unions[0].branches.len() >= 3 && unions[0].fs_type == "aufs".into());
    }
}

#[test]
fn what_was_hidden_after_it_was_mapped_travels() {
    let hidden: Vec<_> = recordings()
        .into_iter()
        .filter(|dir| dir.ends_with("map-files-bug/copied-up-after-map"))
        .collect();
    let seen: Vec<Vma> = seen(&hidden[0])
        .iter()
        .map(|((start, end), path)| made::mapping(*start, *end, path))
        .collect();
    let (vmas, _) = vmas_of(&filter(&hidden[0], &[(made::NOBODY, seen)]).1);
    let travels: Vec<_> = vmas.iter().filter(|vma| vma.kind == VmaKind::Detached).collect();
    assert_eq!(travels.len(), 1);
    assert_eq!(travels[0].name, Some("/etc/conf".into()));
}

/// Two AUFS mounts of twelve branches each, seen by two processes with roots of their own.
fn two_mounts(top: &Path) {
    for (pid, si, name) in [(11, "aa", "one"), (22, "bb", "two")] {
        let process = top.join(format!("proc/{pid}"));
        fs::create_dir_all(process.join("map_files")).expect("directory");
        let mountinfo = format!(
            "31 30 0:{pid} / / rw,relatime - aufs none rw,si={si},dirperm1\n32 31 0:9 / /proc rw - proc proc rw\n"
        );
        fs::write(process.join("mountinfo"), mountinfo).expect("file");
        fs::write(process.join("links"), format!("root /mnt/{name}\n")).expect("file");
        let branches = top.join(format!("sysfs/si_{si}"));
        fs::create_dir_all(&branches).expect("directory");
        for n in 0..12 {
            let permission = if n == 0 { "rw" } else { "ro+wh" };
            let text = format!("/layers/{name}/b{n}={permission}\n");
            fs::write(branches.join(format!("br{n}")), text).expect("file");
        }
    }
}

#[test]
fn two_mounts_of_twelve_branches_in_one_tree() {
    let top = tempfile::tempdir().expect("temporary directory");
    two_mounts(top.path());
    let paths: [&[u8]; 5] = [
        b"/layers/one/b1/x",
        b"/layers/one/b11/lib/x y",
        b"/layers/two/b10/x",
        b"/layers/one/b12/x",
        b"/layers/one/b1",
    ];
    let vmas = |paths: &[&[u8]]| -> Vec<Vma> {
        let one = |(n, path): (usize, &&[u8])| {
            made::mapping(n as u64 * 4096, (n as u64 + 1) * 4096, path)
        };
        paths.iter().enumerate().map(one).collect()
    };
    let processes = [(Pid(11), vmas(&paths)), (Pid(22), vmas(&paths))];
    let input = made::stream(Vec::new(), &processes, &[]).expect("a stream");
    let [sysfs, proc] = ["sysfs", "proc"].map(|name| top.path().join(name).display().to_string());
    let output = run("aufsfix", &["--sysfs", &sysfs, "--proc", &proc], &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (vmas, unions) = vmas_of(&output.stdout);
    let out: Vec<Bytes> = vmas.into_iter().map(|vma| vma.file.expect("a file").path).collect();
    let want = [
        // Of the first process; branches of the second are none of its.
        "/x",
        "/lib/x y",
        "/layers/two/b10/x",
        "/layers/one/b12/x",
        "/",
        "/layers/one/b1/x",
        "/layers/one/b11/lib/x y",
        "/x",
        "/layers/one/b12/x",
        "/layers/one/b1",
    ];
    assert_eq!(out, want.map(Bytes::from));
    let order: Vec<Bytes> = unions[0].branches.iter().map(|(path, _)| path.clone()).collect();
    let numeric: Vec<Bytes> =
        (0..12).map(|n| format!("/layers/one/b{n}").as_str().into()).collect();
    assert_eq!(order, numeric);
    assert_eq!((unions[0].point.clone(), unions.len()), ("/mnt/one".into(), 2));
}

#[test]
fn without_a_union_the_output_is_the_input() {
    let top = tempfile::tempdir().expect("temporary directory");
    fs::create_dir_all(top.path().join("sysfs")).expect("directory");
    fs::write(top.path().join("maps"), "").expect("file");
    fs::write(top.path().join("mountinfo"), "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n").expect("file");
    let vmas = vec![made::mapping(0, 4096, b"/layers/one/b1/x")];
    let (input, output) = filter(top.path(), &[(made::NOBODY, vmas)]);
    assert_eq!(input, output);
}

#[test]
fn unknown_branches_are_told_and_can_be_given() {
    let top = tempfile::tempdir().expect("temporary directory");
    two_mounts(top.path());
    fs::remove_dir_all(top.path().join("sysfs/si_aa")).expect("removed");
    let proc = top.path().join("proc/11");
    fs::write(proc.join("maps"), "").expect("file");
    let input = made::stream(
        Vec::new(),
        &[(Pid(11), vec![made::mapping(0, 4096, b"/far away/b=x/bin/app")])],
        &[],
    );
    let input = input.expect("a stream");
    let sysfs = top.path().join("sysfs").display().to_string();
    let args = ["--sysfs", &sysfs, "--proc", proc.to_str().expect("text")];
    let output = run("aufsfix", &args, &input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--branches"), "{said}");
    let list = top.path().join("list");
    fs::write(&list, "/far\\040away/b=x=rw\n/base=ro\n").expect("file");
    let args = [&args[..], &["--branches", list.to_str().expect("text")]].concat();
    let output = run("aufsfix", &args, &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (vmas, _) = vmas_of(&output.stdout);
    assert_eq!(vmas[0].file.as_ref().expect("a file").path, "/bin/app".into());
}

/// A recording made by a test: files by name, in a directory that goes with it.
struct Made(tempfile::TempDir);

impl Made {
    /// One AUFS mount at `point` with these branches, seen from the root of the namespace; `root` is that of the process.
    fn new(point: &str, root: &str, branches: &[&str]) -> Self {
        let made = Self(tempfile::tempdir().expect("temporary directory"));
        made.file("maps", "");
        made.file("links", &format!("root {root}\n"));
        made.file("mountinfo", "");
        let host = format!(
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 21 0:26 / {point} rw,noatime - aufs none rw,si=1,dirperm1\n"
        );
        made.file("mountinfo.host", &host);
        for (n, branch) in branches.iter().enumerate() {
            made.file(&format!("sysfs/si_1/br{n}"), &format!("{branch}\n"));
        }
        made
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
        fs::write(path, text).expect("file");
    }

    /// What becomes of mappings of these paths, a page each from page 1 on, where map_files is as recorded.
    fn mapped(&self, paths: &[&str]) -> (Vec<Option<String>>, Vec<Union>) {
        let one = |(n, path): (usize, &&str)| {
            made::mapping((n as u64 + 1) << 12, (n as u64 + 2) << 12, path.as_bytes())
        };
        let vmas = paths.iter().enumerate().map(one).collect();
        let (vmas, unions) = vmas_of(&filter(self.0.path(), &[(made::NOBODY, vmas)]).1);
        (vmas.into_iter().map(|vma| vma.file.map(|file| file.path.to_string())).collect(), unions)
    }

    fn explained(&self) -> String {
        let (proc, sysfs) = (self.0.path().to_owned(), self.0.path().join("sysfs"));
        let [proc, sysfs] = [proc, sysfs].map(|path| path.display().to_string());
        let output = run("aufsfix", &["--explain", "--proc", &proc, "--sysfs", &sysfs], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

fn paths(all: &[&str]) -> Vec<Option<String>> {
    all.iter().map(|path| Some((*path).to_owned())).collect()
}

#[test]
fn a_root_inside_of_a_union() {
    let made = Made::new("/mnt/u", "/mnt/u/sub", &["/l/top=rw", "/l/base=ro"]);
    made.file("map_files", "1000-2000 /l/base/sub/lib/a\n");
    let (seen, unions) = made.mapped(&["/lib/a", "/l/top/sub/x", "/l/base/other", "/etc/x"]);
    assert_eq!(seen, paths(&["/lib/a", "/x", "/mnt/u/other", "/etc/x"]));
    assert_eq!(
        (unions.len(), &unions[0].point, &unions[0].flags),
        (1, &"/mnt/u".into(), &"rw,noatime".into())
    );
}

#[test]
fn names_that_look_like_branches_are_kept() {
    let made = Made::new("/", "/", &["/l/top=rw"]);
    made.file("map_files", "1000-2000 /l/top/l/top/x\n2000-3000 /l/top/x\n");
    assert_eq!(
        made.mapped(&["/l/top/x", "/l/top/x", "/l/top/l/top/x"]).0,
        paths(&["/l/top/x", "/x", "/l/top/x"])
    );
    // A branch that holds all of the system says nothing.
    let made = Made::new("/mnt/u", "/", &["/rw=rw", "/=ro"]);
    made.file("map_files", "1000-2000 /bin/x\n2000-3000 /bin/y\n");
    assert_eq!(made.mapped(&["/mnt/u/bin/x", "/bin/y"]).0, paths(&["/mnt/u/bin/x", "/bin/y"]));
}

#[test]
fn what_was_renamed_after_it_was_mapped_travels() {
    let made = Made::new("/mnt/u", "/mnt/u", &["/l/top=rw", "/l/base=ro"]);
    made.file("map_files", "1000-2000 /l/base/old\n2000-3000 /l/base/plain\n");
    made.file(
        "stat",
        "0:25 22 100 /l/base/old\n0:25 23 0 /l/top/.wh.old\n0:25 24 100 /l/top/new\n",
    );
    assert_eq!(made.mapped(&["/new", "/plain"]).0, [None, Some("/plain".to_owned())]);
    made.file("maps", "1000-2000 r--p 00000000 00:1a 12   /mnt/u/new\n2000-3000 r--p 00000000 00:1a 13   /mnt/u/plain\n");
    let said = made.explained();
    assert!(said.contains("/l/base/old -> /new: in branch /l/base of the aufs at /mnt/u, as maps shows it, hidden by /l/top/.wh.old"), "{said}");
    assert!(said.contains("/l/base/plain -> /plain: in branch /l/base"), "{said}");
    // Whiteouts count only in branches that may have them.
    let made = Made::new("/mnt/u", "/mnt/u", &["/l/rw=rw", "/l/top=ro", "/l/base=ro"]);
    made.file("map_files", "1000-2000 /l/base/old\n");
    made.file("stat", "0:25 23 0 /l/top/.wh.old\n");
    assert_eq!(made.mapped(&["/old"]).0, paths(&["/old"]));
}

#[test]
fn what_has_no_name_and_is_not_carried_is_refused() {
    let made = Made::new("/mnt/u", "/mnt/u", &["/l/top=rw"]);
    let orphan = FileRef { outside: true, ..made::file(b"/l/top/.wh..wh.orph/12") };
    let open = made::regular(FileId(0), made::NOBODY, orphan);
    let behind = [open.any()];
    let input = made::stream(Vec::new(), &[(made::NOBODY, Vec::new())], &behind).expect("a stream");
    let [proc, sysfs] = ["", "sysfs"].map(|name| made.0.path().join(name).display().to_string());
    let output = run("aufsfix", &["--proc", &proc, "--sysfs", &sysfs], &input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(".wh..wh.orph/12") && said.contains("is not carried"), "{said}");
}

#[test]
fn the_mount_of_the_process_counts_and_its_bases_are_noted() {
    let made = Made::new("/mnt/one", "/mnt/two", &["/l/one=rw", "/common=ro"]);
    made.file(
        "mountinfo.host",
        "31 21 0:26 / /mnt/one rw - aufs none rw,si=1\n32 21 0:27 / /mnt/two rw - aufs none rw,si=2\n\
         30 21 0:28 / /layers rw - overlay none rw,lowerdir=/a:/b,upperdir=/c,workdir=/d\n",
    );
    made.file("sysfs/si_2/br0", "/layers/two=rw\n");
    made.file("sysfs/si_2/br1", "/common=ro\n");
    let (seen, unions) = made.mapped(&["/common/c"]);
    assert_eq!(seen, paths(&["/c"]));
    let points: Vec<String> = unions.iter().map(|union| union.point.to_string()).collect();
    assert_eq!(points, ["/mnt/two", "/layers"]);
}

#[test]
fn recorded_systems_are_explained() {
    let top = tempfile::tempdir().expect("temporary directory");
    two_mounts(top.path());
    for pid in [11, 22] {
        let name = if pid == 11 { "one" } else { "two" };
        let maps = format!("1000-2000 r-xp 00000000 00:1a 12    /mnt/{name}/a\\012b\n");
        fs::write(top.path().join(format!("proc/{pid}/maps")), maps).expect("file");
        fs::remove_dir(top.path().join(format!("proc/{pid}/map_files"))).expect("directory");
        let link = format!("1000-2000 /layers/{name}/b3/x\n");
        fs::write(top.path().join(format!("proc/{pid}/map_files")), link).expect("file");
    }
    let [sysfs, proc] = ["sysfs", "proc"].map(|name| top.path().join(name).display().to_string());
    let output = run("aufsfix", &["--explain", "--sysfs", &sysfs, "--proc", &proc], b"");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("pid 11:\n") && said.contains("pid 22:\n"), "{said}");
    assert!(
        said.contains(
            "/layers/two/b3/x -> /a\nb: in branch /layers/two/b3 of the aufs at /mnt/two"
        ),
        "{said}"
    );
}
