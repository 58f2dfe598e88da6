//! Cutting the log's end, raising its start, and what readers see meanwhile.

use storage::log::{LogConfig, LogWriter, Start};

use crate::fixture::*;

/// Batches of two records, three to a segment: bases 0, 6, 12.
fn filled() -> (Fixture, LogWriter) {
    let size = batch(2, 50, 0).size() as u32;
    let fixture =
        Fixture::new(LogConfig { segment_bytes: 3 * size, index_interval_bytes: 0, ..LogConfig::default() });
    let mut log = fixture.open(CLEAN);
    for nth in 0..8 {
        append(&mut log, batch(2, 50, 10 * nth), 1 + nth as i32 / 3);
    }
    (fixture, log)
}

#[test]
fn what_is_cut_is_gone_and_the_rest_stays() {
    // cut at -> (batches left, segments)
    let cases = [
        (16, 8, vec![0, 6, 12]),
        (14, 7, vec![0, 6, 12, 14]),
        (13, 6, vec![0, 6, 12]),
        (12, 6, vec![0, 6, 12]),
        (9, 4, vec![0, 6, 8]),
        (6, 3, vec![0, 6]),
        (2, 1, vec![0, 2]),
        (0, 0, vec![0]),
    ];
    for (offset, left, bases) in cases {
        for reopened in [false, true] {
            let (fixture, mut log) = filled();
            if reopened {
                log.close().unwrap();
                log = fixture.open(CLEAN);
            }
            assert_eq!(log.truncate_to(offset, at(0)).unwrap(), 2 * left);
            let expected: Vec<(i64, i64)> = (0..left).map(|n| (2 * n, 2 * n + 1)).collect();
            assert_eq!(log.log_end_offset(), 2 * left, "{offset}");
            assert_eq!(read_all(&log, 0, 1 << 20), expected, "{offset}");
            assert_eq!(
                fixture.logs(),
                bases.iter().map(|b| format!("{b:020}.log")).collect::<Vec<_>>(),
                "{offset}"
            );
            assert!(log.epochs().entries().iter().all(|e| e.start_offset < offset), "{offset}");
            check_after(&fixture, log, &expected);
        }
    }
}

/// The log goes on, and is the same when it is opened again.
fn check_after(fixture: &Fixture, mut log: LogWriter, expected: &[(i64, i64)]) {
    let added = append(&mut log, batch(1, 30, 1000), 9);
    let expected: Vec<_> = expected.iter().copied().chain([(added.base_offset, added.last_offset)]).collect();
    assert_eq!(read_all(&log, 0, 200), expected);
    let end = log.log_end_offset();
    drop(log);
    for recovery_point in [0, end - 1, end] {
        let log = fixture.open(Start { recovery_point, ..CRASHED });
        assert_eq!(read_all(&log, 0, 200), expected, "{recovery_point}");
        assert_eq!(log.epochs().latest().map(|e| e.epoch), Some(9));
    }
}

#[test]
fn a_reader_of_the_old_log_never_sees_other_bytes() {
    let (_fixture, mut log) = filled();
    let reader = log.reader();
    let whole = reader.read(12, 16, 1 << 20, true).unwrap().slice.unwrap();
    let removed = reader.read(6, 12, 1 << 20, true).unwrap().slice.unwrap();
    let before = removed.read().unwrap();
    log.truncate_to(14, at(0)).unwrap();
    append(&mut log, batch(2, 50, 0), 9);
    assert!(whole.read().is_err(), "the cut batch must be missing, not replaced");
    log.truncate_to(6, at(0)).unwrap();
    append(&mut log, batch(2, 50, 0), 9);
    assert_eq!(removed.read().unwrap(), before);
    assert_eq!(read_all(&log, 0, 1 << 20).len(), 4);
}

#[test]
fn a_view_from_before_finds_the_file_gone_and_asks_again() {
    let (fixture, mut log) = filled();
    let reader = log.reader();
    log.truncate_fully_and_start_at(100, at(0)).unwrap();
    log.delete_old_files(at(1_000_000)).unwrap();
    assert!(reader.read(6, 12, 10, true).is_err());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (100, 100));
    assert_eq!(fixture.logs(), ["00000000000000000100.log"]);
    append(&mut log, batch(2, 50, 0), 9);
    assert_eq!(read_all(&log, 100, 10), [(100, 101)]);
}

#[test]
fn producers_return_to_what_they_were_at_the_cut() {
    let (_fixture, mut log) = filled();
    append(&mut log, from_producer(5, 0, false), 3);
    let cut = append(&mut log, from_producer(5, 1, false), 3).base_offset;
    append(&mut log, from_producer(6, 0, true), 3);
    log.truncate_to(cut, at(0)).unwrap();
    assert_eq!(log.producers().get(5).map(|p| p.last_sequence()), Some(0));
    assert!(log.producers().get(6).is_none());
    assert_eq!(log.view().first_unstable_offset, None);
    append(&mut log, from_producer(5, 1, false), 4);
}

#[test]
fn a_raised_start_hides_what_is_below() {
    let (_fixture, mut log) = filled();
    log.advance_log_start(7).unwrap();
    log.advance_log_start(3).unwrap();
    assert_eq!(log.log_start_offset(), 7);
    assert!(log.reader().read(6, 16, 10, true).is_err());
    // The batch goes whole; the client leaves out what is below.
    assert_eq!(read_all(&log, 7, 1 << 20)[0], (6, 7));
    assert_eq!(log.epochs().earliest().map(|e| (e.epoch, e.start_offset)), Some((2, 7)));
    assert!(log.advance_log_start(17).is_err());
}

#[test]
fn a_log_start_within_a_batch_is_followed() {
    let (_leader, leader) = filled();
    let sent = bytes::Bytes::from(
        leader.reader().read(6, 12, 1 << 20, true).unwrap().slice.unwrap().read().unwrap(),
    );
    let fixture = Fixture::new(LogConfig::default());
    let mut log = fixture.open(CLEAN);
    log.truncate_fully_and_start_at(7, at(0)).unwrap();
    log.append_as_follower(&sent, at(0)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (7, 12));
    assert_eq!(read_all(&log, 7, 1 << 20), [(6, 7), (8, 9), (10, 11)]);
    assert!(log.append_as_follower(&sent, at(0)).is_err());
    log.close().unwrap();
    let log = fixture.open(Start { log_start_offset: 7, ..CLEAN });
    assert_eq!(read_all(&log, 7, 1 << 20), [(6, 7), (8, 9), (10, 11)]);
}
