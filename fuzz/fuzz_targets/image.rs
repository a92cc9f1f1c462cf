//! Arbitrary bytes as an image file, by its index and as a stream.
#![no_main]

use floe_image::{Coding, Compression};
use floe_stream::{Reader, Writer};
use libfuzzer_sys::fuzz_target;
use std::{fs::File, io::Write};

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file
}

fuzz_target!(|bytes: &[u8]| {
    let stored = file(bytes);
    if let Ok(Some(image)) = floe_image::open(&stored) {
        for meta in &image.metadata {
            let _ = meta.record.any();
        }
        for run in &image.runs {
            let _ = run.record.any();
            if let Ok(Some((_, frame))) = floe_image::Frame::of(&run.record) {
                // Any bytes as a frame.
                let _ = frame.open(bytes, |_| Ok::<_, floe_image::Error>(()));
            }
        }
    }
    let _ = floe_image::verify(&stored);
    let codings = [None, Some(Compression::Lz4), Some(Compression::Zstd(1))].map(Coding::By);
    for coding in [Coding::AsItIs].into_iter().chain(codings) {
        let mut packed = Writer::new(Vec::new());
        if floe_image::pack(&mut Reader::new(bytes), &mut packed, coding, &mut |_| ()).is_ok() {
            let packed = packed.end().expect("a Vec takes everything");
            floe_image::open(&file(&packed)).expect("an image").expect("an index");
        }
    }
    let mut plain = Writer::new(Vec::new());
    if floe_image::unpack(&mut Reader::new(bytes), &mut plain, &mut |_| ()).is_ok() {
        let plain = plain.end().expect("a Vec takes everything");
        let mut again = Writer::new(Vec::new());
        floe_image::unpack(&mut Reader::new(&plain[..]), &mut again, &mut |_| ())
            .expect("a stream");
        assert_eq!(again.end().expect("a Vec takes everything"), plain);
    }
});
