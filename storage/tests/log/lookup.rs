//! Records by time, and by offset.

use storage::batch::{BatchBuilder, Prepared};
use storage::compress::{Codec, Compression};
use storage::log::{LogConfig, Offset, Stop, TimestampedOffset};

use crate::fixture::*;

/// A batch with a record for each timestamp.
fn stamped(codec: Codec, timestamps: &[i64]) -> Prepared {
    let mut builder = BatchBuilder::new(Compression { codec, level: None });
    timestamps.iter().for_each(|ts| builder.push(*ts, None, Some(&[7; 40]), &[]));
    builder.finish().unwrap()
}

#[test]
fn the_first_record_not_older_is_found() {
    // Out of order on purpose; record n has the nth timestamp.
    let batches: [&[i64]; 6] = [&[10, 30, 20], &[5], &[30, 31], &[25, 40, 35], &[1], &[40, 39]];
    let all: Vec<i64> = batches.concat();
    let cases =
        [(Codec::None, 10_000, 0), (Codec::Lz4, 250, 0), (Codec::Zstd, 250, 0), (Codec::None, 600, 200)];
    for (codec, segment_bytes, index_interval_bytes) in cases {
        let config = LogConfig { segment_bytes, index_interval_bytes, ..LogConfig::default() };
        let fixture = Fixture::new(config);
        let mut log = fixture.open(CLEAN);
        for batch in batches {
            append(&mut log, stamped(codec, batch), 4);
        }
        for reopened in [false, true] {
            if reopened {
                log.close().unwrap();
                log = fixture.open(CLEAN);
            }
            for start in [0, 2, 7] {
                log.advance_log_start(start.max(log.log_start_offset())).unwrap();
                for timestamp in 0..42 {
                    for below in [0, 3, 8, 12] {
                        let expected =
                            (log.log_start_offset()..below).find(|n| all[*n as usize] >= timestamp);
                        let found = log.reader().offset_for_timestamp(timestamp, below).unwrap();
                        assert_eq!(found.map(|f| f.offset), expected, "{timestamp} {start} {below}");
                    }
                }
                let latest = log.reader().offset_of_max_timestamp(12).unwrap();
                assert_eq!(latest, Some(TimestampedOffset { timestamp: 40, offset: 7, leader_epoch: 4 }));
            }
        }
    }
}

#[test]
fn an_empty_log_has_no_times() {
    let fixture = Fixture::new(small());
    let log = fixture.open(CLEAN);
    assert_eq!(log.reader().offset_for_timestamp(0, 10).unwrap(), None);
    assert_eq!(log.reader().offset_of_max_timestamp(10).unwrap(), None);
}

#[test]
fn a_batch_is_read_no_further_than_the_record_that_is_found() {
    let fixture = Fixture::new(LogConfig::default());
    let mut log = fixture.open(CLEAN);
    let bytes = append(&mut log, stamped(Codec::Gzip, &[5; 4000]), 4).bytes;
    // Whoever decompresses all of it meets a wrong checksum at its end.
    flip(&fixture.dir.join("00000000000000000000.log"), bytes - 5);
    let found = log.reader().offset_for_timestamp(5, 4000).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(0));
}

#[test]
fn a_read_tells_why_it_ends() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    while fixture.logs().len() < 3 {
        append(&mut log, batch(1, 100, 1), 0);
    }
    let bases: Vec<Offset> =
        fixture.logs().iter().map(|name| name.trim_end_matches(".log").parse().unwrap()).collect();
    let (second, last) = (bases[1], bases[2]);
    let stop = |from, below, max| log.reader().read(from, below, max, false).unwrap().stop;
    for below in [second + 1, Offset::MAX] {
        assert_eq!((stop(0, below, 10_000), stop(0, below, 1)), (Stop::Segment, Stop::Segment));
    }
    assert_eq!((stop(0, second, 10_000), stop(last, Offset::MAX, 10_000)), (Stop::Range, Stop::Range));
    assert_eq!((stop(0, second, 300), stop(0, second, 1)), (Stop::Bytes, Stop::Bytes));
    assert_eq!(stop(log.log_end_offset(), Offset::MAX, 1), Stop::Range);
}
