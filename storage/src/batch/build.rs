//! Making batches: what coordinators append, markers, and what compaction keeps.

use bytes::Bytes;
use thiserror::Error;

use super::{
    Attributes, BatchError, BatchHeader, Header, NO_PRODUCER_ID, NO_TIMESTAMP, Prepared, Record,
    TimestampType,
};
use crate::compress::{self, CompressError, Compression};

/// Why a batch cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Compress(#[from] CompressError),
}

/// Who produced a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    pub id: i64,
    pub epoch: i16,
    pub base_sequence: i32,
}

impl ProducerFields {
    /// Not idempotent.
    pub const NONE: Self = Self { id: NO_PRODUCER_ID, epoch: -1, base_sequence: -1 };
}

/// Collects records, then makes a batch of them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    attributes: Attributes,
    producer: ProducerFields,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    /// Delta of the last record; -1 while empty.
    last_delta: i32,
    count: i32,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            attributes: Attributes::default(),
            producer: ProducerFields::NONE,
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
            last_delta: -1,
            count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    #[must_use]
    pub fn producer(mut self, producer: ProducerFields) -> Self {
        self.producer = producer;
        self
    }

    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional(true);
        self
    }

    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control(true);
        self
    }

    #[must_use]
    pub fn timestamp_type(mut self, kind: TimestampType) -> Self {
        self.attributes = self.attributes.with_timestamp_type(kind);
        self
    }

    /// Tombstones of the batch may go at `at`, milliseconds since the epoch (KIP-534). Before any record.
    #[must_use]
    pub fn delete_horizon(mut self, at: i64) -> Self {
        self.attributes = self.attributes.with_delete_horizon(true);
        self.base_timestamp = Some(at);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the records so far, uncompressed.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds a record at the next offset. `timestamp` is in milliseconds since the epoch.
    pub fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        self.push_at(self.last_delta + 1, timestamp, key, value, headers.iter().copied());
    }

    /// Adds a record of another batch whose base offset is `base_offset`, at its own offset.
    pub fn keep(&mut self, record: &Record<'_>, base_offset: i64) {
        let delta = record.offset.wrapping_sub(base_offset) as i32;
        self.push_at(delta, record.timestamp, record.key, record.value, record.headers);
    }

    fn push_at<'a>(
        &mut self,
        delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = Header<'a>>,
    ) {
        let base = *self.base_timestamp.get_or_insert(timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_delta = delta;
        self.count += 1;
        let out = &mut self.scratch;
        out.clear();
        out.push(0); // attributes
        put_varlong(out, timestamp.wrapping_sub(base));
        put_varlong(out, i64::from(delta));
        put_nullable(out, key);
        put_nullable(out, value);
        put_varlong(out, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(out, Some(key));
            put_nullable(out, value);
        }
        put_varlong(&mut self.records, self.scratch.len() as i64);
        self.records.extend_from_slice(&self.scratch);
    }

    /// The batch, at base offset 0 until it is assigned a place.
    pub fn finish(self) -> Result<Prepared, BuildError> {
        let base_timestamp = self.base_timestamp.unwrap_or(NO_TIMESTAMP);
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: self.attributes.with_codec(self.codec().codec),
            last_offset_delta: self.last_delta,
            base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            count: self.count,
        };
        Ok(Prepared::sealed(header, self.body()?)?)
    }

    /// What is left of a batch after compaction: `from`'s offsets, epoch, producer and attributes with the records
    /// kept, and the delete horizon if one was given. An empty one keeps the producer's last sequence alive.
    pub fn finish_as(self, from: &BatchHeader) -> Result<Prepared, BuildError> {
        let max_timestamp = match from.attributes.timestamp_type() {
            TimestampType::CreateTime if self.count > 0 => self.max_timestamp,
            _ => from.max_timestamp,
        };
        let header = BatchHeader {
            attributes: from
                .attributes
                .with_codec(self.codec().codec)
                .with_delete_horizon(self.attributes.has_delete_horizon()),
            base_timestamp: self.base_timestamp.unwrap_or(from.base_timestamp),
            max_timestamp,
            count: self.count,
            ..*from
        };
        Ok(Prepared::sealed(header, self.body()?)?)
    }

    /// What the records are compressed with: an empty batch has no records section, so nothing.
    fn codec(&self) -> Compression {
        if self.records.is_empty() { Compression::NONE } else { self.compression }
    }

    fn body(self) -> Result<Bytes, CompressError> {
        compress::compress(self.codec(), self.records.into())
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Abort,
    Commit,
}

/// The record of a transaction marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxn {
    pub outcome: Outcome,
    pub coordinator_epoch: i32,
}

impl EndTxn {
    /// The control batch that ends a transaction of this producer; `timestamp` in milliseconds since the epoch.
    pub fn batch(self, id: i64, epoch: i16, timestamp: i64) -> Result<Prepared, BuildError> {
        let mut builder = BatchBuilder::new(Compression::NONE)
            .producer(ProducerFields { id, epoch, base_sequence: -1 })
            .transactional()
            .control();
        builder.push(timestamp, Some(&self.key()), Some(&self.value()), &[]);
        builder.finish()
    }

    /// The marker in a control batch's record; `None` for any other control record.
    pub fn parse(record: &Record<'_>) -> Option<Self> {
        let outcome = match u16::from_be_bytes(*record.key?.get(2..)?.first_chunk()?) {
            0 => Outcome::Abort,
            1 => Outcome::Commit,
            _ => return None,
        };
        let coordinator_epoch = i32::from_be_bytes(*record.value?.get(2..)?.first_chunk()?);
        Some(Self { outcome, coordinator_epoch })
    }

    /// Version, type; both i16.
    fn key(self) -> [u8; 4] {
        [0, 0, 0, u8::from(self.outcome == Outcome::Commit)]
    }

    /// Version i16, coordinator epoch i32.
    fn value(self) -> [u8; 6] {
        let epoch = self.coordinator_epoch.to_be_bytes();
        [0, 0, epoch[0], epoch[1], epoch[2], epoch[3]]
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varlong(out, bytes.map_or(-1, |b| b.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// Zigzag; the same bytes as the shorter type for values that fit it.
fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value << 1 ^ value >> 63) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}
