//! What a partition knows of each producer: its last batches (idempotence, KIP-98) and its open transaction.
//!
//! [`Producers::check`] decides without changing anything, [`Producers::apply`] is told what was written: a write that
//! fails leaves no trace. Followers and recovery only apply. The state is a function of the log, saved in snapshots so
//! that recovery need not read all of it.

mod snapshot;
mod state;

pub use snapshot::SnapshotError;
pub use state::{BatchMark, ProducerState};

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::batch::{BatchHeader, EndTxn, Outcome, next_sequence};
use crate::index::AbortedTxn;
use crate::time::Wall;

/// Who appends, and therefore what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer: epoch, sequence, duplicates, transaction.
    Client,
    /// A coordinator writing offsets of a transaction: they carry no sequence.
    Coordinator,
}

/// What to do with a batch that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is in the log already; answer as for the first time, once that batch is replicated.
    Duplicate(BatchMark),
}

/// Why a batch of a producer cannot be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProducerError {
    /// INVALID_PRODUCER_EPOCH
    #[error("producer {id} has epoch {current}, the batch {epoch}")]
    Epoch { id: i64, epoch: i16, current: i16 },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("producer {id} is at sequence {last}, the batch begins at {sequence}")]
    Sequence { id: i64, sequence: i32, last: i32 },
    /// INVALID_TXN_STATE
    #[error("producer {id} has an open transaction, the batch is not transactional")]
    NotTransactional { id: i64 },
    /// TRANSACTION_COORDINATOR_FENCED
    #[error("producer {id} was last marked by coordinator epoch {current}, the marker has {epoch}")]
    CoordinatorFenced { id: i64, epoch: i32, current: i32 },
}

/// All producers of one partition.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    states: BTreeMap<i64, ProducerState>,
    /// Open transactions: first offset to producer id.
    open: BTreeMap<i64, i64>,
    /// Ended transactions whose marker may lie above the high watermark: first offset to the marker's offset.
    unreplicated: BTreeMap<i64, i64>,
    /// Those that were idle for too long when that was looked at last, by the time of their records, and have sent nothing since.
    idle: BTreeSet<i64>,
    /// All batches below have been applied.
    end: i64,
}

impl Producers {
    /// Nothing known, up to `end`.
    pub fn starting_at(end: i64) -> Self {
        Self { end, ..Self::default() }
    }

    /// Whether a data batch may be appended. Batches without a producer id always may.
    pub fn check(&self, header: &BatchHeader, origin: Origin) -> Result<Verdict, ProducerError> {
        let Some(state) = self.states.get(&header.producer_id) else {
            // Its records may have been deleted long ago, so any sequence is accepted (KIP-360).
            return Ok(Verdict::Append);
        };
        if origin == Origin::Client
            && let Some(mark) = state.duplicate(header)
        {
            return Ok(Verdict::Duplicate(*mark));
        }
        check_epoch(state, header)?;
        if origin == Origin::Client {
            check_sequence(state, header)?;
        }
        if state.txn_first_offset.is_some() && !header.attributes.is_transactional() {
            return Err(ProducerError::NotTransactional { id: header.producer_id });
        }
        Ok(Verdict::Append)
    }

    /// Whether a transaction marker may be appended. `bumps_epoch`: from a coordinator that gives each transaction its
    /// own epoch (KIP-890, transaction.version 2), so a marker at the current epoch is late unless it repeats the last.
    pub fn check_marker(
        &self,
        id: i64,
        epoch: i16,
        marker: EndTxn,
        bumps_epoch: bool,
    ) -> Result<(), ProducerError> {
        let Some(state) = self.states.get(&id) else { return Ok(()) };
        let current = state.epoch;
        let repeats = epoch == current && (state.txn_first_offset.is_none() || epoch == i16::MAX);
        let late = if bumps_epoch { epoch <= current && !repeats } else { epoch < current };
        if late {
            return Err(ProducerError::Epoch { id, epoch, current });
        }
        if marker.coordinator_epoch < state.coordinator_epoch {
            let (epoch, current) = (marker.coordinator_epoch, state.coordinator_epoch);
            return Err(ProducerError::CoordinatorFenced { id, epoch, current });
        }
        Ok(())
    }

    /// Takes note of a batch in the log; `marker` is its record if it is a control batch that ends a transaction.
    /// Answers what `.txnindex` must be told: a transaction that was aborted.
    pub fn apply(&mut self, header: &BatchHeader, marker: Option<EndTxn>) -> Option<AbortedTxn> {
        self.end = self.end.max(header.next_offset());
        if !header.has_producer_id() {
            return None;
        }
        match marker {
            Some(marker) => self.apply_marker(header, marker),
            // A control batch without its record had its transaction compacted away.
            None if header.attributes.is_control() => None,
            None => {
                self.apply_data(header);
                None
            }
        }
    }

    fn apply_data(&mut self, header: &BatchHeader) {
        self.idle.remove(&header.producer_id);
        let state = self.states.entry(header.producer_id).or_default();
        state.note_batch(header);
        if header.attributes.is_transactional() && state.txn_first_offset.is_none() {
            state.txn_first_offset = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    fn apply_marker(&mut self, header: &BatchHeader, marker: EndTxn) -> Option<AbortedTxn> {
        let state = self.states.entry(header.producer_id).or_default();
        let first_offset = state.note_marker(header, marker);
        let (first_offset, last_offset) = (first_offset?, header.last_offset());
        self.open.remove(&first_offset);
        self.unreplicated.insert(first_offset, last_offset);
        let last_stable_offset = self.first_undecided().unwrap_or(last_offset + 1);
        let aborted =
            AbortedTxn { producer_id: header.producer_id, first_offset, last_offset, last_stable_offset };
        (marker.outcome == Outcome::Abort).then_some(aborted)
    }

    /// First offset of the oldest open transaction.
    pub fn first_undecided(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// The first offset that read_committed may not see: of an open transaction, or of one whose marker is not yet
    /// below the high watermark.
    pub fn first_unstable(&self) -> Option<i64> {
        let ended = self.unreplicated.keys().next().copied();
        self.first_undecided().into_iter().chain(ended).min()
    }

    /// Transactions whose marker lies below `high_watermark` (or below a raised log start) no longer hold readers back.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        self.unreplicated.retain(|_, last_offset| *last_offset >= high_watermark);
    }

    pub fn has_open_transaction(&self, id: i64) -> bool {
        self.states.get(&id).is_some_and(|state| state.txn_first_offset.is_some())
    }

    /// Forgets producers idle for `after_ms` (`producer.id.expiration.ms`), except in an open transaction, if they were so at the
    /// last call, too: records may bear any time, and clocks step, but whoever has just sent them may send them again.
    pub fn expire(&mut self, now: Wall, after_ms: i64) {
        let expired = self.states.iter().filter(|(_, state)| state.expired(now, after_ms));
        let expired: BTreeSet<i64> = expired.map(|(id, _)| *id).collect();
        self.states.retain(|id, _| !(expired.contains(id) && self.idle.contains(id)));
        self.idle = expired.into_iter().filter(|id| self.states.contains_key(id)).collect();
    }

    /// By producer id.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &ProducerState)> {
        self.states.iter().map(|(id, state)| (*id, state))
    }

    pub fn get(&self, id: i64) -> Option<&ProducerState> {
        self.states.get(&id)
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// All batches below are accounted for.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Nothing between [`Self::end`] and `offset` is left in the log (its start was raised).
    pub fn advance_to(&mut self, offset: i64) {
        self.end = self.end.max(offset);
    }
}

fn check_epoch(state: &ProducerState, header: &BatchHeader) -> Result<(), ProducerError> {
    if header.producer_epoch >= state.epoch {
        return Ok(());
    }
    Err(ProducerError::Epoch { id: header.producer_id, epoch: header.producer_epoch, current: state.epoch })
}

/// Within an epoch sequences follow each other; a new epoch begins at 0.
fn check_sequence(state: &ProducerState, header: &BatchHeader) -> Result<(), ProducerError> {
    let same_epoch = header.producer_epoch == state.epoch;
    let last = if same_epoch { state.last_sequence() } else { -1 };
    if header.base_sequence == next_sequence(last) {
        return Ok(());
    }
    Err(ProducerError::Sequence { id: header.producer_id, sequence: header.base_sequence, last })
}
