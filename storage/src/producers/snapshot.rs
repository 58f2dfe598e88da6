//! Kafka's producer snapshot, version 1: `<20-digit end offset>.snapshot`.
//!
//! ```text
//! version i16 = 1 | crc32c u32 of what follows | count i32 | per producer: id i64, epoch i16, last sequence i32,
//! last offset i64, offset delta i32, timestamp i64, coordinator epoch i32, first offset of the open transaction i64
//! ```
//! Of the last batches only the last survives.

use thiserror::Error;

use super::{BatchMark, ProducerState, Producers};

const VERSION: i16 = 1;
/// Version and CRC.
const CRC_END: usize = 6;
/// Version, CRC and count.
const HEAD_LEN: usize = 10;
const ENTRY_LEN: usize = 46;

/// Why a snapshot cannot be used: an older one, or the log itself, must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    #[error("snapshot has version {0}, only 1 is known")]
    Version(i16),
    #[error("snapshot's CRC is wrong")]
    Crc,
    #[error("snapshot's size does not fit its count")]
    Size,
    #[error("snapshot has producer {0} twice, or its transaction begins where another does")]
    Twice(i64),
}

impl Producers {
    /// The snapshot file's bytes; its name carries [`Producers::end`].
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEAD_LEN - CRC_END + self.states.len() * ENTRY_LEN);
        body.extend_from_slice(&(self.states.len() as i32).to_be_bytes());
        for (id, state) in &self.states {
            put_entry(&mut body, *id, state);
        }
        let mut out = Vec::with_capacity(CRC_END + body.len());
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// The state that a snapshot named for `end` holds.
    pub fn decode_snapshot(bytes: &[u8], end: i64) -> Result<Self, SnapshotError> {
        let (version, rest) = bytes.split_first_chunk().ok_or(SnapshotError::Size)?;
        match i16::from_be_bytes(*version) {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let (crc, body) = rest.split_first_chunk().ok_or(SnapshotError::Size)?;
        if u32::from_be_bytes(*crc) != crc32c::crc32c(body) {
            return Err(SnapshotError::Crc);
        }
        let (count, entries) = body.split_first_chunk().ok_or(SnapshotError::Size)?;
        let count = usize::try_from(i32::from_be_bytes(*count)).map_err(|_| SnapshotError::Size)?;
        if count.checked_mul(ENTRY_LEN) != Some(entries.len()) {
            return Err(SnapshotError::Size);
        }
        let mut producers = Self::starting_at(end);
        for entry in entries.chunks_exact(ENTRY_LEN) {
            let (id, state) = get_entry(entry).ok_or(SnapshotError::Size)?;
            let open = state.txn_first_offset.and_then(|first| producers.open.insert(first, id));
            if open.is_some() || producers.states.insert(id, state).is_some() {
                return Err(SnapshotError::Twice(id));
            }
        }
        Ok(producers)
    }
}

fn put_entry(out: &mut Vec<u8>, id: i64, state: &ProducerState) {
    let last = state.last_batch();
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&state.epoch.to_be_bytes());
    out.extend_from_slice(&state.last_sequence().to_be_bytes());
    out.extend_from_slice(&last.map_or(-1, |mark| mark.last_offset).to_be_bytes());
    out.extend_from_slice(&last.map_or(0, |mark| mark.offset_delta).to_be_bytes());
    out.extend_from_slice(&state.last_timestamp.to_be_bytes());
    out.extend_from_slice(&state.coordinator_epoch.to_be_bytes());
    out.extend_from_slice(&state.txn_first_offset.unwrap_or(-1).to_be_bytes());
}

/// `None` cannot happen for [`ENTRY_LEN`] bytes.
fn get_entry(bytes: &[u8]) -> Option<(i64, ProducerState)> {
    let timestamp = i64::from_be_bytes(at(bytes, 26)?);
    let mark = BatchMark {
        last_sequence: i32::from_be_bytes(at(bytes, 10)?),
        last_offset: i64::from_be_bytes(at(bytes, 14)?),
        offset_delta: i32::from_be_bytes(at(bytes, 22)?),
        timestamp,
    };
    let first_offset = i64::from_be_bytes(at(bytes, 38)?);
    let state = ProducerState {
        epoch: i16::from_be_bytes(at(bytes, 8)?),
        coordinator_epoch: i32::from_be_bytes(at(bytes, 34)?),
        last_timestamp: timestamp,
        txn_first_offset: (first_offset >= 0).then_some(first_offset),
        batches: if mark.last_offset >= 0 { [mark].into() } else { [].into() },
    };
    Some((i64::from_be_bytes(at(bytes, 0)?), state))
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk().copied()
}
