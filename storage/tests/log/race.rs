//! Readers at work while the owner appends, cuts and removes.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;

use bytes::Bytes;
use storage::batch::batches;
use storage::disk::fault::{FaultDisk, Rng};
use storage::log::{LogConfig, LogReader, LogWriter, Offset, ReadError};

use crate::fixture::*;

/// What the owner does in one run.
const STEPS: usize = 3000;

fn change(log: &mut LogWriter, rng: &mut Rng, epoch: &mut i32) {
    match rng.below(40) {
        0 => {
            *epoch += 1;
            let back = rng.below(30) as Offset;
            let to = (log.log_end_offset() - back).max(log.log_start_offset());
            log.truncate_to(to, at(0)).unwrap();
        }
        1 => {
            sync(log);
            log.retain(at(0), log.log_end_offset()).unwrap();
        }
        2 => log.delete_old_files(at(i64::MAX >> 1)).unwrap(),
        _ => _ = append(log, batch(1 + rng.below(3), rng.below(120), log.log_end_offset()), *epoch),
    }
}

/// Reads somewhere; whole and sound batches, or nothing that a newer view would still have.
fn look(reader: &LogReader, rng: &mut Rng) -> Result<(), ReadError> {
    let view = reader.view();
    let from =
        view.log_start_offset + rng.below((view.log_end_offset - view.log_start_offset) as usize + 1) as i64;
    reader.offset_for_timestamp(from, Offset::MAX)?;
    let read = reader.read(from, Offset::MAX, rng.below(2000) as u64, true)?;
    let Some(slice) = read.slice else { return Ok(()) };
    let bytes = match slice.read() {
        Ok(bytes) => Bytes::from(bytes),
        // Cut off meanwhile: the connection would be closed.
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let mut next = None;
    for batch in batches(&bytes) {
        let batch = batch.expect("whole batches");
        batch.check_crc().expect("sound batches");
        let base = batch.header.base_offset;
        assert!(next.is_none_or(|next| next == base), "{base} does not follow {next:?}");
        assert!(next.is_some() || base <= from && from <= batch.header.last_offset());
        next = Some(batch.header.next_offset());
    }
    assert!(next.is_some_and(|next| next <= read.end_offset));
    Ok(())
}

#[test]
fn readers_see_whole_batches_or_are_told_that_they_are_gone() {
    let disk = Arc::new(FaultDisk::new(1));
    let config = LogConfig { segment_bytes: 700, index_interval_bytes: 150, ..LogConfig::default() };
    let config =
        LogConfig { retention_ms: None, retention_bytes: Some(4000), file_delete_delay_ms: 0, ..config };
    let mut log = LogWriter::open(env_on(disk), "/t-0".into(), config, CLEAN, at(0)).unwrap();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..3 {
            let (reader, done, looks) = (log.reader(), &done, &looks);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                while !done.load(Relaxed) {
                    match look(&reader, &mut rng) {
                        Ok(()) | Err(ReadError::OutOfRange { .. }) => _ = looks.fetch_add(1, Relaxed),
                        Err(e) => panic!("{e}"),
                    }
                }
            });
        }
        let (mut rng, mut epoch) = (Rng::new(9), 0);
        let mut steps = 0;
        while steps < STEPS || (steps < 20 * STEPS && looks.load(Relaxed) < STEPS as u64) {
            change(&mut log, &mut rng, &mut epoch);
            steps += 1;
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn a_directory_is_renamed_between_syncs_not_under_them() {
    for seed in 0..500 {
        let disk = Arc::new(FaultDisk::new(seed));
        let mut log = LogWriter::open(env_on(disk), "/t-0".into(), small(), CLEAN, at(0)).unwrap();
        append(&mut log, batch(1, 10, 0), 1);
        let unsynced = log.unsynced().unwrap().unwrap();
        let both = Barrier::new(2);
        thread::scope(|scope| {
            let syncing = scope.spawn(|| {
                both.wait();
                unsynced.sync()
            });
            both.wait();
            log.rename_dir("/t-0.away".as_ref()).unwrap();
            log.synced(syncing.join().unwrap().unwrap());
        });
    }
}
