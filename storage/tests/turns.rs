//! The owner of a log, its readers and a sync, where the test decides whose turn it is at each lock, each published view and
//! each call of the disk: `cargo test -p drave-storage --features shuttle --test turns`.
#![cfg(feature = "shuttle")]

use bytes::Bytes;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::Mutex;
use shuttle::{Config, Runner, thread};
use std::io::ErrorKind;
use std::sync::Arc;
use storage::batch::{BatchBuilder, Prepared, batches, records};
use storage::compress::Compression;
use storage::disk::Disk;
use storage::disk::fault::FaultDisk;
use storage::files::FileCache;
use storage::log::{Append, LogConfig, LogEnv, LogReader, LogWriter, Offset, ReadError, Start};
use storage::producers::Origin;
use storage::time::{Mono, Now, Wall};

const NOW: Now = Now { mono: Mono(0), wall: Wall(0) };
const LOOKS: usize = 3;

/// What is done to the log, in its order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append,
    /// So many records go, and others come in another epoch.
    Cut(Offset),
    RaiseStart,
    Retain,
}
use Step::*;

/// What is done before anybody else is there, and what while they are.
const STORIES: &[(&[Step], &[Step])] = &[
    (&[], &[Append, Append, Append]),
    (&[Append, Append], &[Cut(1), Append]),
    (&[Append, Append], &[Cut(2), Append, Append]),
    (&[Append, Append, Append], &[Cut(2), Append, Cut(1), Append]),
    (&[Append, Append, Append, Append], &[RaiseStart, Retain, Append]),
    (&[Append, Append, RaiseStart], &[Cut(2), Append, Append]),
];

fn open(disk: &FaultDisk, start: Start) -> LogWriter {
    // Two batches fill a segment.
    let config = LogConfig {
        segment_bytes: 180,
        index_interval_bytes: 0,
        retention_ms: None,
        retention_bytes: Some(0),
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let files = Arc::new(FileCache::new(disk.clone(), 1));
    LogWriter::open(LogEnv { disk, files }, "/t-0".into(), config, start, NOW).expect("a log")
}

/// One record, that says which one is before it.
fn batch(number: u64, before: u64) -> Prepared {
    let mut builder = BatchBuilder::new(Compression::NONE);
    builder.push(0, Some(&number.to_be_bytes()), Some(&before.to_be_bytes()), &[]);
    builder.finish().expect("a batch")
}

/// The owner's log, and what the records in it are.
struct Owner {
    log: Arc<Mutex<LogWriter>>,
    numbers: Vec<u64>,
    minted: u64,
    epoch: i32,
}

impl Owner {
    fn take(&mut self, step: Step) {
        let mut log = self.log.lock().unwrap();
        match step {
            Append => {
                self.minted += 1;
                let mut batch = batch(self.minted, self.numbers.last().copied().unwrap_or(0));
                let done = log.append(&mut batch, Origin::Client, self.epoch, NOW).expect("no fault");
                assert!(matches!(done, Append::Done(_)));
                self.numbers.push(self.minted);
            }
            Cut(count) => {
                let to = (log.log_end_offset() - count).max(log.log_start_offset());
                let end = log.truncate_to(to, NOW).expect("no fault");
                self.numbers.truncate(end as usize);
                self.epoch += 1;
            }
            RaiseStart => {
                let end = log.log_end_offset();
                log.advance_log_start(end - 1).expect("within");
            }
            Retain => {
                let end = log.log_end_offset();
                log.retain(NOW, end).expect("no fault");
                log.delete_old_files(NOW).expect("no fault");
            }
        }
    }
}

/// Whatever a reader is given is a run of records as they lay in the log at one time, of the epochs that its view says.
fn look(log: &Mutex<LogWriter>, reader: &LogReader, from: Offset) {
    let read = match reader.read(from, Offset::MAX, 1 << 20, true) {
        Ok(read) => read,
        Err(ReadError::OutOfRange { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let view = &read.view;
    assert!(view.synced_end_offset <= view.log_end_offset && view.log_start_offset <= view.log_end_offset);
    let Some(slice) = read.slice else { return };
    let bytes = match slice.read() {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            // The owner may be about to cut it, and has not said so yet.
            drop(log.lock().unwrap());
            assert!(!Arc::ptr_eq(view, &reader.view()), "what the newest view shows was not written");
            return;
        }
    };
    let mut before: Option<u64> = None;
    for batch in batches(&bytes) {
        let batch = batch.expect("whole batches");
        batch.check_crc().expect("sound batches");
        let header = batch.header;
        assert!(header.next_offset() <= view.log_end_offset, "beyond the end of its view");
        assert_eq!(view.epochs.epoch_at(header.base_offset), Some(header.partition_leader_epoch));
        for record in &records(&batch, 1 << 10).expect("a whole batch") {
            let record = record.expect("a whole record");
            let number = |bytes: Option<&[u8]>| u64::from_be_bytes(bytes.unwrap().try_into().unwrap());
            assert!(before.is_none_or(|known| known == number(record.value)), "records of two pasts");
            before = Some(number(record.key));
        }
    }
    assert!(before.is_some(), "a slice without records");
}

/// Syncs while the owner goes on.
fn sync(log: &Mutex<LogWriter>) {
    let unsynced = log.lock().unwrap().unsynced().expect("no fault");
    if let Some(unsynced) = unsynced {
        let done = unsynced.sync().expect("no fault");
        log.lock().unwrap().synced(done);
    }
}

/// What is said to be durable is there when the power comes back.
fn check_durable(disk: &FaultDisk, log: Arc<Mutex<LogWriter>>) {
    let (recovery_point, log_start_offset) = {
        let log = log.lock().unwrap();
        (log.synced_end_offset(), log.log_start_offset())
    };
    drop(log);
    disk.crash();
    let found = open(disk, Start { recovery_point, log_start_offset, clean: false });
    assert!(found.log_end_offset() >= recovery_point, "the power took what was synced");
}

/// Who is there beside the owner.
type Others = fn(&Arc<Mutex<LogWriter>>) -> Vec<thread::JoinHandle<()>>;

fn a_reader(log: &Arc<Mutex<LogWriter>>) -> Vec<thread::JoinHandle<()>> {
    let (reader, log) = (log.lock().unwrap().reader(), log.clone());
    vec![thread::spawn(move || (0..LOOKS).for_each(|nth| look(&log, &reader, nth as Offset)))]
}

fn a_sync(log: &Arc<Mutex<LogWriter>>) -> Vec<thread::JoinHandle<()>> {
    let log = log.clone();
    vec![thread::spawn(move || (0..2).for_each(|_| sync(&log)))]
}

fn tell((before, story): (&[Step], &[Step]), others: Others) {
    let disk = FaultDisk::new(1);
    let log = Arc::new(Mutex::new(open(&disk, Start::default())));
    let mut owner = Owner { log, numbers: vec![], minted: 0, epoch: 0 };
    before.iter().for_each(|step| owner.take(*step));
    let others = others(&owner.log);
    story.iter().for_each(|step| owner.take(*step));
    others.into_iter().for_each(|other| other.join().expect("no panic"));
    check_durable(&disk, owner.log);
}

/// Half of the orders are any, in the others few turns are not as one would think.
fn tell_all(others: Others) {
    for story in STORIES {
        let any = Box::new(RandomScheduler::new_from_seed(1, orders()));
        let few = Box::new(PctScheduler::new_from_seed(1, 2, orders()));
        let schedulers: [Box<dyn Scheduler + Send>; 2] = [any, few];
        for scheduler in schedulers {
            Runner::new(scheduler, Config::new()).run(move || tell(*story, others));
        }
    }
}

/// So many orders of turns for each story.
fn orders() -> usize {
    std::env::var("DRAVE_TURNS").map_or(1_000, |text| text.parse().expect("a number"))
}

#[test]
fn readers_see_what_was_written() {
    tell_all(a_reader);
}

#[test]
fn a_sync_vouches_for_what_is_durable_alone() {
    tell_all(a_sync);
}
