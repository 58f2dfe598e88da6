//! What a leader refuses, what it changes, and what it leaves alone.

use crate::common::{Rec, build, seal};
use bytes::Bytes;
use storage::batch::{BatchError, BatchHeader, RawBatch, RecordError, TimestampType, records};
use storage::compress::{Codec, Compression};
use storage::time::Wall;
use storage::validate::{Invalid, Rules, validate};

const NOW: i64 = 1_700_000_000_000;

fn rec(timestamp: i64, key: Option<&str>) -> Rec {
    let key = key.map(|key| key.as_bytes().to_vec());
    Rec { timestamp, key, value: Some(b"value".to_vec()), ..Rec::default() }
}

fn three(codec: Codec) -> Bytes {
    build(codec, &[rec(NOW, Some("a")), rec(NOW + 9, None), rec(NOW - 5, Some("c"))])
}

fn check(bytes: &Bytes, rules: &Rules) -> Result<Bytes, Invalid> {
    validate(bytes, rules, Wall(NOW)).map(|prepared| prepared.to_bytes())
}

/// The batch with some header fields changed and a CRC that fits.
fn with(bytes: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(bytes).expect("a header");
    change(&mut header);
    seal([&header.encode()[..], &bytes[61..]].concat())
}

#[test]
fn headers_that_a_client_may_not_send() {
    let good = three(Codec::None);
    type Change = fn(&mut BatchHeader);
    let cases: [(Change, &str); 10] = [
        (|h| h.base_offset = 1, "base offset"),
        (|h| h.count = 2, "count"),
        (|h| h.count = 0, "count"),
        (|h| (h.count, h.last_offset_delta) = (0, -1), "count"),
        (|h| (h.count, h.last_offset_delta) = (i32::MIN, i32::MAX), "count"),
        (|h| h.last_offset_delta = 5, "count"),
        (|h| h.attributes = h.attributes.with_control(true), "control"),
        (|h| (h.producer_id, h.producer_epoch, h.base_sequence) = (1, 0, -1), "sequence"),
        (|h| (h.producer_id, h.producer_epoch, h.base_sequence) = (1, -1, 0), "sequence"),
        (|h| h.attributes = h.attributes.with_transactional(true), "transactional"),
    ];
    for (nth, (change, what)) in cases.into_iter().enumerate() {
        match check(&with(&good, change), &Rules::default()) {
            Err(Invalid::Header(why)) => assert!(why.contains(what), "case {nth}: {why}"),
            other => panic!("case {nth}: {other:?}"),
        }
    }
}

#[test]
fn one_whole_batch_and_nothing_else() {
    let good = three(Codec::None);
    let twice: Bytes = [&good[..], &good[..]].concat().into();
    let trailing: Bytes = [&good[..], &[0]].concat().into();
    for bytes in [Bytes::new(), good.slice(..60), good.slice(..good.len() - 1), twice, trailing] {
        assert_eq!(check(&bytes, &Rules::default()), Err(Invalid::BatchCount));
    }
    let mut old = good.to_vec();
    old[16] = 1;
    assert_eq!(check(&old.into(), &Rules::default()), Err(Invalid::Magic(1)));
}

#[test]
fn damage_is_told_from_what_a_client_may_not_send() {
    let good = three(Codec::None);
    let refused = |bytes: Vec<u8>| check(&bytes.into(), &Rules::default()).expect_err("refused");
    let short = with(&good, |h| h.length = 48);
    assert_eq!(refused(short.to_vec()), Invalid::Corrupt(BatchError::Length(48)));
    for magic in [3, -1] {
        let mut bytes = good.to_vec();
        bytes[16] = magic as u8;
        assert_eq!(refused(bytes), Invalid::Corrupt(BatchError::Magic(magic)));
    }
    // The control bit, the last offset delta, a record: the bytes that the CRC covers, whatever they would mean.
    for (at, bit) in [(22, 0x20), (26, 4), (70, 1)] {
        let mut bytes = good.to_vec();
        bytes[at] ^= bit;
        let why = refused(bytes);
        assert!(matches!(why, Invalid::Corrupt(BatchError::Crc { .. })), "byte {at}: {why:?}");
    }
}

#[test]
fn counts_and_sizes_must_add_up_in_every_codec() {
    for codec in Codec::ALL {
        let good = three(codec);
        let counted = |n: i32| with(&good, |h| (h.count, h.last_offset_delta) = (n, n - 1));
        assert_eq!(check(&good, &Rules::default()).as_ref(), Ok(&good), "{codec:?} is left alone");
        let more = check(&counted(4), &Rules::default());
        assert_eq!(more, Err(Invalid::Records(RecordError::Short)), "{codec:?}");
        let fewer = check(&counted(2), &Rules::default());
        assert!(matches!(fewer, Err(Invalid::Records(RecordError::Trailing(_)))), "{codec:?}: {fewer:?}");
    }
}

#[test]
fn the_size_limit_is_that_of_the_batch() {
    let good = three(Codec::None);
    let limit = |bytes| Rules { max_message_bytes: bytes, ..Rules::default() };
    assert!(check(&good, &limit(good.len())).is_ok());
    let (size, limit_bytes) = (good.len(), good.len() - 1);
    let refused = check(&good, &limit(limit_bytes));
    assert_eq!(refused, Err(Invalid::TooLarge { size, limit: limit_bytes }));
}

#[test]
fn a_compacted_topic_names_the_records_without_key() {
    for codec in Codec::ALL {
        let refused = check(&three(codec), &Rules { compacted: true, ..Rules::default() });
        assert_eq!(refused, Err(Invalid::NoKeys { at: vec![1] }), "{codec:?}");
    }
}

#[test]
fn timestamps_must_be_near_enough() {
    let hour = 3_600_000;
    let bounds = |before, after| Rules { before_max_ms: before, after_max_ms: after, ..Rules::default() };
    let cases = [
        (NOW + hour, Rules::default(), true),
        (NOW + hour + 1, Rules::default(), false),
        (0, Rules::default(), true),
        (-1, bounds(0, 0), true), // no timestamp
        (NOW - 10, bounds(10, 0), true),
        (NOW - 11, bounds(10, 0), false),
        (NOW + 1, bounds(10, 0), false),
        (i64::MAX, bounds(i64::MAX, i64::MAX), true),
        (i64::MIN, bounds(10, i64::MAX), false),
    ];
    for (timestamp, rules, accepted) in cases {
        for codec in Codec::ALL {
            let result = check(&build(codec, &[rec(NOW, None), rec(timestamp, None)]), &rules);
            let expected = if accepted { None } else { Some(Invalid::Timestamps { at: vec![1] }) };
            assert_eq!(result.err(), expected, "{timestamp} {codec:?}");
        }
    }
}

#[test]
fn log_append_time_is_the_brokers_to_say() {
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, after_max_ms: 0, ..Rules::default() };
    for codec in Codec::ALL {
        let stamped = check(&three(codec), &rules).expect("valid");
        let batch = RawBatch::first(&stamped).expect("a batch");
        batch.check_crc().expect("a new CRC");
        assert_eq!(batch.header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(batch.header.max_timestamp, NOW);
        let open = records(&batch, 1 << 20).expect("records");
        assert!(open.iter().all(|record| record.expect("readable").timestamp == NOW));
        assert_eq!(stamped.slice(61..), three(codec).slice(61..), "the records are the client's own bytes");
        // A client that claims it is refused, whatever the topic says.
        for rules in [rules, Rules::default()] {
            let refused = check(&stamped, &rules);
            assert_eq!(refused, Err(Invalid::Timestamps { at: vec![0, 1, 2] }), "{codec:?}");
        }
    }
}

#[test]
fn a_max_timestamp_that_lies_is_put_right() {
    for codec in Codec::ALL {
        let good = three(codec);
        let lying = with(&good, |h| h.max_timestamp = NOW + 1_000_000);
        assert_eq!(check(&lying, &Rules::default()), Ok(good), "{codec:?}");
    }
}

#[test]
fn the_topics_codec_wins_unless_it_is_producer() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let compression = Some(Compression { codec: to, level: Some(1) });
            let recoded = check(&three(from), &Rules { compression, ..Rules::default() }).expect("valid");
            let header = BatchHeader::parse(&recoded).expect("a header");
            assert_eq!(header.attributes.codec(), Some(to));
            if to == Codec::None {
                assert_eq!(recoded, three(Codec::None), "from {from:?}");
            }
            if from == to {
                assert_eq!(recoded, three(from), "not compressed again");
            }
        }
    }
}

#[test]
fn wrongly_numbered_records_are_numbered_anew() {
    // Three equal records, all of them at delta 0.
    let one = &build(Codec::None, &[rec(NOW, Some("k"))])[61..];
    let body = one.repeat(3);
    let right = build(Codec::None, &[rec(NOW, Some("k")), rec(NOW, Some("k")), rec(NOW, Some("k"))]);
    let wrong = seal([&right[..61], &body].concat());
    assert_ne!(wrong, right);
    assert_eq!(check(&wrong, &Rules::default()), Ok(right));
}

#[test]
fn an_unknown_codec_is_refused() {
    for id in 5..8 {
        let bytes = with(&three(Codec::None), |h| h.attributes.0 |= id);
        assert_eq!(check(&bytes, &Rules::default()), Err(Invalid::Records(RecordError::Codec(id))));
    }
}

#[test]
fn many_faulty_records_are_not_all_named() {
    let recs = vec![rec(NOW, None); 3000];
    let refused = check(&build(Codec::Zstd, &recs), &Rules { compacted: true, ..Rules::default() });
    assert!(matches!(refused, Err(Invalid::NoKeys { at }) if at.len() == 1000));
}
