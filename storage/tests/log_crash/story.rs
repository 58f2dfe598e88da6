//! One log through several lives: appends, syncs, faults, and in between power cuts and kills.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use storage::batch::{BatchBuilder, EndTxn, Outcome, Prepared, ProducerFields, next_sequence};
use storage::compress::Compression;
use storage::disk::fault::{Errno, Fault, FaultDisk, Op, Rng, When};
use storage::disk::{Disk, create_dir_durably};
use storage::files::FileCache;
use storage::log::{Append, AppendError, LogConfig, LogEnv, LogError, LogWriter, Start};
use storage::producers::Origin;
use storage::time::{Mono, Now, Wall};

use crate::checks;
use crate::history::{Batch, History};

const DIR: &str = "/data/t-0";
const STEPS: usize = 50;

pub struct Story {
    rng: Rng,
    disk: FaultDisk,
    config: LogConfig,
    history: History,
    start: Start,
    now: Now,
    leader_epoch: i32,
    /// Epoch and next sequence of each producer, as far as it knows.
    producers: BTreeMap<i64, (i16, i32)>,
    last: BTreeMap<i64, Prepared>,
}

/// Why a life ended.
enum End {
    PowerCut,
    Kill,
}

impl Story {
    pub fn new(seed: u64) -> Story {
        let (mut rng, disk) = (Rng::new(seed), FaultDisk::new(seed ^ 0x5eed));
        create_dir_durably(&disk, Path::new("/data")).unwrap();
        let config = LogConfig {
            segment_bytes: [400, 1500, 20_000][rng.below(3)],
            segment_ms: [500, 1 << 40][rng.below(2)],
            index_interval_bytes: [0, 200, 4096][rng.below(3)],
            segment_index_bytes: [24, 10 << 20][rng.below(2)],
            retention_ms: None,
            retention_bytes: Some(2000),
            file_delete_delay_ms: 1000,
            producer_id_expiration_ms: 1 << 50,
            compact: rng.below(3) == 0,
            ..LogConfig::default()
        };
        let now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000) };
        let (history, start) = (History::default(), Start::default());
        let (producers, last) = (BTreeMap::new(), BTreeMap::new());
        Story { rng, disk, config, history, start, now, leader_epoch: 0, producers, last }
    }

    /// Lives until the end; returns how many batches were lost on the way.
    pub fn tell(mut self) -> usize {
        let mut lost = 0;
        for _ in 0..3 {
            let end = self.live();
            let before = self.history.batches.len();
            self.disk.heal();
            if let End::PowerCut = end {
                self.disk.crash();
            }
            self.look(matches!(end, End::Kill));
            lost += before.saturating_sub(self.history.batches.len());
        }
        lost
    }

    fn open(&mut self) -> Result<LogWriter, LogError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let files = Arc::new(FileCache::new(disk.clone(), 1 + self.rng.below(8)));
        LogWriter::open(LogEnv { disk, files }, DIR.into(), self.config.clone(), self.start, self.now)
    }

    /// Opens the log after a crash or a kill, without faults, and looks at all of it.
    fn look(&mut self, all_is_there: bool) {
        let mut log = self.open().unwrap();
        self.start.clean = false;
        self.lower_recovery_point(&log);
        let found = checks::read_all(&log, &mut self.rng);
        let before = self.history.batches.len();
        self.history.check_survivors(&found, log.log_start_offset());
        assert!(!all_is_there || self.history.batches.len() >= before, "a kill loses nothing");
        checks::agrees(&log, &self.history, &mut self.rng);
        self.check_next_offset(&mut log);
    }

    /// A new batch goes behind everything found: no offset is given twice.
    fn check_next_offset(&mut self, log: &mut LogWriter) {
        let end = log.log_end_offset();
        // A segment that a follower began behind a gap may have survived without its first batch.
        assert!(end >= self.history.end(0) && end <= self.history.highest, "the log ends at {end}");
        let mut batch = self.batch(ProducerFields::NONE, false);
        let Append::Done(done) = log.append(&mut batch, Origin::Client, self.leader_epoch, self.now).unwrap()
        else {
            panic!("no producer, no duplicate");
        };
        assert_eq!(done.base_offset, end);
        self.history.appended(Batch::new(batch.to_bytes()));
    }

    /// Producers go on from what the log remembers of them.
    fn learn_sequences(&mut self, log: &LogWriter) {
        let known = log.producers().iter();
        self.producers =
            known.map(|(id, state)| (id, (state.epoch, next_sequence(state.last_sequence())))).collect();
        // A batch that survived as its producer's last is still known as a duplicate.
        let producers = &self.producers;
        self.last.retain(|id, batch| {
            let behind = (batch.header.producer_epoch, next_sequence(batch.header.last_sequence()));
            producers.get(id) == Some(&behind)
        });
    }

    fn live(&mut self) -> End {
        let power_goes = self.spoil();
        let Ok(mut log) = self.open() else { return End::PowerCut };
        self.learn_sequences(&log);
        for _ in 0..STEPS {
            self.now.mono = self.now.mono.plus(std::time::Duration::from_millis(100));
            self.now.wall.0 += 100;
            let done = self.step(&mut log);
            self.history.raised = self.history.raised.max(log.log_start_offset());
            match done {
                Ok(()) => {}
                // After a failed write or sync only the medium tells what is there.
                Err(_) if log.has_failed() => return End::PowerCut,
                Err(_) if self.rng.one_in(4) => return End::PowerCut,
                Err(_) => {}
            }
        }
        if self.rng.one_in(4) {
            match log.close() {
                Ok(()) => {
                    self.history.synced(log.log_end_offset());
                    self.start.clean = true;
                }
                // What the kernel gave up, it shows until the power goes: a kill would not tell.
                Err(_) => return End::PowerCut,
            }
        }
        if !power_goes && self.rng.one_in(3) { End::Kill } else { End::PowerCut }
    }

    /// Lets this life meet a fault, perhaps. Whether the power will go in the middle.
    fn spoil(&mut self) -> bool {
        let nth = 1 + self.rng.below(40) as u64;
        let fault =
            |op, errno| self.disk.inject(Fault { op, under: DIR.into(), when: When::Nth(nth), errno });
        let kind = self.rng.below(10);
        match kind {
            0 => fault(Op::Write, Errno::IO),
            1 => fault(Op::Sync, Errno::IO),
            2 => fault(Op::SyncDir, Errno::IO),
            3 => fault(Op::Open, Errno::MFILE),
            4 => fault(Op::Rename, Errno::IO),
            5 => fault(Op::SetLen, Errno::IO),
            6 => self.disk.set_capacity(self.disk.used() + self.rng.below(4000) as u64),
            7 => self.disk.power_off_after(self.rng.below(150) as u64),
            _ => {}
        }
        kind == 7
    }

    fn step(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        match self.rng.below(20) {
            0..5 => self.append_plain(log),
            5..9 => self.append_idempotent(log),
            9 => self.end_transaction(log),
            10 => self.append_as_follower(log),
            11 => {
                self.leader_epoch += 1;
                log.begin_epoch(self.leader_epoch);
                Ok(())
            }
            12 => self.repeat(log),
            13 => {
                self.start.recovery_point = log.synced_end_offset();
                Ok(())
            }
            14 if self.rng.one_in(2) => self.truncate(log),
            15 if self.rng.one_in(3) => self.delete_records(log),
            16 if self.rng.one_in(3) => Ok(log.retain(self.now, log.log_end_offset()).map(drop)?),
            17 => Ok(log.delete_old_files(self.now).map_err(LogError::Io)?),
            _ => Ok(self.sync(log)?),
        }
    }

    /// A follower cuts its log where the leader's differs. Its recovery point, like the broker's checkpoint, goes first.
    fn truncate(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let offset = end - self.rng.below((end - start) as usize + 1).min(self.rng.below(60)) as i64;
        self.start.recovery_point = self.start.recovery_point.min(offset);
        self.producers.clear();
        self.last.clear();
        let cut = log.truncate_to(offset, self.now);
        self.lower_recovery_point(log);
        self.history.truncated(offset, cut.is_ok());
        self.learn_sequences(log);
        Ok(cut.map(drop)?)
    }

    /// Before anything is appended the broker's checkpoint must not promise more than the log has.
    fn lower_recovery_point(&mut self, log: &LogWriter) {
        self.start.recovery_point = self.start.recovery_point.min(log.synced_end_offset());
    }

    /// The log start rises; the broker notes it down soon, or only after a power cut.
    fn delete_records(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        log.advance_log_start(start + self.rng.below((end - start) as usize + 1) as i64)?;
        if self.rng.one_in(2) {
            self.start.log_start_offset = log.log_start_offset();
        }
        Ok(())
    }

    fn append_plain(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let batch = self.batch(ProducerFields::NONE, false);
        self.append(log, batch).map(drop)
    }

    fn append_idempotent(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let id = 1 + self.rng.below(6) as i64;
        let (mut epoch, mut base_sequence) = self.producers.get(&id).copied().unwrap_or((0, 0));
        if self.rng.one_in(10) {
            (epoch, base_sequence) = (epoch + 1, 0);
        }
        // Half of the producers are transactional; an open transaction is not mixed with anything else.
        let batch = self.batch(ProducerFields { id, epoch, base_sequence }, id % 2 == 0);
        if let Some(done) = self.append(log, batch.clone())? {
            self.producers.insert(id, (epoch, next_sequence(done.header.last_sequence())));
            self.last.insert(id, batch);
        }
        Ok(())
    }

    fn end_transaction(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let open = log.producers().iter().find(|(id, _)| log.producers().has_open_transaction(*id));
        let Some((id, epoch)) = open.map(|(id, state)| (id, state.epoch)) else { return Ok(()) };
        let outcome = [Outcome::Abort, Outcome::Commit][self.rng.below(2)];
        let marker = EndTxn { outcome, coordinator_epoch: 0 };
        let mut bytes = marker.batch(id, epoch, self.now.wall.0).unwrap();
        bytes.assign(log.log_end_offset(), self.leader_epoch);
        let result = log.append_marker((id, epoch), marker, false, self.leader_epoch, self.now);
        self.note(vec![Batch::new(bytes.to_bytes())], result.map(drop))
    }

    /// Batches from a leader, with gaps between them.
    fn append_as_follower(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let mut offset = log.log_end_offset();
        let mut batches = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let mut batch = self.batch(ProducerFields::NONE, false);
            batch.assign(offset + self.rng.below(3) as i64, self.leader_epoch);
            offset = batch.header.next_offset();
            batches.push(Batch::new(batch.to_bytes()));
        }
        let all: Vec<u8> = batches.iter().flat_map(|batch| batch.bytes.to_vec()).collect();
        let result = log.append_as_follower(&Bytes::from(all), self.now);
        // Several writes: those before the one that failed are in the log.
        let done = batches.partition_point(|batch| batch.next_offset() <= log.log_end_offset());
        let rest = batches.split_off(done);
        batches.into_iter().for_each(|batch| self.history.appended(batch));
        if rest.is_empty() { result.map(drop) } else { self.note(rest, result.map(drop)) }
    }

    /// A producer that missed the answer sends its last batch again.
    fn repeat(&mut self, log: &mut LogWriter) -> Result<(), AppendError> {
        let Some((_, batch)) = self.last.iter().nth(self.rng.below(self.last.len())) else { return Ok(()) };
        let end = log.log_end_offset();
        match log.append(&mut batch.clone(), Origin::Client, self.leader_epoch, self.now)? {
            Append::Duplicate(_) => assert_eq!(log.log_end_offset(), end),
            Append::Done(_) => panic!("appended twice: {:?}", batch.header),
        }
        Ok(())
    }

    fn append(&mut self, log: &mut LogWriter, mut batch: Prepared) -> Result<Option<Batch>, AppendError> {
        let result = log.append(&mut batch, Origin::Client, self.leader_epoch, self.now);
        let written = Batch::new(batch.to_bytes());
        self.note(vec![written.clone()], result.map(drop)).map(|()| Some(written))
    }

    /// Writes down what an append of `batches` did.
    fn note(&mut self, batches: Vec<Batch>, result: Result<(), AppendError>) -> Result<(), AppendError> {
        match &result {
            Ok(()) => batches.into_iter().for_each(|batch| self.history.appended(batch)),
            Err(AppendError::Log(_)) => self.history.failed(batches),
            Err(refused) => panic!("{refused}"),
        }
        result
    }

    /// Syncs; sometimes the power goes before the log hears of it, and sometimes appends come in between.
    fn sync(&mut self, log: &mut LogWriter) -> Result<(), LogError> {
        let Some(unsynced) = log.unsynced()? else { return Ok(()) };
        let end = unsynced.up_to();
        if self.rng.one_in(4) {
            let _ = self.append_plain(log);
        }
        let synced = unsynced.sync()?;
        self.history.synced(end);
        if !self.rng.one_in(8) {
            log.synced(synced);
        }
        Ok(())
    }

    fn batch(&mut self, producer: ProducerFields, transactional: bool) -> Prepared {
        let mut builder = BatchBuilder::new(Compression::NONE).producer(producer);
        if transactional {
            builder = builder.transactional();
        }
        for _ in 0..1 + self.rng.below(3) {
            let timestamp = self.now.wall.0 - self.rng.below(300) as i64;
            let value = vec![self.rng.next_u64() as u8; self.rng.below(90)];
            builder.push(timestamp, Some(b"key"), Some(&value), &[]);
        }
        builder.finish().unwrap()
    }
}
