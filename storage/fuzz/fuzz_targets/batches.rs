//! Any bytes as a produced record set, as they are and with a magic and a CRC that fit.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use storage::batch::batches;
use storage::compress::Codec;
use storage::time::Wall;
use storage::validate::{Rules, validate};

fn look(bytes: &Bytes) {
    for batch in batches(bytes).flatten() {
        let _ = batch.check_crc();
    }
    let plain = Rules { max_decompressed_bytes: 1 << 20, ..Rules::default() };
    let strict = Rules { compacted: true, compression: Some(Codec::Lz4.into()), ..plain };
    for rules in [plain, strict] {
        if let Ok(prepared) = validate(bytes, &rules, Wall(0)) {
            let again = prepared.to_bytes();
            assert!(validate(&again, &rules, Wall(0)).is_ok(), "what was accepted is refused");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    look(&Bytes::copy_from_slice(bytes));
    let mut sealed = bytes.to_vec();
    if sealed.len() > 61 {
        sealed[16] = 2;
        let length = (sealed.len() - 12) as i32;
        sealed[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c::crc32c(&sealed[21..]);
        sealed[17..21].copy_from_slice(&crc.to_be_bytes());
        look(&sealed.into());
    }
});
