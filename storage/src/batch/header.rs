//! The 61 bytes before the records.

use thiserror::Error;

use super::{CRC_FROM, HEADER_LEN, NO_PRODUCER_ID, PREFIX_LEN};
use crate::compress::Codec;

/// What is wrong with a batch's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    #[error("batch needs {need} bytes, {have} are there")]
    Short { need: usize, have: usize },
    #[error("batch claims a length of {0} bytes")]
    Length(i32),
    #[error("batch has magic {0}, only 2 is known")]
    Magic(i8),
    #[error("batch at offset {base_offset} has CRC {computed:08x}, its header says {stored:08x}")]
    Crc { base_offset: i64, stored: u32, computed: u32 },
}

/// Whose clock the timestamps of a batch are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    #[default]
    CreateTime,
    /// Every record has the batch's max timestamp.
    LogAppendTime,
}

/// The attribute bits: 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 base timestamp is a delete horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// `None` for an id that no codec has.
    pub fn codec(self) -> Option<Codec> {
        Codec::from_id((self.0 & Self::CODEC) as u8)
    }

    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Set by compaction: the base timestamp is when tombstones may go (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC | codec.id() as i16)
    }

    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Self {
        self.with(Self::LOG_APPEND_TIME, kind == TimestampType::LogAppendTime)
    }

    #[must_use]
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(Self::TRANSACTIONAL, on)
    }

    #[must_use]
    pub fn with_control(self, on: bool) -> Self {
        self.with(Self::CONTROL, on)
    }

    #[must_use]
    pub fn with_delete_horizon(self, on: bool) -> Self {
        self.with(Self::DELETE_HORIZON, on)
    }

    fn with(self, bit: i16, on: bool) -> Self {
        if on { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }
}

/// A batch's header, field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after this field; at least 49.
    pub length: i32,
    pub partition_leader_epoch: i32,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
}

const MAGIC: i8 = 2;
const MAGIC_AT: usize = 16;

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the records need not be there. Checks length and magic, nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic decides whether the other bytes mean anything, so it is looked at first.
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::Magic(magic as i8));
        }
        let head: &[u8; HEADER_LEN] =
            bytes.first_chunk().ok_or(BatchError::Short { need: HEADER_LEN, have: bytes.len() })?;
        let header = Self::decode(head);
        if header.length < (HEADER_LEN - PREFIX_LEN) as i32 {
            return Err(BatchError::Length(header.length));
        }
        Ok(header)
    }

    fn decode(head: &[u8; HEADER_LEN]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(field(head, 0)),
            length: i32::from_be_bytes(field(head, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(head, 12)),
            crc: u32::from_be_bytes(field(head, 17)),
            attributes: Attributes(i16::from_be_bytes(field(head, 21))),
            last_offset_delta: i32::from_be_bytes(field(head, 23)),
            base_timestamp: i64::from_be_bytes(field(head, 27)),
            max_timestamp: i64::from_be_bytes(field(head, 35)),
            producer_id: i64::from_be_bytes(field(head, 43)),
            producer_epoch: i16::from_be_bytes(field(head, 51)),
            base_sequence: i32::from_be_bytes(field(head, 53)),
            count: i32::from_be_bytes(field(head, 57)),
        }
    }

    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut head = [0; HEADER_LEN];
        put(&mut head, 0, self.base_offset.to_be_bytes());
        put(&mut head, 8, self.length.to_be_bytes());
        put(&mut head, 12, self.partition_leader_epoch.to_be_bytes());
        put(&mut head, MAGIC_AT, MAGIC.to_be_bytes());
        put(&mut head, 17, self.crc.to_be_bytes());
        put(&mut head, 21, self.attributes.0.to_be_bytes());
        put(&mut head, 23, self.last_offset_delta.to_be_bytes());
        put(&mut head, 27, self.base_timestamp.to_be_bytes());
        put(&mut head, 35, self.max_timestamp.to_be_bytes());
        put(&mut head, 43, self.producer_id.to_be_bytes());
        put(&mut head, 51, self.producer_epoch.to_be_bytes());
        put(&mut head, 53, self.base_sequence.to_be_bytes());
        put(&mut head, 57, self.count.to_be_bytes());
        head
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        PREFIX_LEN + self.length as usize
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Whether its offsets make sense in a log that ends at `end`.
    pub fn follows(&self, end: i64) -> bool {
        self.base_offset >= end
            && self.last_offset() >= self.base_offset
            && self.next_offset() > self.base_offset
    }

    /// The timestamp of a record, from its delta.
    pub(super) fn timestamp_of(&self, delta: i64) -> i64 {
        match self.attributes.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence of the last record; after `i32::MAX` comes 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            self.base_sequence
        } else {
            plus(self.base_sequence, self.last_offset_delta)
        }
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// When the tombstones of the batch may go, milliseconds since the epoch; `None` until compaction has decided.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// The CRC that the batch must carry with this header and these records.
    pub fn crc_over(&self, body: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.encode()[CRC_FROM..]), body)
    }
}

/// The sequence that follows `sequence`.
pub fn next_sequence(sequence: i32) -> i32 {
    plus(sequence, 1)
}

fn plus(sequence: i32, by: i32) -> i32 {
    ((i64::from(sequence) + i64::from(by)) & i64::from(i32::MAX)) as i32
}

fn field<const N: usize>(head: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&head[at..at + N]);
    out
}

fn put<const N: usize>(head: &mut [u8; HEADER_LEN], at: usize, value: [u8; N]) {
    head[at..at + N].copy_from_slice(&value);
}
