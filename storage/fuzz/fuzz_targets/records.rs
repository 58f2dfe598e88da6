//! Any bytes as the records of a batch in any codec: the count comes first, then the codec.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use storage::batch::{BatchBuilder, Prepared, RawBatch, records};
use storage::compress::Compression;

const LIMIT: usize = 1 << 20;

fuzz_target!(|input: (i32, u8, Vec<u8>)| {
    let (count, codec, body) = input;
    let empty = BatchBuilder::new(Compression::NONE).finish().expect("an empty batch");
    let mut header = empty.header;
    header.count = count;
    header.attributes.0 = i16::from(codec);
    let bytes: Bytes = Prepared::sealed(header, body.into()).expect("small").to_bytes();
    let batch = RawBatch::first(&bytes).expect("a batch");
    if let Ok(open) = records(&batch, LIMIT) {
        assert!(open.data().len() <= LIMIT.max(bytes.len()));
        for record in open.iter().flatten() {
            assert_eq!(record.headers.len(), record.headers.count());
        }
    }
});
