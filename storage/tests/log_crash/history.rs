//! What the log was told, and what it may hold after a crash.

use bytes::Bytes;
use storage::batch::{BatchHeader, EndTxn, RawBatch, records};
use storage::index::AbortedTxn;
use storage::producers::Producers;

/// A batch as it lies in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub header: BatchHeader,
    pub marker: Option<EndTxn>,
    pub bytes: Bytes,
}

impl Batch {
    pub fn new(bytes: Bytes) -> Batch {
        let raw = RawBatch::first(&bytes).unwrap();
        raw.check_crc().unwrap();
        let marker = raw.header.attributes.is_control().then(|| {
            let records = records(&raw, 4096).unwrap();
            EndTxn::parse(&records.iter().next().unwrap().unwrap()).unwrap()
        });
        Batch { header: raw.header, marker, bytes }
    }

    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// Timestamp and offset of each record.
    pub fn times(&self) -> Vec<(i64, i64)> {
        let records = records(&RawBatch::first(&self.bytes).unwrap(), 4096).unwrap();
        records.iter().map(|record| record.unwrap()).map(|record| (record.timestamp, record.offset)).collect()
    }
}

/// All appends in order, those that must survive, and the tails that were cut or failed and may yet be seen.
#[derive(Debug, Default)]
pub struct History {
    pub batches: Vec<Batch>,
    /// Batches that no crash may take, counted from the first.
    durable: usize,
    /// Other ways for the log to be after a crash: a write that failed may have reached the disk, a cut may not.
    others: Vec<Vec<Batch>>,
    /// Behind all offsets that were ever tried.
    pub highest: i64,
    /// As far as the log start was ever raised.
    pub raised: i64,
}

impl History {
    pub fn end(&self, empty: i64) -> i64 {
        self.batches.last().map_or(empty, Batch::next_offset)
    }

    /// Batches that lie wholly below `offset`.
    pub fn count_below(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.next_offset() <= offset)
    }

    pub fn appended(&mut self, batch: Batch) {
        self.highest = self.highest.max(batch.next_offset());
        self.batches.push(batch);
    }

    /// An append that was refused by the disk.
    pub fn failed(&mut self, tail: Vec<Batch>) {
        self.highest = tail.iter().map(Batch::next_offset).fold(self.highest, i64::max);
        self.others.push([self.batches.clone(), tail].concat());
    }

    /// Everything below `offset` was synced; syncs are of all that the log was when they began.
    pub fn synced(&mut self, offset: i64) {
        self.durable = self.durable.max(self.count_below(offset));
        if self.durable == self.batches.len() {
            self.others.clear();
        }
    }

    /// The log was cut; `surely`, or so that the cut may be found undone.
    pub fn truncated(&mut self, offset: i64, surely: bool) {
        let kept = self.count_below(offset);
        if surely && kept < self.batches.len() {
            self.others.clear();
        } else if !surely {
            self.others.push(self.batches.clone());
        }
        self.batches.truncate(kept);
        self.durable = self.durable.min(kept);
    }

    pub fn durable_end(&self, empty: i64) -> i64 {
        self.batches[..self.durable].last().map_or(empty, Batch::next_offset)
    }

    /// The log was found to hold `found` from `log_start` on: nothing durable may miss, nothing strange be there.
    pub fn check_survivors(&mut self, found: &[Batch], log_start: i64) {
        let visible = |batches: &[Batch]| batches.partition_point(|batch| batch.next_offset() <= log_start);
        let fits = |all: &Vec<Batch>| all[visible(all)..].starts_with(found);
        let Some(whole) = std::iter::once(&self.batches).chain(&self.others).find(|all| fits(all)) else {
            panic!(
                "not a prefix of what was appended\nfound {}\nappended {}",
                list(found),
                list(&self.batches)
            );
        };
        let kept = visible(whole) + found.len();
        let durable = self.durable_end(log_start).max(log_start);
        let end = found.last().map_or(log_start, Batch::next_offset);
        assert!(end >= durable || durable <= self.raised, "synced up to {durable}, found up to {end}");
        self.batches = whole[..kept].to_vec();
        self.others.clear();
        self.durable = self.durable.min(kept);
    }

    /// What the log must know of producers, and the transactions it must call aborted.
    pub fn producers(&self) -> (Producers, Vec<AbortedTxn>) {
        let mut producers = Producers::starting_at(0);
        let aborted =
            self.batches.iter().filter_map(|batch| producers.apply(&batch.header, batch.marker)).collect();
        (producers, aborted)
    }
}

pub fn list(batches: &[Batch]) -> String {
    let one = |batch: &Batch| format!("{}+{}", batch.header.base_offset, batch.bytes.len());
    batches.iter().map(one).collect::<Vec<_>>().join(" ")
}
