//! A change of the ISR that the leader has asked the controller for, and does not know the fate of yet.
//!
//! ```text
//!   propose ──► pending ──┬─ reply: accepted ───────────► committed, with the partition epoch that was told
//!                         ├─ image: higher partition epoch ► whatever the image says; the proposal has no chance any more
//!                         ├─ reply: refused, never lost ──► dropped
//!                         └─ no reply ──► lost: asked again, and no refusal is believed until a partition epoch settles it
//! ```
//! While it is pending the watermark counts every member of both ISRs: either may be the one that a new leader is chosen from.

use crate::types::{BrokerId, LeaderEpoch, PartitionEpoch};

/// What the controller is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that it is based on.
    pub partition_epoch: PartitionEpoch,
    /// Each member with its broker's epoch as the leader knows it (KIP-903), in order of preference.
    pub isr: Vec<(BrokerId, i64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub change: IsrChange,
    /// Members that some proposal named: one that was lost may still be accepted.
    pub named: Vec<BrokerId>,
    /// No reply came to some attempt.
    pub is_lost: bool,
}

impl IsrChange {
    pub(super) fn members(&self) -> impl Iterator<Item = BrokerId> {
        self.isr.iter().map(|(member, _)| *member)
    }
}

impl Pending {
    pub fn new(change: IsrChange) -> Pending {
        Pending { named: change.members().collect(), change, is_lost: false }
    }
}
