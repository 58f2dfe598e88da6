//! Open transactions, markers, and what read_committed is told.

use storage::batch::Outcome::{Abort, Commit};
use storage::log::{LogWriter, ReadError};

use crate::fixture::*;

/// Producers 1 (aborted at 3), 2 (committed at 4), 1 again (aborted at 8), 3 (open from 9).
fn filled(fixture: &Fixture) -> LogWriter {
    let mut log = fixture.open(CLEAN);
    append(&mut log, from_producer(1, 0, true), 1); // 0
    append(&mut log, from_producer(2, 0, true), 1); // 1
    append(&mut log, from_producer(1, 1, true), 1); // 2
    end_txn(&mut log, 1, Abort); // 3
    end_txn(&mut log, 2, Commit); // 4
    append(&mut log, batch(2, 10, 0), 1); // 5, 6
    append(&mut log, from_producer(1, 2, true), 1); // 7
    end_txn(&mut log, 1, Abort); // 8
    append(&mut log, from_producer(3, 0, true), 1); // 9
    log
}

fn check(log: &mut LogWriter) {
    // range -> (producer, first offset, marker)
    let cases = [
        ((0, 10), vec![(1, 0, 3), (1, 7, 8)]),
        ((0, 3), vec![(1, 0, 3)]),
        ((4, 7), vec![]),
        ((4, 8), vec![(1, 7, 8)]),
        ((9, 10), vec![]),
    ];
    for ((from, below), expected) in cases {
        let found = log.reader().aborted_transactions(from, below).unwrap();
        let found: Vec<_> = found.iter().map(|t| (t.producer_id, t.first_offset, t.last_offset)).collect();
        assert_eq!(found, expected, "{from} to {below}");
    }
    for (watermark, unstable) in [(0, 0), (4, 1), (5, 7), (8, 7), (9, 9), (10, 9)] {
        log.on_high_watermark(watermark);
        let seen = log.view().first_unstable_offset;
        // After a restart all that ended is taken as replicated up to the snapshot.
        assert!(seen == Some(unstable) || seen == Some(9), "{watermark}: {seen:?}");
    }
}

#[test]
fn aborted_transactions_are_told_across_segments_and_restarts() {
    for config in [small(), storage::log::LogConfig { segment_bytes: 200, ..small() }] {
        let fixture = Fixture::new(config);
        let mut log = filled(&fixture);
        check(&mut log);
        drop(log);
        check(&mut fixture.open(CRASHED));
        fixture.open(CRASHED).close().unwrap();
        check(&mut fixture.open(CLEAN));
        assert_eq!(fixture.open(CLEAN).view().log_end_offset, 10);
    }
}

#[test]
fn the_watermark_releases_what_has_ended() {
    let fixture = Fixture::new(small());
    let mut log = filled(&fixture);
    for (watermark, unstable) in [(0, 0), (3, 0), (4, 1), (5, 7), (8, 7), (9, 9), (10, 9)] {
        log.on_high_watermark(watermark);
        assert_eq!(log.view().first_unstable_offset, Some(unstable), "{watermark}");
    }
}

#[test]
fn a_cut_takes_markers_back() {
    let fixture = Fixture::new(small());
    let mut log = filled(&fixture);
    log.truncate_to(8, at(0)).unwrap();
    assert_eq!(log.reader().aborted_transactions(0, 8).unwrap().len(), 1);
    log.on_high_watermark(8);
    assert_eq!(log.view().first_unstable_offset, Some(7));
    end_txn(&mut log, 1, Commit);
    log.on_high_watermark(9);
    assert_eq!(log.view().first_unstable_offset, None);
}

#[test]
fn aborted_transactions_of_a_removed_segment_are_not_nothing() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    append(&mut log, from_producer(7, 0, true), 1);
    end_txn(&mut log, 7, Abort);
    for nth in 0..10 {
        append(&mut log, batch(2, 100, nth), 1);
    }
    let reader = log.reader();
    let data = reader.read(0, 2, 1 << 20, true).unwrap();
    assert_eq!(reader.aborted_transactions(0, 2).unwrap().len(), 1);
    sync(&mut log);
    log.advance_log_start(8).unwrap();
    assert!(log.retain(at(1), log.log_end_offset()).unwrap().segments > 0);
    assert!(data.slice.unwrap().read().is_ok(), "the reader still has the records");
    let told = reader.aborted_transactions(0, 2);
    assert!(matches!(told, Err(ReadError::OutOfRange { .. })), "{told:?}");
}
