//! Batches survive the way through every codec; hostile ones are refused within bounds.

use crate::common::{Rec, biggest_allocation, build, codec, recs, seal};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use storage::batch::{BatchBuilder, BatchError, BatchHeader, RawBatch, RecordError, batches, records};
use storage::compress::{Codec, CompressError, Compression, Compressor, compress, decompress};
use storage::time::Wall;
use storage::validate::{Invalid, Rules, validate};

const LIMIT: usize = 1 << 20;

proptest! {
    #[test]
    fn records_come_back(codec in codec(), recs in recs()) {
        let batch = RawBatch::first(&build(codec, &recs)).expect("a batch");
        batch.check_crc().expect("its CRC");
        let open = records(&batch, LIMIT).expect("records");
        let back: Vec<_> = open.iter().map(|r| Rec::from(&r.expect("readable"))).collect();
        prop_assert_eq!(back, recs);
    }

    #[test]
    fn a_header_is_encoded_as_it_was_parsed(mut bytes in vec(any::<u8>(), 61)) {
        bytes[16] = 2;
        bytes[8] = 0x01;
        let header = BatchHeader::parse(&bytes).expect("a header");
        prop_assert_eq!(&header.encode()[..], &bytes);
    }

    #[test]
    fn recompression_keeps_the_records(from in codec(), to in codec(), recs in recs()) {
        let rules = Rules { compression: Some(to.into()), ..Rules::default() };
        let prepared = validate(&build(from, &recs), &rules, Wall(0)).expect("valid");
        let batch = RawBatch::first(&prepared.to_bytes()).expect("a batch");
        batch.check_crc().expect("its CRC");
        prop_assert_eq!(batch.header.attributes.codec(), Some(to));
        let open = records(&batch, LIMIT).expect("records");
        let back: Vec<_> = open.iter().map(|r| Rec::from(&r.expect("readable"))).collect();
        prop_assert_eq!(back, recs);
    }

    /// Compaction keeps some records: they stay what and where they were, with or without a horizon for tombstones.
    #[test]
    fn what_compaction_keeps_is_unchanged(
        from in codec(), to in codec(), recs in recs(), keep: u32, horizon in prop::option::of(0i64..1 << 41),
    ) {
        let batch = RawBatch::first(&build(from, &recs)).expect("a batch");
        let mut builder = BatchBuilder::new(to.into());
        if let Some(at) = horizon {
            builder = builder.delete_horizon(at);
        }
        let kept = |offset: i64| keep >> offset & 1 == 1;
        let open = records(&batch, LIMIT).expect("records");
        for record in open.iter().map(|record| record.expect("readable")).filter(|record| kept(record.offset)) {
            builder.keep(&record, 0);
        }
        let left = RawBatch::first(&builder.finish_as(&batch.header).expect("a batch").to_bytes()).expect("a batch");
        left.check_crc().expect("its CRC");
        prop_assert_eq!(left.header.delete_horizon(), horizon);
        prop_assert_eq!(left.header.last_offset(), batch.header.last_offset());
        let open = records(&left, LIMIT).expect("records");
        let back: Vec<_> = open.iter().map(|r| r.expect("readable")).map(|r| (r.offset, Rec::from(&r))).collect();
        let expected: Vec<_> = (0i64..).zip(recs).filter(|(offset, _)| kept(*offset)).collect();
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn several_batches_are_walked(codecs in vec(codec(), 0..5), recs in recs(), cut in 1usize..100) {
        let parts: Vec<Bytes> = codecs.iter().map(|codec| build(*codec, &recs)).collect();
        let whole: Bytes = parts.concat().into();
        let found: Result<Vec<_>, _> = batches(&whole).map(|b| b.map(|b| b.bytes)).collect();
        prop_assert_eq!(found, Ok(parts.clone()));
        if let Some(last) = parts.last() {
            let short = whole.slice(..whole.len() - cut.min(last.len() - 1));
            let found: Vec<_> = batches(&short).collect();
            prop_assert_eq!(found.len(), parts.len());
            let short = matches!(found.last(), Some(Err(BatchError::Short { .. })));
            prop_assert!(short);
        }
    }

    /// Bytes changed anywhere, with a CRC that fits: nothing panics, and memory stays within the limits.
    #[test]
    fn hostile_batches_are_harmless(
        codec in codec(), recs in recs(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        fill in prop::option::of(prop::sample::select(vec![0x00u8, 0x7f, 0x80, 0xff])),
    ) {
        let mut bytes = build(codec, &recs).to_vec();
        for (at, byte) in changes {
            let at = 12 + at.index(bytes.len() - 12);
            bytes[at] = fill.unwrap_or(byte);
        }
        bytes[16] = 2;
        let bytes = seal(bytes);
        let biggest = biggest_allocation(|| {
            let Ok(batch) = RawBatch::first(&bytes) else { return };
            if let Ok(open) = records(&batch, LIMIT) {
                open.iter().for_each(drop);
            }
            let rules = Rules { compression: Some(Codec::None.into()), max_decompressed_bytes: LIMIT, ..Rules::default() };
            drop(validate(&bytes, &rules, Wall(0)));
        });
        prop_assert!(biggest <= 8 * LIMIT, "{} bytes at once", biggest);
    }

    #[test]
    fn hostile_streams_are_harmless(codec in codec(), bytes in vec(any::<u8>(), 0..200)) {
        let biggest = biggest_allocation(|| drop(decompress(codec, bytes.into(), LIMIT)));
        prop_assert!(biggest <= 8 * LIMIT, "{} bytes at once", biggest);
    }
}

#[test]
fn an_empty_batch_has_no_codec() {
    for codec in Codec::ALL {
        let bytes = build(codec, &[]);
        let batch = RawBatch::first(&bytes).expect("a batch");
        assert_eq!((bytes.len(), batch.header.attributes.codec()), (61, Some(Codec::None)));
        assert_eq!(records(&batch, LIMIT).expect("records").iter().count(), 0);
    }
}

#[test]
fn bombs_are_refused() {
    for codec in Codec::ALL.into_iter().skip(1) {
        let mut bomb = Compressor::new(codec.into()).expect("a compressor");
        for _ in 0..32 {
            bomb.write(&[0; LIMIT]).expect("written");
        }
        let bomb: Bytes = bomb.finish().expect("finished").into();
        let biggest = biggest_allocation(|| {
            assert_eq!(decompress(codec, bomb.clone(), LIMIT), Err(CompressError::TooLarge { limit: LIMIT }));
        });
        assert!(biggest <= 8 * LIMIT, "{codec:?}: {biggest} bytes at once");
        assert_eq!(decompress(codec, bomb, 32 * LIMIT).expect("just fits").len(), 32 * LIMIT);
    }
}

#[test]
fn a_bomb_is_not_let_out_by_recompression() {
    let value = vec![0; 8 * LIMIT];
    let rec = Rec { value: Some(value), ..Rec::default() };
    let rules = Rules { compression: Some(Compression::NONE), ..Rules::default() };
    let refused = validate(&build(Codec::Zstd, &[rec]), &rules, Wall(0)).expect_err("too large");
    assert!(matches!(refused, Invalid::TooLarge { .. }), "{refused}");
}

#[test]
fn a_length_that_lies_is_refused_and_allocates_nothing() {
    // snappy: a raw block that claims 4 GiB; framed likewise.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x06"[..], &claim].concat();
    for bytes in [claim.to_vec(), framed] {
        let biggest = biggest_allocation(|| {
            let refused = decompress(Codec::Snappy, bytes.into(), usize::MAX).expect_err("a lie");
            assert!(matches!(refused, CompressError::Corrupt { .. }), "{refused}");
        });
        assert!(biggest <= LIMIT);
    }
}

#[test]
fn raw_snappy_is_read() {
    let text = b"as librdkafka and Go write it, without frames".repeat(100);
    let raw = snap::raw::Encoder::new().compress_vec(&text).expect("compressed");
    assert_eq!(decompress(Codec::Snappy, raw.into(), LIMIT).expect("read"), text);
}

#[test]
fn levels_make_a_difference() {
    let text: Bytes = (0..20_000u32).flat_map(|n| (n * n % 8191).to_string().into_bytes()).collect();
    for codec in [Codec::Gzip, Codec::Zstd] {
        let size =
            |level| compress(Compression { codec, level: Some(level) }, text.clone()).expect("done").len();
        assert_ne!(size(9), size(1), "{codec:?}");
    }
}

#[test]
fn crc_covers_attributes_to_end() {
    let bytes = build(Codec::None, &[Rec::default()]);
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let Ok(batch) = RawBatch::first(&changed.into()) else { continue };
        assert_eq!(batch.check_crc().is_ok(), at < 8 || (12..16).contains(&at), "byte {at}");
    }
}

#[test]
fn counts_that_lie_are_told() {
    let recs = vec![Rec::default(); 3];
    for (count, error) in [
        (2, RecordError::Trailing(7)),
        (4, RecordError::Short),
        (-1, RecordError::Count { said: -1 }),
        (i32::MAX, RecordError::Short),
    ] {
        let mut bytes = build(Codec::None, &recs).to_vec();
        bytes[57..61].copy_from_slice(&i32::to_be_bytes(count));
        let batch = RawBatch::first(&seal(bytes)).expect("a batch");
        let open = records(&batch, LIMIT).expect("opened");
        assert_eq!(open.iter().last(), Some(Err(error)), "count {count}");
    }
}
