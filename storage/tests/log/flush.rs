//! How far the log is durable, and what a failing disk does to it.

use std::sync::Arc;

use storage::disk::fault::{Errno, Fault, FaultDisk, Op, When};
use storage::disk::{create_dir_durably, out_of_descriptors};
use storage::log::{AppendError, LogConfig, LogError, LogWriter, Start};
use storage::producers::Origin;

use crate::fixture::*;

/// A disk whose log directory exists for good.
fn disk(seed: u64) -> FaultDisk {
    let disk = FaultDisk::new(seed);
    create_dir_durably(&disk, "/logs".as_ref()).unwrap();
    disk
}

fn open(disk: &FaultDisk, start: Start) -> LogWriter {
    let config = LogConfig { segment_bytes: 500, index_interval_bytes: 0, ..LogConfig::default() };
    LogWriter::open(env_on(Arc::new(disk.clone())), "/logs/t-0".into(), config, start, at(0)).unwrap()
}

fn fault(op: Op) -> Fault {
    Fault { op, under: "/logs".into(), when: When::From(1), errno: Errno::IO }
}

#[test]
fn the_recovery_point_is_what_was_appended_before_the_sync_began() {
    let disk = disk(1);
    let mut log = open(&disk, CLEAN);
    append(&mut log, batch(1, 100, 0), 0);
    let unsynced = log.unsynced().unwrap().unwrap();
    append(&mut log, batch(1, 100, 0), 0);
    let done = unsynced.sync().unwrap();
    log.synced(done);
    assert_eq!((log.synced_end_offset(), log.view().synced_end_offset), (1, 1));
    sync(&mut log);
    assert_eq!(log.synced_end_offset(), 2);
    assert!(log.unsynced().unwrap().is_none());
}

#[test]
fn what_was_synced_survives_a_power_cut() {
    for seed in 0..40 {
        let disk = disk(seed);
        let mut log = open(&disk, CLEAN);
        let mut synced = 0;
        for nth in 0..(7 + seed % 9) {
            append(&mut log, batch(1 + nth as usize % 2, 90, nth as i64), (nth * (seed % 2) / 3) as i32);
            if nth % 4 == 3 {
                sync(&mut log);
                synced = log.synced_end_offset();
            }
        }
        let written = read_all(&log, 0, 300);
        disk.crash();
        let log = open(&disk, Start { recovery_point: synced, ..CRASHED });
        let found = read_all(&log, 0, 300);
        assert!(
            log.log_end_offset() >= synced,
            "seed {seed}: {} of {synced}, {written:?}",
            log.log_end_offset()
        );
        assert_eq!(found, written[..found.len()], "seed {seed}");
    }
}

#[test]
fn a_failed_sync_is_the_end_of_the_log() {
    let disk = disk(3);
    let mut log = open(&disk, CLEAN);
    append(&mut log, batch(1, 100, 0), 0);
    let unsynced = log.unsynced().unwrap().unwrap();
    disk.inject(fault(Op::Sync));
    assert!(unsynced.sync().is_err());
    disk.heal();
    assert!(log.has_failed());
    assert!(matches!(log.unsynced(), Err(LogError::Failed)));
    let refused = log.append(&mut batch(1, 1, 0), Origin::Client, 0, at(0));
    assert!(matches!(refused, Err(AppendError::Log(LogError::Failed))), "{refused:?}");
    assert_eq!(read_all(&log, 0, 1000), [(0, 0)]);
}

#[test]
fn a_sync_without_descriptors_is_done_again() {
    let disk = disk(8);
    let mut log = open(&disk, CLEAN);
    append(&mut log, batch(1, 100, 0), 1);
    disk.set_max_open(0);
    let refused = log.unsynced().unwrap().unwrap().sync();
    assert!(matches!(&refused, Err(LogError::Io(e)) if out_of_descriptors(e)), "{refused:?}");
    disk.heal();
    sync(&mut log);
    assert_eq!(log.synced_end_offset(), 1);
    disk.crash();
    assert_eq!(read_all(&open(&disk, CRASHED), 0, 1000), [(0, 0)]);
}

#[test]
fn a_failed_write_leaves_the_log_as_it_was() {
    let disk = disk(4);
    let mut log = open(&disk, CLEAN);
    append(&mut log, from_producer(1, 0, false), 0);
    disk.inject(Fault { when: When::Nth(1), ..fault(Op::Write) });
    log.append(&mut from_producer(1, 1, false), Origin::Client, 0, at(0)).unwrap_err();
    assert!(!log.has_failed());
    assert_eq!(log.log_end_offset(), 1);
    append(&mut log, from_producer(1, 1, false), 0);
    assert_eq!(read_all(&log, 0, 1000), [(0, 0), (1, 1)]);
}

#[test]
fn a_write_that_cannot_be_taken_back_is_the_end_of_the_log() {
    let disk = disk(5);
    let mut log = open(&disk, CLEAN);
    append(&mut log, batch(1, 10, 0), 0);
    disk.inject(fault(Op::Write));
    disk.inject(fault(Op::SetLen));
    log.append(&mut batch(1, 10, 0), Origin::Client, 0, at(0)).unwrap_err();
    assert!(log.has_failed());
}

#[test]
fn a_roll_that_fails_changes_nothing() {
    for op in [Op::Open, Op::Write, Op::SetLen] {
        let disk = disk(6);
        let mut log = open(&disk, CLEAN);
        append(&mut log, batch(1, 400, 0), 0);
        disk.inject(fault(op));
        log.append(&mut batch(1, 400, 0), Origin::Client, 0, at(0)).unwrap_err();
        disk.heal();
        assert_eq!(read_all(&log, 0, 1000), [(0, 0)], "{op:?}");
        append(&mut log, batch(1, 400, 0), 0);
        assert_eq!(read_all(&log, 0, 1000), [(0, 0), (1, 1)], "{op:?}");
    }
}

#[test]
fn a_roll_whose_directory_cannot_be_synced_is_the_end_of_the_log() {
    let disk = disk(10);
    let mut log = open(&disk, CLEAN);
    append(&mut log, batch(1, 400, 0), 0);
    disk.inject(Fault { when: When::Nth(1), ..fault(Op::SyncDir) });
    log.append(&mut batch(1, 400, 0), Origin::Client, 0, at(0)).unwrap_err();
    assert!(log.has_failed());
}

#[test]
fn a_truncation_survives_a_power_cut() {
    for seed in 0..40 {
        let disk = disk(seed);
        let mut log = open(&disk, CLEAN);
        for nth in 0..12 {
            append(&mut log, batch(1, 90, nth), 1);
        }
        sync(&mut log);
        let cut = 1 + seed as i64 % 11;
        log.truncate_to(cut, at(0)).unwrap();
        let point = log.synced_end_offset();
        append(&mut log, batch(2, 90, 0), 2);
        disk.crash();
        let log = open(&disk, Start { recovery_point: point, ..CRASHED });
        let found = read_all(&log, 0, 300);
        let kept: Vec<_> = (0..cut).map(|n| (n, n)).collect();
        assert!(
            found == kept || found == [kept.clone(), vec![(cut, cut + 1)]].concat(),
            "seed {seed}: {found:?}"
        );
    }
}

#[test]
fn a_sync_begun_before_a_truncation_proves_nothing() {
    let disk = disk(7);
    let mut log = open(&disk, CLEAN);
    for nth in 0..4 {
        append(&mut log, batch(1, 90, nth), 1);
    }
    let unsynced = log.unsynced().unwrap().unwrap();
    log.truncate_to(2, at(0)).unwrap();
    append(&mut log, batch(2, 90, 0), 2);
    let done = unsynced.sync().unwrap();
    log.synced(done);
    assert_eq!(log.synced_end_offset(), 0);
    sync(&mut log);
    assert_eq!(log.synced_end_offset(), 4);
}

#[test]
fn a_new_open_after_a_failed_sync_does_not_vouch_for_the_page_cache() {
    let mut lost = Vec::new();
    for seed in 0..50 {
        let disk = disk(seed);
        let mut log = open(&disk, CLEAN);
        append(&mut log, batch(1, 100, 0), 1);
        sync(&mut log);
        let safe = log.synced_end_offset();
        append(&mut log, batch(1, 100, 9), 1);
        disk.inject(Fault { op: Op::Sync, under: "/logs".into(), when: When::Nth(1), errno: Errno::IO });
        assert!(log.unsynced().unwrap().unwrap().sync().is_err());
        drop(log);
        disk.heal();
        let mut log = open(&disk, Start { recovery_point: safe, ..CRASHED });
        sync(&mut log);
        let promised = log.synced_end_offset();
        drop(log);
        disk.crash();
        let log = open(&disk, Start { recovery_point: promised, ..CRASHED });
        let sound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_all(&log, 0, 1 << 20)));
        if log.log_end_offset() < promised || sound.is_err() {
            lost.push(seed);
        }
    }
    assert!(lost.is_empty(), "promised and lost: seeds {lost:?}");
}
