//! What retention takes.

use std::sync::Arc;

use storage::disk::fault::FaultDisk;
use storage::log::{LogConfig, LogWriter, Start};

use crate::fixture::*;

#[test]
fn segments_go_by_age_size_and_log_start_but_never_above_the_watermark() {
    let size = batch(1, 100, 0).size() as u64;
    // Batches at times 0, 10, .. 70, two to a segment: bases 0, 2, 4, 6.
    let keep = LogConfig { retention_ms: None, retention_bytes: None, ..LogConfig::default() };
    let aged = |ms| LogConfig { retention_ms: Some(ms), ..keep.clone() };
    let sized = |bytes| LogConfig { retention_bytes: Some(bytes), ..keep.clone() };
    // (name, config, time, high watermark, log start) -> log start
    let cases = [
        ("nothing", keep.clone(), 1000, 8, 0, 0),
        ("age", aged(100), 131, 8, 0, 4),
        ("age on the line", aged(100), 130, 8, 0, 2),
        ("all by age", aged(100), 1000, 8, 0, 8),
        ("age above the watermark", aged(100), 1000, 5, 0, 4),
        ("size", sized(4 * size), 0, 8, 0, 4),
        ("size keeps what is not too much", sized(4 * size + 1), 0, 8, 0, 2),
        ("size 0", sized(0), 0, 8, 0, 8),
        ("log start", keep.clone(), 0, 8, 5, 5),
        ("without delete", LogConfig { delete: false, ..aged(1) }, 1000, 8, 3, 3),
    ];
    for (name, config, time, watermark, start, expected) in cases {
        let fixture = Fixture::new(LogConfig { segment_bytes: 2 * size as u32, ..config });
        let mut log = fixture.open(CLEAN);
        for nth in 0..8 {
            append(&mut log, batch(1, 100, 10 * nth), 0);
        }
        log.advance_log_start(start).unwrap();
        assert_eq!(log.retain(at(time), watermark).unwrap().segments, 0, "{name}: nothing is durable yet");
        sync(&mut log);
        let retained = log.retain(at(time), watermark).unwrap();
        assert_eq!((log.log_start_offset(), retained.log_start_offset), (expected, expected), "{name}");
        assert_eq!(log.log_end_offset(), 8, "{name}");
        assert_eq!(log.view().local_log_start_offset(), expected, "{name}");
        assert_eq!(retained.bytes, retained.segments as u64 * 2 * size, "{name}");
        assert_eq!(read_all(&log, expected, 500).len() as i64, 8 - expected, "{name}");
        append(&mut log, batch(1, 100, time), 0);
        log.close().unwrap();
        assert_eq!(fixture.open(CLEAN).log_end_offset(), 9, "{name}");
    }
}

#[test]
fn removed_files_wait_for_readers() {
    let size = batch(1, 100, 0).size() as u32;
    let config = LogConfig { segment_bytes: size, file_delete_delay_ms: 50, ..LogConfig::default() };
    let fixture = Fixture::new(LogConfig { retention_bytes: Some(1), ..config });
    let mut log = fixture.open(CLEAN);
    for nth in 0..3 {
        append(&mut log, batch(1, 100, nth), 0);
    }
    let held = log.reader().read(0, 3, 1000, true).unwrap().slice.unwrap();
    sync(&mut log);
    log.retain(at(100), 3).unwrap();
    let deleted = |fixture: &Fixture| fixture.names().iter().filter(|n| n.ends_with(".log.deleted")).count();
    log.delete_old_files(at(149)).unwrap();
    assert_eq!(deleted(&fixture), 2);
    log.delete_old_files(at(150)).unwrap();
    assert_eq!(deleted(&fixture), 0);
    held.read().unwrap();
}

#[test]
fn a_renamed_directory_goes_on() {
    let fixture = Fixture::new(small());
    let mut log = fixture.open(CLEAN);
    append(&mut log, batch(3, 300, 0), 0);
    let to = fixture.dir.with_file_name("topic-0.0123-delete");
    log.rename_dir(&to).unwrap();
    append(&mut log, batch(3, 300, 0), 0);
    assert_eq!(read_all(&log, 0, 10), [(0, 2), (3, 5)]);
    assert!(!fixture.dir.exists());
    // Another log under the old name shares nothing with it.
    let mut other = fixture.open(Start::default());
    append(&mut other, batch(1, 5, 0), 0);
    assert_eq!(read_all(&other, 0, 10), [(0, 0)]);
    assert_eq!(read_all(&log, 0, 10), [(0, 2), (3, 5)]);
}

#[test]
fn idle_producers_are_forgotten_but_not_in_a_transaction() {
    let fixture = Fixture::new(LogConfig { producer_id_expiration_ms: 100, ..LogConfig::default() });
    let mut log = fixture.open(CLEAN);
    append(&mut log, from_producer(1, 0, false), 0);
    append(&mut log, from_producer(2, 0, true), 0);
    let known = |log: &storage::log::LogWriter| log.producers().iter().map(|(id, _)| id).collect::<Vec<_>>();
    for (now, kept) in [(100, &[1, 2][..]), (101, &[1, 2]), (102, &[2])] {
        log.retain(at(now), 0).unwrap();
        assert_eq!(known(&log), kept, "{now}");
    }
}

/// As a client's records may be of any time: idle by that, it has just sent them.
#[test]
fn who_sends_old_records_is_known_when_it_repeats_them() {
    let fixture = Fixture::new(LogConfig { producer_id_expiration_ms: 100, ..LogConfig::default() });
    let mut log = fixture.open(CLEAN);
    append(&mut log, from_producer(1, 0, false), 0);
    log.retain(at(1000), 0).unwrap();
    drop(log);
    let mut log = fixture.open(CLEAN);
    log.retain(at(2000), 0).unwrap();
    assert!(log.producers().get(1).is_some());
}

#[test]
fn retention_without_descriptors_changes_nothing() {
    let disk = FaultDisk::new(1);
    let config = LogConfig { retention_ms: None, retention_bytes: Some(0), ..small() };
    let mut log =
        LogWriter::open(env_on(Arc::new(disk.clone())), "/t-0".into(), config, CLEAN, at(0)).unwrap();
    (0..9).for_each(|nth| _ = append(&mut log, batch(1, 300, nth), 1));
    sync(&mut log);
    disk.set_max_open(0);
    log.retain(at(0), 9).unwrap_err();
    assert!(!log.has_failed());
    disk.heal();
    assert!(log.retain(at(0), 9).unwrap().segments > 0);
}
