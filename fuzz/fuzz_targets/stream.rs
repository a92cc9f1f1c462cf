//! Arbitrary bytes as a stream: no panic, no hang, and little memory.
#![no_main]

use floe_records::Kind;
use floe_stream::{Item, RawRecord, Reader};
use libfuzzer_sys::fuzz_target;
use std::io::sink;

/// All that is done with a record whose bytes nobody has checked.
fn look(record: &RawRecord) {
    let _ = record.any();
    floe_image::write_json(record, record.at, &mut sink()).expect("a sink takes everything");
    assert!(floe_image::summary(record, 100).chars().count() <= 100);
}

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.next() {
            Ok(Item::Record(record)) => look(&record),
            Ok(Item::Bulk(_)) => {}
            Ok(Item::End) => break,
            Err(_) => {
                reader.damage();
                break;
            }
        }
    }
    // The checksums would keep most records of a mutated stream from being looked at.
    if let Ok(record) = RawRecord::parse(bytes, 0) {
        look(&record);
    }
    for kind in Kind::ALL {
        let _ = RawRecord::from_parts(*kind as u16, kind.version(), bytes).any();
    }
});
