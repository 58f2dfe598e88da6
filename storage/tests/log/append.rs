//! Appending and reading back; when segments roll.

use storage::log::{Append, AppendError, LogConfig, ReadError};
use storage::producers::Origin;

use crate::fixture::*;

#[test]
fn what_is_appended_is_read_after_reopening() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    let batches: Vec<_> =
        (0..20).map(|nth| append(&mut log, batch(1 + nth % 3, 40, nth as i64), 1)).collect();
    let expected: Vec<_> = batches.iter().map(|a| (a.base_offset, a.last_offset)).collect();
    assert_eq!(read_all(&log, 0, 300), expected);
    log.close().unwrap();
    for start in [CLEAN, CRASHED] {
        let log = fixture.open(start);
        assert_eq!(read_all(&log, 0, 300), expected, "{start:?}");
        assert_eq!(log.log_end_offset(), batches.last().unwrap().log_end_offset);
        assert_eq!(log.epochs().end_offset_for(1, log.log_end_offset()), Some((1, log.log_end_offset())));
    }
}

#[test]
fn a_read_ends_below_its_limits() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    let size = append(&mut log, batch(2, 40, 0), 0).bytes;
    append(&mut log, batch(2, 40, 0), 0);
    append(&mut log, batch(2, 40, 0), 0);
    let reader = log.reader();
    // (from, below, max, at least one) -> bytes, end offset
    let cases = [
        ((0, 6, u64::MAX >> 1, false), (3 * size, 6)),
        ((1, 6, u64::MAX >> 1, false), (3 * size, 6)),
        ((2, 6, u64::MAX >> 1, false), (2 * size, 6)),
        ((0, 4, u64::MAX >> 1, false), (2 * size, 4)),
        ((0, 3, u64::MAX >> 1, false), (size, 3)),
        ((0, 6, 2 * size, false), (2 * size, 4)),
        ((0, 6, 2 * size - 1, false), (size, 2)),
        ((0, 6, size - 1, false), (0, 0)),
        ((0, 6, 0, true), (size, 2)),
        ((6, 6, 100, true), (0, 6)),
        ((4, 4, 100, true), (0, 4)),
    ];
    for ((from, below, max, at_least_one), (bytes, end)) in cases {
        let read = reader.read(from, below, max, at_least_one).unwrap();
        let len = read.slice.map_or(0, |slice| slice.len as u64);
        assert_eq!((len, read.end_offset), (bytes, end), "{from} {below} {max} {at_least_one}");
    }
    assert!(matches!(reader.read(7, 9, 1, true), Err(ReadError::OutOfRange { offset: 7, start: 0, end: 6 })));
    assert!(matches!(reader.read(-1, 9, 1, true), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn segments_roll_by_size_time_and_index() {
    let size = batch(1, 100, 0).size() as u32;
    let base = LogConfig { index_interval_bytes: 0, ..LogConfig::default() };
    let cases = [
        ("size", LogConfig { segment_bytes: 3 * size, ..base.clone() }, vec![0, 0, 0, 0, 0, 0], vec![0, 3]),
        ("time", LogConfig { segment_ms: 10, ..base.clone() }, vec![0, 10, 11, 15, 21, 22], vec![0, 2, 5]),
        ("index", LogConfig { segment_index_bytes: 24, ..base.clone() }, vec![0, 1, 2, 3, 4, 5], vec![0, 3]),
        ("nothing", base, vec![5, 4, 3, 2, 1, 0], vec![0]),
    ];
    for (name, config, timestamps, bases) in cases {
        let fixture = Fixture::new(config);
        let mut log = fixture.open(CLEAN);
        for timestamp in timestamps {
            append(&mut log, batch(1, 100, timestamp), 0);
        }
        let expected: Vec<String> = bases.iter().map(|base| format!("{base:020}.log")).collect();
        assert_eq!(fixture.logs(), expected, "{name}");
        assert_eq!(read_all(&log, 0, 1 << 20).len(), 6, "{name}");
    }
}

#[test]
fn too_much_for_a_segment_is_refused() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    let refused = log.append(&mut batch(1, 2000, 0), Origin::Client, 0, at(0));
    assert!(matches!(refused, Err(AppendError::TooLarge { limit: 1000, .. })), "{refused:?}");
    assert_eq!(log.log_end_offset(), 0);
}

#[test]
fn a_repetition_is_recognised_also_after_reopening() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    append(&mut log, batch(3, 10, 0), 1);
    let first = append(&mut log, from_producer(7, 0, false), 1);
    log.close().unwrap();
    for start in [CLEAN, CRASHED] {
        let mut log = fixture.open(start);
        let again = log.append(&mut from_producer(7, 0, false), Origin::Client, 1, at(0)).unwrap();
        let Append::Duplicate(again) = again else { panic!("{again:?}") };
        assert_eq!((again.base_offset, again.last_offset), (first.base_offset, first.last_offset));
        let gap = log.append(&mut from_producer(7, 5, false), Origin::Client, 1, at(0));
        assert!(matches!(gap, Err(AppendError::Producer(_))), "{gap:?}");
    }
}

#[test]
fn a_follower_keeps_offsets_epochs_and_gaps() {
    let fixture = Fixture::new(LogConfig { index_interval_bytes: 0, ..LogConfig::default() });
    let mut log = fixture.open(CLEAN);
    let mut expected = Vec::new();
    // The last two are farther from the first than an index entry can say.
    for (base, epoch) in [(0, 1), (5, 1), (7, 3), (1 << 32, 3), (1 << 33, 4)] {
        let mut sent = batch(2, 10, 0);
        sent.assign(base, epoch);
        log.append_as_follower(&sent.to_bytes(), at(0)).unwrap();
        expected.push((base, base + 1));
    }
    assert_eq!(fixture.logs().len(), 3);
    for start in [CLEAN, CRASHED] {
        if start == CLEAN {
            log.close().unwrap();
        }
        log = fixture.open(storage::log::Start { recovery_point: log.log_end_offset(), ..start });
        for from in [0, 2, 5, 6, 9, 1 << 32, (1 << 32) + 2, 1 << 33] {
            let rest: Vec<_> = expected.iter().copied().filter(|(_, last)| *last >= from).collect();
            assert_eq!(read_all(&log, from, 1), rest, "{start:?} {from}");
        }
        let epochs: Vec<_> = log.epochs().entries().iter().map(|e| (e.epoch, e.start_offset)).collect();
        assert_eq!(epochs, [(1, 0), (3, 7), (4, 1 << 33)]);
    }
    for bytes in [batch(1, 1, 0).to_bytes(), batch(1, 1, 0).to_bytes().slice(..60)] {
        assert!(log.append_as_follower(&bytes, at(0)).is_err());
    }
    let mut damaged = batch(1, 10, 0);
    damaged.assign(1 << 34, 4);
    damaged.header.crc ^= 1;
    assert!(log.append_as_follower(&damaged.to_bytes(), at(0)).is_err());
    assert_eq!(log.log_end_offset(), (1 << 33) + 2);
}
