//! A log in a directory of its own, and short ways to fill and read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use storage::batch::{BatchBuilder, EndTxn, Outcome, Prepared, ProducerFields, batches};
use storage::compress::Compression;
use storage::disk::{Disk, RealDisk};
use storage::files::FileCache;
use storage::log::{Append, Appended, LogConfig, LogEnv, LogWriter, Offset, Start};
use storage::producers::Origin;
use storage::time::{Mono, Now, Wall};
use tempfile::TempDir;

pub const CLEAN: Start = Start { recovery_point: 0, log_start_offset: 0, clean: true };
pub const CRASHED: Start = Start { recovery_point: 0, log_start_offset: 0, clean: false };

pub fn at(ms: i64) -> Now {
    Now { mono: Mono(ms as u64), wall: Wall(ms) }
}

pub fn env_on(disk: Arc<dyn Disk>) -> LogEnv {
    LogEnv { files: Arc::new(FileCache::new(disk.clone(), 8)), disk }
}

/// Small segments, an index entry for nearly each batch.
pub fn small() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() }
}

pub struct Fixture {
    _temp: TempDir,
    pub dir: PathBuf,
    pub env: LogEnv,
    pub config: LogConfig,
}

impl Fixture {
    pub fn new(config: LogConfig) -> Fixture {
        let temp = TempDir::new().unwrap();
        let dir = temp.path().join("topic-0");
        Fixture { _temp: temp, dir, env: env_on(Arc::new(RealDisk)), config }
    }

    pub fn open(&self, start: Start) -> LogWriter {
        LogWriter::open(self.env.clone(), self.dir.clone(), self.config.clone(), start, at(0)).unwrap()
    }

    /// The names in the directory, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.env.disk.list(&self.dir).unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    }

    pub fn logs(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| name.ends_with(".log")).collect()
    }
}

/// `count` records of `bytes` each.
pub fn batch(count: usize, bytes: usize, timestamp: i64) -> Prepared {
    let mut builder = BatchBuilder::new(Compression::NONE);
    for nth in 0..count {
        builder.push(timestamp, None, Some(&vec![nth as u8; bytes]), &[]);
    }
    builder.finish().unwrap()
}

pub fn from_producer(id: i64, sequence: i32, transactional: bool) -> Prepared {
    let builder = BatchBuilder::new(Compression::NONE).producer(ProducerFields {
        id,
        epoch: 0,
        base_sequence: sequence,
    });
    let mut builder = if transactional { builder.transactional() } else { builder };
    builder.push(1, None, Some(b"value"), &[]);
    builder.finish().unwrap()
}

pub fn append(log: &mut LogWriter, mut batch: Prepared, epoch: i32) -> Appended {
    match log.append(&mut batch, Origin::Client, epoch, at(0)).unwrap() {
        Append::Done(appended) => appended,
        Append::Duplicate(_) => panic!("duplicate"),
    }
}

pub fn end_txn(log: &mut LogWriter, id: i64, outcome: Outcome) -> Appended {
    log.append_marker((id, 0), EndTxn { outcome, coordinator_epoch: 0 }, false, 1, at(0)).unwrap()
}

pub fn sync(log: &mut LogWriter) {
    if let Some(unsynced) = log.unsynced().unwrap() {
        let done = unsynced.sync().unwrap();
        log.synced(done);
    }
}

/// Base and last offset of each batch in the log, by reading on from `from` with at most `max` bytes at once.
pub fn read_all(log: &LogWriter, from: Offset, max: u64) -> Vec<(Offset, Offset)> {
    let (reader, mut at, mut found) = (log.reader(), from, Vec::new());
    while at < log.log_end_offset() {
        let read = reader.read(at, Offset::MAX, max, true).unwrap();
        let Some(slice) = read.slice else { break };
        let bytes = Bytes::from(slice.read().unwrap());
        for batch in batches(&bytes) {
            let batch = batch.expect("whole batches");
            batch.check_crc().unwrap();
            found.push((batch.header.base_offset, batch.header.last_offset()));
            at = batch.header.next_offset();
        }
        assert!(at <= read.end_offset, "{at} is not below {}", read.end_offset);
    }
    found
}

pub fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}
