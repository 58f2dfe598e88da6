//! Record batches of format v2 (magic 2), as they lie on disk and travel on the wire.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 | 12 leader epoch i32 | 16 magic i8 | 17 crc u32 |
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64 |
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 count i32 | 61 records …
//! ```
//! `length` counts what follows it, so a batch takes 12 + length bytes. The CRC covers byte 21 to the end: base offset
//! and leader epoch are assigned without touching it.

mod build;
mod header;
mod prepared;
mod record;
mod stream;

pub use build::{BatchBuilder, BuildError, EndTxn, Outcome, ProducerFields};
pub use header::{Attributes, BatchError, BatchHeader, TimestampType, next_sequence};
pub use prepared::Prepared;
pub use record::{Header, Headers, Record, RecordError, Records, records};
pub(crate) use record::{Parts, Slice, Source, count, parse};
pub(crate) use stream::{Stream, record_times};

use bytes::Bytes;

/// Bytes before the records.
pub const HEADER_LEN: usize = 61;
/// Bytes of base offset and length, which `length` does not count.
pub const PREFIX_LEN: usize = 12;
/// Where the CRC-covered part begins.
pub const CRC_FROM: usize = 21;
/// No producer id, producer epoch, sequence.
pub const NO_PRODUCER_ID: i64 = -1;
/// No timestamp.
pub const NO_TIMESTAMP: i64 = -1;

/// One batch whose header has been parsed and whose bytes are all there. CRC and records are not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBatch {
    pub header: BatchHeader,
    /// The whole batch, header included.
    pub bytes: Bytes,
}

impl RawBatch {
    /// The first batch of `bytes`.
    pub fn first(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        if header.size() > bytes.len() {
            return Err(BatchError::Short { need: header.size(), have: bytes.len() });
        }
        Ok(Self { header, bytes: bytes.slice(..header.size()) })
    }

    /// Compares the stored CRC with that of the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(BatchError::Crc { base_offset: self.header.base_offset, stored: self.header.crc, computed })
    }

    /// The (perhaps compressed) records.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }
}

/// The batches that lie one behind the other in `bytes`, shared, not copied. Ends after the first error.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone() }
}

/// See [`batches`].
#[derive(Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<RawBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = RawBatch::first(&self.rest);
        let taken = batch.as_ref().map_or(self.rest.len(), |b| b.bytes.len());
        self.rest = self.rest.slice(taken..);
        Some(batch)
    }
}
