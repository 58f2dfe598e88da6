//! What a leader checks on a produced record set before it takes a place in the log.
//!
//! Consumers must never be fed a batch that they cannot read, so every record is walked: in place when uncompressed,
//! through a streaming decompressor otherwise. Nothing is copied and nothing is kept of the records, unless the
//! topic wants another codec (then the same stream feeds the compressor) or the client numbered its records wrongly.

mod walk;

use bytes::Bytes;
use thiserror::Error;

use crate::batch::{
    BatchBuilder, BatchError, BatchHeader, BuildError, NO_TIMESTAMP, PREFIX_LEN, Prepared, RawBatch,
    RecordError, TimestampType, records,
};
use crate::compress::{Codec, CompressError, Compression, Compressor};
use crate::time::Wall;
use walk::{Tally, walk};

/// What a topic asks of the batches produced to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `max.message.bytes`, of a whole batch.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub after_max_ms: i64,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// `compression.type` and its level; `None` is `producer`.
    pub compression: Option<Compression>,
    /// Bytes that the records of one batch may decompress to.
    pub max_decompressed_bytes: usize,
}

impl Default for Rules {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            max_message_bytes: (1 << 20) + PREFIX_LEN,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            compacted: false,
            compression: None,
            max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
        }
    }
}

/// Far above what a client can mean, far below what harms: records are never held decompressed.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;
/// What a wrongly numbered batch may decompress to: it is rebuilt in memory.
const MAX_RENUMBERED_BYTES: usize = 32 << 20;

/// Why a produced record set is refused. The Kafka error code stands at each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// INVALID_RECORD
    #[error("a partition's records must be exactly one batch")]
    BatchCount,
    /// INVALID_RECORD: an old format, which no version of Produce that is still spoken may carry.
    #[error("records have magic {0}, only 2 is accepted")]
    Magic(i8),
    /// CORRUPT_MESSAGE: length, CRC, or a magic that no format has.
    #[error(transparent)]
    Corrupt(BatchError),
    /// MESSAGE_TOO_LARGE
    #[error("batch of {size} bytes exceeds the topic's limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    /// INVALID_RECORD
    #[error("batch has {0}")]
    Header(&'static str),
    /// INVALID_RECORD
    #[error(transparent)]
    Records(RecordError),
    /// INVALID_TIMESTAMP, with the batch indexes of the records
    #[error("{} records have a timestamp out of range or of the broker's type", at.len())]
    Timestamps { at: Vec<i32> },
    /// INVALID_RECORD, with the batch indexes of the records
    #[error("{} records lack the key that a compacted topic needs", at.len())]
    NoKeys { at: Vec<i32> },
}

/// Checks what a client produced to one partition and makes it ready to be given its offsets.
pub fn validate(produced: &Bytes, rules: &Rules, now: Wall) -> Result<Prepared, Invalid> {
    let batch = only_batch(produced)?;
    check_base_offset(&batch.header)?;
    check_size(batch.bytes.len(), rules)?;
    // A client sends again what was damaged on its way, and gives up what it should not have sent: what the CRC covers
    // says nothing before the CRC is right.
    batch.check_crc().map_err(Invalid::Corrupt)?;
    check_header(&batch.header)?;
    let mut recoder = Recoder::new(&batch.header, rules)?;
    let tally = walk(&batch, rules, now, &mut recoder)?;
    let mut prepared = if tally.numbered {
        recoder.finish(&batch.header)?.unwrap_or_else(|| Prepared::from_raw(&batch))
    } else {
        renumber(&batch, rules)?
    };
    check_size(prepared.size(), rules)?;
    set_times(&mut prepared, &tally, rules, now);
    Ok(prepared)
}

fn only_batch(produced: &Bytes) -> Result<RawBatch, Invalid> {
    match RawBatch::first(produced) {
        Ok(batch) if batch.bytes.len() == produced.len() => Ok(batch),
        Ok(_) | Err(BatchError::Short { .. }) => Err(Invalid::BatchCount),
        Err(BatchError::Magic(magic @ 0..=1)) => Err(Invalid::Magic(magic)),
        Err(error) => Err(Invalid::Corrupt(error)),
    }
}

/// The CRC does not cover it.
fn check_base_offset(header: &BatchHeader) -> Result<(), Invalid> {
    if header.base_offset == 0 { Ok(()) } else { Err(Invalid::Header("a base offset other than 0")) }
}

fn check_header(header: &BatchHeader) -> Result<(), Invalid> {
    let refused = |what| Err(Invalid::Header(what));
    if header.count <= 0 || header.last_offset_delta.checked_add(1) != Some(header.count) {
        return refused("a record count that its offsets do not bear out");
    }
    if header.attributes.is_control() {
        return refused("control records, which clients may not write");
    }
    if header.has_producer_id() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return refused("a producer id but no sequence or epoch");
    }
    if header.attributes.is_transactional() && !header.has_producer_id() {
        return refused("the transactional bit but no producer id");
    }
    Ok(())
}

fn check_size(size: usize, rules: &Rules) -> Result<(), Invalid> {
    let limit = rules.max_message_bytes;
    if size > limit { Err(Invalid::TooLarge { size, limit }) } else { Ok(()) }
}

/// The header's max timestamp is what the time index is built from: it must be true.
fn set_times(prepared: &mut Prepared, tally: &Tally, rules: &Rules, now: Wall) {
    let max_timestamp = match rules.timestamp_type {
        TimestampType::CreateTime => tally.max_timestamp,
        TimestampType::LogAppendTime => now.0,
    };
    prepared.set_max_timestamp(rules.timestamp_type, max_timestamp);
}

/// Some clients number compressed records wrongly; as in Kafka the batch is then made anew, in the order of its records.
fn renumber(batch: &RawBatch, rules: &Rules) -> Result<Prepared, Invalid> {
    let codec = batch.header.attributes.codec().unwrap_or_default();
    let records =
        records(batch, rules.max_decompressed_bytes.min(MAX_RENUMBERED_BYTES)).map_err(Invalid::Records)?;
    let mut builder = BatchBuilder::new(rules.compression.unwrap_or(codec.into()));
    for record in &records {
        let record = record.map_err(Invalid::Records)?;
        let headers: Vec<_> = record.headers.collect();
        builder.push(record.timestamp, record.key, record.value, &headers);
    }
    builder.finish_as(&batch.header).map_err(|error| match error {
        BuildError::Batch(error) => Invalid::Corrupt(error),
        BuildError::Compress(error) => compress_error(error),
    })
}

/// Feeds the records to another codec where the topic wants one.
struct Recoder {
    to: Option<(Codec, Compressor)>,
    /// Bytes; what grows beyond is not kept.
    limit: usize,
}

impl Recoder {
    fn new(header: &BatchHeader, rules: &Rules) -> Result<Self, Invalid> {
        let wanted = rules.compression.filter(|to| Some(to.codec) != header.attributes.codec());
        let to = wanted.map(|to| Compressor::new(to).map(|compressor| (to.codec, compressor))).transpose();
        Ok(Self { to: to.map_err(compress_error)?, limit: rules.max_message_bytes })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        match &mut self.to {
            Some((_, compressor)) if compressor.written() <= self.limit => Ok(compressor.write(bytes)?),
            _ => Ok(()),
        }
    }

    fn finish(self, header: &BatchHeader) -> Result<Option<Prepared>, Invalid> {
        let Some((codec, compressor)) = self.to else { return Ok(None) };
        let size = compressor.written();
        if size > self.limit {
            return Err(Invalid::TooLarge { size, limit: self.limit });
        }
        let body = compressor.finish().map_err(compress_error)?;
        let header = BatchHeader { attributes: header.attributes.with_codec(codec), ..*header };
        Prepared::sealed(header, body.into()).map(Some).map_err(Invalid::Corrupt)
    }
}

fn compress_error(error: CompressError) -> Invalid {
    Invalid::Records(error.into())
}
