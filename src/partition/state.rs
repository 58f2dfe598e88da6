//! What a replica decides, without I/O: its role, and how far the high watermark may go.
//!
//! ```text
//!   log start        high watermark          log end (this replica)
//!      |-------------------|-----------------------|
//!       shown to consumers   appended, not yet on every ISR member
//! ```
//!
//! The watermark counts each ISR member's *promised* end: what it has appended, or what it has synced where
//! `flush.messages=1` asks for that.

use crate::types::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};
use std::collections::BTreeMap;

/// What the metadata says of a partition, as far as a replica must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
}

/// What taking over an assignment meant for this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It leads, in an epoch that is new to it.
    Leads,
    /// It follows, or nobody leads, in an epoch that is new to it.
    Follows,
    /// Same leader, same epoch; at most the ISR changed.
    Stays,
    /// The assignment is older than what is known here; nothing changed.
    Stale,
}

/// The replica of one partition on broker `me`.
#[derive(Debug)]
pub struct State {
    me: BrokerId,
    assignment: Assignment,
    /// Promised end by ISR member; a member that is missing here has promised nothing in this epoch.
    promised: BTreeMap<BrokerId, Offset>,
    high_watermark: Offset,
    min_insync: usize,
}

impl State {
    /// A replica that has not yet heard who leads. `high_watermark` is the checkpointed one, cut to the log end.
    pub fn new(me: BrokerId, high_watermark: Offset) -> State {
        let assignment =
            Assignment { leader: None, leader_epoch: -1, partition_epoch: -1, replicas: vec![], isr: vec![] };
        State { me, assignment, promised: BTreeMap::new(), high_watermark, min_insync: 1 }
    }

    /// Takes over what the metadata says. Promises of other members are forgotten when the epoch changes.
    pub fn assume(&mut self, assignment: Assignment) -> Turn {
        let known = &self.assignment;
        if assignment.partition_epoch < known.partition_epoch || assignment.leader_epoch < known.leader_epoch
        {
            return Turn::Stale;
        }
        let new_epoch = assignment.leader_epoch > known.leader_epoch;
        self.assignment = assignment;
        if !new_epoch {
            return Turn::Stays;
        }
        self.promised.clear();
        if self.leads() { Turn::Leads } else { Turn::Follows }
    }

    /// `min.insync.replicas` of the topic; the watermark never asks for more members than there are replicas.
    pub fn set_min_insync(&mut self, min_insync: usize) {
        self.min_insync = min_insync;
    }

    pub fn leads(&self) -> bool {
        self.assignment.leader == Some(self.me)
    }

    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Checks that this replica may act as leader for a client that knows `epoch` (-1: does not say; KIP-320).
    pub fn check_leader(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        check_leader(self.leads(), self.assignment.leader_epoch, epoch)
    }

    /// Whether enough members are in sync for an append that every one of them must have (acks=all).
    pub fn check_in_sync(&self) -> Result<(), ErrorCode> {
        if self.assignment.isr.len() < self.needed() { Err(ErrorCode::NotEnoughReplicas) } else { Ok(()) }
    }

    /// Notes this replica's promised end, and moves the watermark as far as the ISR allows. True if it moved.
    pub fn promise(&mut self, end: Offset) -> bool {
        self.promised.insert(self.me, end);
        self.advance()
    }

    /// The watermark after a cut of the log: it never lies beyond the end nor before the start.
    pub fn clamp(&mut self, log_start: Offset, log_end: Offset) {
        self.high_watermark = self.high_watermark.min(log_end).max(log_start);
    }

    fn needed(&self) -> usize {
        self.min_insync.min(self.assignment.replicas.len())
    }

    fn advance(&mut self) -> bool {
        if !self.leads() || self.check_in_sync().is_err() {
            return false;
        }
        let promised = |member: &BrokerId| self.promised.get(member).copied().unwrap_or(self.high_watermark);
        let reached = self.assignment.isr.iter().map(promised).min().unwrap_or(self.high_watermark);
        let moved = reached > self.high_watermark;
        self.high_watermark = self.high_watermark.max(reached);
        moved
    }
}

/// What a client that knows `theirs` is told by a replica in epoch `ours` that leads, or does not.
pub(super) fn check_leader(leads: bool, ours: LeaderEpoch, theirs: LeaderEpoch) -> Result<(), ErrorCode> {
    match theirs {
        theirs if theirs >= 0 && theirs < ours => Err(ErrorCode::FencedLeaderEpoch),
        theirs if theirs > ours => Err(ErrorCode::UnknownLeaderEpoch),
        _ if !leads => Err(ErrorCode::NotLeaderOrFollower),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led_by(leader: BrokerId, epoch: LeaderEpoch, isr: &[BrokerId]) -> Assignment {
        let replicas = vec![1, 2, 3];
        Assignment {
            leader: Some(leader),
            leader_epoch: epoch,
            partition_epoch: epoch,
            replicas,
            isr: isr.to_vec(),
        }
    }

    #[test]
    fn a_sole_member_moves_the_watermark_alone() {
        let mut state = State::new(1, 0);
        assert_eq!(state.assume(led_by(1, 0, &[1])), Turn::Leads);
        assert!(state.promise(5));
        assert_eq!(state.high_watermark(), 5);
        assert!(!state.promise(5));
    }

    #[test]
    fn a_member_that_promised_nothing_holds_it_back() {
        let mut state = State::new(1, 3);
        state.assume(led_by(1, 0, &[1, 2]));
        assert!(!state.promise(9));
        assert_eq!(state.high_watermark(), 3);
    }

    #[test]
    fn below_min_insync_it_stands_still() {
        let mut state = State::new(1, 0);
        state.set_min_insync(2);
        state.assume(led_by(1, 0, &[1]));
        assert!(!state.promise(9));
        assert_eq!(state.check_in_sync(), Err(ErrorCode::NotEnoughReplicas));
    }

    #[test]
    fn min_insync_beyond_the_replicas_is_capped() {
        let mut state = State::new(1, 0);
        state.set_min_insync(2);
        state.assume(Assignment { replicas: vec![1], ..led_by(1, 0, &[1]) });
        assert!(state.promise(9));
    }

    #[test]
    fn epochs_fence_clients_and_stale_news() {
        let mut state = State::new(1, 0);
        state.assume(led_by(1, 4, &[1]));
        assert_eq!(state.check_leader(3), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(state.check_leader(5), Err(ErrorCode::UnknownLeaderEpoch));
        assert_eq!(state.check_leader(-1), Ok(()));
        assert_eq!(state.assume(led_by(2, 3, &[2])), Turn::Stale);
        assert_eq!(state.assume(led_by(2, 5, &[2])), Turn::Follows);
        assert_eq!(state.check_leader(-1), Err(ErrorCode::NotLeaderOrFollower));
    }

    #[test]
    fn a_follower_never_moves_the_watermark_itself() {
        let mut state = State::new(1, 0);
        state.assume(led_by(2, 0, &[1, 2]));
        assert!(!state.promise(9));
    }
}
