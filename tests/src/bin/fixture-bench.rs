//! `fixture-bench MIB FILE`: holds so much memory of random bytes, and appends to FILE each time that it stood
//! still for longer than it wanted to: microseconds, a line each. The first line is `ready`.

use std::{
    fs::File,
    io::{Read, Write},
    time::{Duration, Instant},
};

const NAP: Duration = Duration::from_micros(200);
const NOTABLE: Duration = Duration::from_micros(500);

fn main() -> std::io::Result<()> {
    // What whoever started us has left open is none of the measurement.
    // SAFETY: nothing of ours is open yet above the standard streams.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    let mut args = std::env::args().skip(1);
    let mib: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let path = args.next().unwrap_or_else(|| "/dev/null".to_owned());
    let mut memory = vec![0u8; mib << 20];
    File::open("/dev/urandom")?.read_exact(&mut memory)?;
    let mut out = File::options().append(true).create(true).open(path)?;
    out.write_all(b"ready\n")?;
    let mut last = Instant::now();
    loop {
        std::thread::sleep(NAP);
        let now = Instant::now();
        let gap = now - last;
        last = now;
        if gap > NAP + NOTABLE {
            writeln!(out, "{}", gap.as_micros())?;
        }
        std::hint::black_box(&memory);
    }
}
