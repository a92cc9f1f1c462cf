//! `fixture-references COUNT DIR`: a stream of COUNT references into the twelve branches of an AUFS mount, and a
//! recording of the process that has them. Into DIR: `stream`, `proc`, `sysfs`.

use anyhow::Context;
use floe_tests::made;
use std::{fs, io::BufWriter, path::Path};

const BRANCHES: u64 = 12;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let count: u64 = args.next().context("COUNT")?.parse()?;
    let dir = args.next().context("DIR")?;
    let dir = Path::new(&dir);
    let (proc, sysfs) = (dir.join("proc"), dir.join("sysfs/si_1"));
    fs::create_dir_all(&proc)?;
    fs::create_dir_all(&sysfs)?;
    fs::write(proc.join("maps"), "")?;
    fs::write(proc.join("mountinfo"), "31 30 0:9 / / rw - aufs none rw,si=1\n")?;
    for n in 0..BRANCHES {
        fs::write(sysfs.join(format!("br{n}")), format!("/layers/b{n}=ro\n"))?;
    }
    let one = |n: u64| {
        let path = format!("/layers/b{}/usr/lib/lib{n}.so", n % BRANCHES);
        made::mapping(n << 12, (n + 1) << 12, path.as_bytes())
    };
    let out = BufWriter::new(fs::File::create(dir.join("stream"))?);
    made::stream(out, &[(made::NOBODY, (0..count).map(one).collect())], &[])?;
    Ok(())
}
