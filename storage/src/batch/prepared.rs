//! A batch ready to be written: its header is still a value, its records are the producer's own bytes.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};

use super::{BatchError, BatchHeader, HEADER_LEN, RawBatch, TimestampType};

/// Offsets and epoch are assigned in the header alone; the records are never copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub header: BatchHeader,
    /// What follows the 61 bytes of the header.
    pub body: Bytes,
}

impl Prepared {
    /// Splits a batch that stays as it is.
    pub fn from_raw(batch: &RawBatch) -> Self {
        Self { header: batch.header, body: batch.body() }
    }

    /// Joins a header with its records: sets `length` and `crc`.
    pub fn sealed(mut header: BatchHeader, body: Bytes) -> Result<Self, BatchError> {
        let length = HEADER_LEN - super::PREFIX_LEN + body.len();
        header.length = i32::try_from(length).map_err(|_| BatchError::Length(i32::MAX))?;
        header.crc = header.crc_over(&body);
        Ok(Self { header, body })
    }

    /// Puts the batch at its place in the log. Outside the CRC, so free.
    pub fn assign(&mut self, base_offset: i64, leader_epoch: i32) {
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = leader_epoch;
    }

    /// Rewrites timestamp type and max timestamp; a new CRC only if that changes anything.
    pub fn set_max_timestamp(&mut self, kind: TimestampType, max_timestamp: i64) {
        let attributes = self.header.attributes.with_timestamp_type(kind);
        if attributes == self.header.attributes && max_timestamp == self.header.max_timestamp {
            return;
        }
        self.header.attributes = attributes;
        self.header.max_timestamp = max_timestamp;
        self.header.crc = self.header.crc_over(&self.body);
    }

    /// The bytes of the header as it stands now.
    pub fn head(&self) -> [u8; HEADER_LEN] {
        self.header.encode()
    }

    /// Both parts for one vectored write; `head` comes from [`Self::head`].
    pub fn parts<'a>(&'a self, head: &'a [u8; HEADER_LEN]) -> [IoSlice<'a>; 2] {
        [IoSlice::new(head), IoSlice::new(&self.body)]
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// The whole batch in one buffer: copies the records.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size());
        out.extend_from_slice(&self.head());
        out.extend_from_slice(&self.body);
        out.freeze()
    }
}
