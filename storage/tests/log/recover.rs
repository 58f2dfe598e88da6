//! What opening makes of files that a crash, or another program, left.

use std::fs;
use std::sync::{Arc, LazyLock};

use storage::disk::fault::FaultDisk;
use storage::log::{LogConfig, LogError, LogWriter, Start};

use crate::fixture::*;

/// Twelve batches of one record each, five to a segment: bases 0, 5, 10.
fn filled() -> (Fixture, Vec<(i64, i64)>) {
    // Made once and copied: closing syncs, which takes its time.
    static FILLED: LazyLock<Fixture> = LazyLock::new(fill);
    let fixture = Fixture::new(FILLED.config.clone());
    fs::create_dir_all(&fixture.dir).unwrap();
    for name in FILLED.names() {
        fs::copy(FILLED.dir.join(&name), fixture.dir.join(&name)).unwrap();
    }
    (fixture, (0..12).map(|n| (n, n)).collect())
}

fn fill() -> Fixture {
    let size = batch(1, 100, 0).size() as u32;
    let config = LogConfig { segment_bytes: 5 * size, index_interval_bytes: 100, ..LogConfig::default() };
    let fixture = Fixture::new(config);
    let mut log = fixture.open(CLEAN);
    for nth in 0..12 {
        append(&mut log, batch(1, 100, nth), 1 + (nth / 4) as i32);
    }
    log.close().unwrap();
    fixture
}

fn segment(fixture: &Fixture, base: i64, kind: &str) -> std::path::PathBuf {
    fixture.dir.join(format!("{base:020}.{kind}"))
}

/// After a crash with everything above `recovery_point` in doubt.
fn crashed(recovery_point: i64) -> Start {
    Start { recovery_point, ..CRASHED }
}

#[test]
fn damage_above_the_recovery_point_is_cut_off() {
    let size = batch(1, 100, 0).size() as u64;
    // (segment, byte, recovery point) -> log end
    let cases = [
        ((10, size + 70, 0), 11),     // a record in the last segment
        ((10, 70, 10), 10),           // its first record
        ((10, 8, 10), 10),            // a length
        ((5, 2 * size + 80, 0), 7),   // in the middle: what follows it goes too
        ((5, 2 * size + 80, 10), 12), // below the point the CRC is not asked
        ((0, 16, 0), 0),              // the first magic
    ];
    for ((base, at, point), end) in cases {
        let (fixture, all) = filled();
        flip(&segment(&fixture, base, "log"), at);
        let log = fixture.open(crashed(point));
        assert_eq!(log.log_end_offset(), end, "{base} {at} {point}");
        if point == 0 {
            assert_eq!(read_all(&log, 0, 500), all[..end as usize], "{base} {at} {point}");
        }
        let known: Vec<_> = log.epochs().entries().iter().map(|e| e.start_offset).collect();
        assert!(known.iter().all(|start| *start < end), "{known:?}");
    }
}

#[test]
fn damage_below_the_recovery_point_is_refused_and_left_alone() {
    let size = batch(1, 100, 0).size() as u64;
    // (segment, its index is missing, start)
    let cases =
        [(10, false, crashed(12)), (0, true, crashed(12)), (0, true, Start { clean: true, ..crashed(12) })];
    for (base, without_index, start) in cases {
        let (fixture, _) = filled();
        let path = segment(&fixture, base, "log");
        flip(&path, size + 16);
        flip(&path, 16 + if base == 10 { 0 } else { size * 2 });
        if without_index {
            fs::remove_file(segment(&fixture, base, "index")).unwrap();
        }
        let damaged = fs::read(&path).unwrap();
        let (env, dir, config) = (fixture.env.clone(), fixture.dir.clone(), fixture.config.clone());
        let opened = storage::log::LogWriter::open(env, dir, config, start, at(0));
        assert!(matches!(opened, Err(LogError::Damaged { segment, .. }) if segment == base), "{opened:?}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
        assert_eq!(fixture.logs().len(), 3);
    }
}

#[test]
fn a_torn_end_is_cut_off_and_appended_behind() {
    for torn in [1, 11, 60, 100] {
        let (fixture, all) = filled();
        let path = segment(&fixture, 10, "log");
        let len = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - torn).unwrap();
        let mut log = fixture.open(crashed(10));
        assert_eq!(read_all(&log, 0, 500), all[..11], "{torn}");
        append(&mut log, batch(1, 100, 0), 9);
        assert_eq!(read_all(&log, 0, 500), all, "{torn}");
        drop(log);
        assert_eq!(read_all(&fixture.open(crashed(0)), 0, 500), all, "{torn}");
    }
}

#[test]
fn a_torn_end_is_cut_off_even_if_the_shutdown_is_called_clean() {
    for torn in [0, 100] {
        let (fixture, mut all) = filled();
        let path = segment(&fixture, 10, "log");
        let (whole, other) = (fs::read(&path).unwrap(), fs::read(segment(&fixture, 5, "log")).unwrap());
        let bytes =
            if torn == 0 { whole[..whole.len() - 1].to_vec() } else { [&whole, &other[..torn]].concat() };
        fs::write(&path, bytes).unwrap();
        let mut log = fixture.open(CLEAN);
        all.truncate(if torn == 0 { 11 } else { 12 });
        let added = append(&mut log, batch(2, 100, 0), 9);
        all.push((added.base_offset, added.last_offset));
        assert_eq!(read_all(&log, 0, 500), all, "{torn}");
    }
}

#[test]
fn an_index_that_does_not_fit_its_log_is_made_anew() {
    let fixture = Fixture::new(LogConfig { index_interval_bytes: 0, ..LogConfig::default() });
    let mut log = fixture.open(CLEAN);
    (0..4).for_each(|nth| _ = append(&mut log, batch(1, 100, nth), 0));
    log.close().unwrap();
    // The second entry points to the place of the third.
    let path = segment(&fixture, 0, "index");
    let entries = fs::read(&path).unwrap();
    fs::write(&path, [&entries[..12], &entries[20..24]].concat()).unwrap();
    assert_eq!(read_all(&fixture.open(CLEAN), 0, 10), [(0, 0), (1, 1), (2, 2), (3, 3)]);
}

#[test]
fn offsets_that_go_back_are_not_resumed_from() {
    let fixture = Fixture::new(LogConfig { index_interval_bytes: 1 << 20, ..LogConfig::default() });
    let mut log = fixture.open(CLEAN);
    (0..3).for_each(|nth| _ = append(&mut log, batch(1, 100, nth), 0));
    log.close().unwrap();
    // Base offsets are not covered by the CRC.
    let (path, size) = (segment(&fixture, 0, "log"), batch(1, 100, 0).size() as u64);
    flip(&path, 2 * size);
    let mut log = fixture.open(CLEAN);
    assert_eq!((log.log_end_offset(), fs::metadata(&path).unwrap().len()), (2, 2 * size));
    append(&mut log, batch(1, 10, 0), 0);
    assert_eq!(read_all(&log, 0, 10), [(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn what_a_truncation_had_taken_does_not_come_back() {
    // The cut segment has its old end again, the one begun at the cut is there as well.
    let (fixture, all) = filled();
    let (old, new) = (segment(&fixture, 0, "log"), segment(&fixture, 5, "log"));
    fs::write(&old, [fs::read(&old).unwrap(), fs::read(&new).unwrap()].concat()).unwrap();
    assert_eq!(read_all(&fixture.open(crashed(0)), 0, 500), all);
}

#[test]
fn zeros_behind_the_end_are_cut_off() {
    let (fixture, all) = filled();
    let path = segment(&fixture, 10, "log");
    let len = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len + 5000).unwrap();
    assert_eq!(read_all(&fixture.open(crashed(0)), 0, 500), all);
    assert_eq!(fs::metadata(&path).unwrap().len(), len);
}

#[test]
fn missing_or_damaged_indexes_are_made_anew() {
    for start in [CLEAN, crashed(12), crashed(0)] {
        for kind in ["index", "timeindex", "txnindex", "snapshot"] {
            for how in ["missing", "empty", "odd", "garbage"] {
                let (fixture, all) = filled();
                for base in [0, 5, 10] {
                    spoil(&segment(&fixture, base, kind), how);
                }
                let log = fixture.open(start);
                assert_eq!(read_all(&log, 0, 500), all, "{start:?} {kind} {how}");
                for timestamp in 0..12 {
                    let found = log.reader().offset_for_timestamp(timestamp, 12).unwrap();
                    assert_eq!(found.unwrap().offset, timestamp, "{start:?} {kind} {how}");
                }
            }
        }
    }
}

fn spoil(path: &std::path::Path, how: &str) {
    match how {
        "missing" => _ = fs::remove_file(path),
        "empty" => fs::write(path, []).unwrap(),
        "odd" => fs::write(path, [0; 5]).unwrap(),
        _ => fs::write(path, [0xff; 24 * 34]).unwrap(),
    }
}

#[test]
fn nothing_is_offered_behind_a_hole() {
    // What a power cut took of the middle segment, and of the first -> log end, with a recovery point of 0, and of 10
    for (base, kept, ends) in [(5, Some(0), [5, 12]), (5, None, [5, 12]), (0, Some(0), [0, 12])] {
        for (recovery_point, end) in [0, 10].into_iter().zip(ends) {
            let (fixture, _) = filled();
            match kept {
                Some(len) => fs::write(segment(&fixture, base, "log"), vec![0; len]).unwrap(),
                None => fs::remove_file(segment(&fixture, base, "log")).unwrap(),
            }
            let log = fixture.open(crashed(recovery_point));
            assert_eq!(log.log_end_offset(), end, "{base} {kept:?} {recovery_point}");
        }
    }
}

#[test]
fn what_a_failed_roll_left_is_not_the_end_of_a_segment() {
    for start in [CLEAN, crashed(0), crashed(12)] {
        let (fixture, all) = filled();
        for base in [2, 11] {
            fs::write(segment(&fixture, base, "log"), []).unwrap();
        }
        let log = fixture.open(start);
        assert_eq!(read_all(&log, 0, 500), all, "{start:?}");
        assert_eq!(fixture.logs().len(), 3, "{start:?}");
    }
}

#[test]
fn leftovers_go_and_unknown_files_stay() {
    let (fixture, all) = filled();
    let leftovers = [
        "00000000000000000003.log.deleted",
        "00000000000000000003.index",
        "00000000000000000005.log.cleaned",
    ];
    let foreign = ["partition.metadata", "00000000000000000007.logs", "notes.log"];
    for name in leftovers.iter().chain(&foreign) {
        fs::write(fixture.dir.join(name), [1, 2, 3]).unwrap();
    }
    let log = fixture.open(CLEAN);
    assert_eq!(read_all(&log, 0, 500), all);
    let names = fixture.names();
    assert!(!names.iter().any(|name| leftovers.contains(&name.as_str())), "{names:?}");
    assert!(foreign.iter().all(|name| names.contains(&name.to_string())), "{names:?}");
}

#[test]
fn a_finished_compaction_is_put_in_place() {
    let (fixture, all) = filled();
    // What compaction makes of the first two segments: here all of their batches.
    let both =
        [fs::read(segment(&fixture, 0, "log")).unwrap(), fs::read(segment(&fixture, 5, "log")).unwrap()]
            .concat();
    fs::write(segment(&fixture, 0, "log.swap"), &both).unwrap();
    let log = fixture.open(CLEAN);
    assert_eq!(read_all(&log, 0, 500), all);
    assert_eq!(fixture.logs(), ["00000000000000000000.log", "00000000000000000010.log"]);
}

#[test]
fn an_unfinished_compaction_is_forgotten() {
    let (fixture, all) = filled();
    fs::write(segment(&fixture, 5, "log.swap"), [1; 100]).unwrap();
    fs::write(segment(&fixture, 0, "log.cleaned"), [1; 100]).unwrap();
    assert_eq!(read_all(&fixture.open(CLEAN), 0, 500), all);
}

#[test]
fn the_log_start_holds_after_reopening() {
    let (fixture, all) = filled();
    let log = fixture.open(Start { log_start_offset: 7, ..CLEAN });
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (7, 12));
    assert!(log.reader().read(6, 12, 1, true).is_err());
    assert_eq!(read_all(&log, 7, 500), all[7..]);
    drop(log);
    let beyond = fixture.open(Start { log_start_offset: 20, ..CRASHED });
    assert_eq!((beyond.log_start_offset(), beyond.log_end_offset()), (20, 20));
    assert_eq!(fixture.logs(), ["00000000000000000020.log"]);
}

#[test]
fn old_message_formats_are_refused_not_cut() {
    let fixture = Fixture::new(small());
    fs::create_dir_all(&fixture.dir).unwrap();
    let mut crc = flate2::Crc::new();
    let body = [1u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'x'];
    crc.update(&body);
    let mut message = vec![0; 8];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(&crc.sum().to_be_bytes());
    message.extend_from_slice(&body);
    let path = segment(&fixture, 0, "log");
    fs::write(&path, &message).unwrap();
    let opened =
        storage::log::LogWriter::open(fixture.env.clone(), fixture.dir.clone(), small(), CRASHED, at(0));
    assert!(matches!(opened, Err(LogError::Unreadable { at: 0, .. })), "{opened:?}");
    assert_eq!(fs::read(&path).unwrap(), message);
}

#[test]
fn epochs_are_merged_from_checkpoint_and_batches() {
    let (fixture, _) = filled();
    let expected = [(1, 0), (2, 4), (3, 8)];
    let stored = [
        "0\n3\n1 0\n2 4\n3 8\n",       // as it should be
        "0\n1\n1 0\n",                 // written too early
        "0\n3\n1 0\n2 4\n7 11\n",      // from before a truncation
        "0\n4\n1 0\n2 4\n3 8\n4 12\n", // a leader that wrote nothing
    ];
    for text in stored {
        fs::write(fixture.dir.join("leader-epoch-checkpoint"), text).unwrap();
        let log = fixture.open(crashed(3));
        let found: Vec<_> = log.epochs().entries().iter().map(|e| (e.epoch, e.start_offset)).collect();
        assert_eq!(found, expected, "{text:?}");
    }
    fs::write(fixture.dir.join("leader-epoch-checkpoint"), "nonsense").unwrap();
    let found: Vec<_> =
        fixture.open(CLEAN).epochs().entries().iter().map(|e| (e.epoch, e.start_offset)).collect();
    assert_eq!(found, expected);
}

#[test]
fn recovery_holds_no_files_of_closed_segments() {
    let disk = FaultDisk::new(1);
    let env = env_on(Arc::new(disk.clone()));
    let open = || LogWriter::open(env.clone(), "/t-0".into(), small(), CRASHED, at(0));
    let mut log = open().unwrap();
    (0..30).for_each(|nth| _ = append(&mut log, batch(1, 800, nth), 1));
    drop(log);
    // The cache has 8, a rebuilt segment has 4 at once.
    disk.set_max_open(14);
    assert_eq!(open().unwrap().log_end_offset(), 30);
}

#[test]
fn a_snapshot_or_index_of_absurd_size_is_not_read() {
    let (fixture, all) = filled();
    for (base, kind) in [(10, "index"), (10, "timeindex"), (10, "txnindex"), (12, "snapshot")] {
        let path = segment(&fixture, base, kind);
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).unwrap();
        // Whole entries of each kind, none of them written.
        file.set_len((8 * 12 * 34) << 30).unwrap();
    }
    assert_eq!(read_all(&fixture.open(CLEAN), 0, 500), all);
}

#[test]
fn snapshots_do_not_pile_up() {
    let (fixture, _) = filled();
    for _ in 0..3 {
        let mut log = fixture.open(CLEAN);
        append(&mut log, batch(1, 10, 0), 3);
        log.close().unwrap();
    }
    drop(fixture.open(CLEAN));
    let names = fixture.names();
    let snapshots: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".snapshot")).collect();
    assert_eq!(snapshots, ["00000000000000000005", "00000000000000000010", "00000000000000000015"]);
}
