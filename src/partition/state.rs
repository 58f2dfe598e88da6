//! What a replica decides, without I/O: its role, how far the high watermark may go, and who is in sync.
//!
//! ```text
//!   log start        high watermark          log end (this replica)
//!      |-------------------|-----------------------|
//!       shown to consumers   appended, not yet on every ISR member
//! ```
//!
//! The watermark counts each member's *promised* end: what it has appended, or what it has synced where
//! `flush.messages=1` asks for that. A follower promises what lies below the offset it fetches from.
//!
//! Members are those of the *maximal* ISR: the committed one and what a pending change would make of it.

mod follower;
mod isr;
#[cfg(test)]
mod tests;

pub use follower::{FollowerFetch, LastFetch};
pub use isr::IsrChange;

use crate::types::{BrokerId, ErrorCode, LeaderEpoch, Mono, Offset, PartitionEpoch};
use follower::Follower;
use isr::Pending;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What the metadata says of a partition, as far as a replica must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// In order of preference.
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// Broker epochs of those replicas whose brokers are registered and active, or lead it unfenced, and whose log
    /// directories work: only they may be proposed for the ISR.
    pub epochs: BTreeMap<BrokerId, i64>,
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

/// Where this replica's own log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub log_start: Offset,
    pub log_end: Offset,
    /// Up to here this replica's word stands.
    pub promised_end: Offset,
}

/// What an input led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a wanted change reaches the controller only through the caller"]
pub struct Moved {
    pub high_watermark: bool,
    /// To be proposed to the controller, once; its fate comes back by [`State::isr_answered`] or by an assignment.
    pub wants: Option<IsrChange>,
}

/// A follower that consumers may read from; the more it is worth, the further it is, then the later it was caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub log_end: Offset,
    pub caught_up_at: Option<Mono>,
    pub broker: BrokerId,
}

/// The replica of one partition on broker `me`.
#[derive(Debug)]
pub struct State {
    me: BrokerId,
    assignment: Assignment,
    extent: Extent,
    high_watermark: Offset,
    min_insync: usize,
    /// Where this leader's epoch began: a follower below it may hold what this leader does not.
    epoch_start: Offset,
    /// Known of each other replica in this leader's epoch.
    followers: BTreeMap<BrokerId, Follower>,
    pending: Option<Pending>,
}

impl State {
    /// A replica that has not yet heard who leads. `checkpointed` is the high watermark as it was last written down.
    pub fn new(me: BrokerId, checkpointed: Offset, extent: Extent) -> State {
        let assignment = Assignment {
            leader: None,
            leader_epoch: -1,
            partition_epoch: -1,
            replicas: vec![],
            isr: vec![],
            epochs: BTreeMap::new(),
        };
        let mut state = State {
            me,
            assignment,
            extent,
            high_watermark: checkpointed,
            min_insync: 1,
            epoch_start: extent.log_end,
            followers: BTreeMap::new(),
            pending: None,
        };
        state.clamp();
        state
    }

    /// Takes over what the metadata says. What is known of the others is forgotten when the epoch changes.
    pub fn assume(&mut self, assignment: Assignment, now: Mono) -> Turn {
        let is_decided = |change: &IsrChange| {
            change.leader_epoch < assignment.leader_epoch
                || change.partition_epoch < assignment.partition_epoch
        };
        self.pending.take_if(|pending| is_decided(&pending.change));
        let known = &self.assignment;
        if assignment.partition_epoch < known.partition_epoch || assignment.leader_epoch < known.leader_epoch
        {
            return Turn::Stale;
        }
        let new_epoch = assignment.leader_epoch > known.leader_epoch;
        self.assignment = assignment;
        if new_epoch {
            self.begin_epoch(now)
        } else {
            self.forget_replaced();
            Turn::Stays
        }
    }

    /// Neither leads nor follows from now on, whatever the metadata says. What was asked of the controller it has yet to decide:
    /// whoever leads here next would not know of it.
    pub fn resign(&mut self) {
        self.assignment.leader = None;
        (self.assignment.leader_epoch, self.assignment.partition_epoch) =
            (LeaderEpoch::MAX, PartitionEpoch::MAX);
        self.followers.clear();
    }

    fn has_resigned(&self) -> bool {
        self.assignment.leader_epoch == LeaderEpoch::MAX
    }

    fn begin_epoch(&mut self, now: Mono) -> Turn {
        self.followers.clear();
        self.epoch_start = self.extent.log_end;
        if !self.leads() {
            return Turn::Follows;
        }
        let Assignment { isr, epochs, .. } = &self.assignment;
        for member in isr.iter().filter(|member| **member != self.me) {
            let epoch = epochs.get(member).copied().unwrap_or(-1);
            self.followers.insert(*member, Follower::trusted(epoch, self.extent.log_end, now));
        }
        Turn::Leads
    }

    /// What a broker promised binds neither its next process nor one that holds no replica any more.
    fn forget_replaced(&mut self) {
        let Assignment { replicas, epochs, .. } = &self.assignment;
        self.followers.retain(|id, follower| {
            replicas.contains(id) && epochs.get(id).is_none_or(|epoch| *epoch == follower.broker_epoch)
        });
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

    /// As it was last noted.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Records below are gone from every replica that lives; -1 as long as one of them has not said.
    pub fn low_watermark(&self) -> Offset {
        let said = |follower: Option<&Follower>| follower?.promised.map(|promised| promised.log_start);
        let living = self.assignment.epochs.keys().filter(|id| **id != self.me);
        let others = living.map(|id| said(self.followers.get(id)).unwrap_or(-1));
        others.fold(self.extent.log_start, Offset::min)
    }

    /// The others in sync that hold what lies at and behind `offset`: consumers may read it from them.
    pub fn holders(&self, offset: Offset) -> impl Iterator<Item = Holder> {
        let others = self.followers.iter().filter(|(id, _)| self.assignment.isr.contains(id));
        others.filter_map(move |(id, follower)| {
            let promised = follower.promised.filter(|one| (one.log_start..=one.offset).contains(&offset))?;
            Some(Holder { log_end: promised.offset, caught_up_at: follower.caught_up_at(), broker: *id })
        })
    }

    pub fn is_in_sync(&self, broker: BrokerId) -> bool {
        self.assignment.isr.contains(&broker)
    }

    /// Whether the watermark waits for what a follower says.
    pub fn is_waited_for(&self, follower: BrokerId) -> bool {
        self.counted().any(|member| member == follower)
    }

    /// Whether an ISR was asked for, and what became of that is not known yet.
    pub fn is_undecided(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether it follows somebody, and may show what is committed.
    pub fn follows(&self) -> bool {
        self.assignment.leader.is_some_and(|leader| leader != self.me)
    }

    /// Checks that this replica may act as leader for a client that knows `epoch` (-1: does not say; KIP-320).
    pub fn check_leader(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        check_leader(self.leads(), self.assignment.leader_epoch, epoch)
    }

    /// Checks that what was asked of the leader of `epoch` may still be acted on: this replica follows, in that epoch.
    pub fn check_follower(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if self.follows() && self.assignment.leader_epoch == epoch {
            Ok(())
        } else {
            Err(ErrorCode::FencedLeaderEpoch)
        }
    }

    /// Whether enough members are in sync for an append that every one of them must have (acks=all).
    pub fn check_in_sync(&self) -> Result<(), ErrorCode> {
        if self.assignment.isr.len() < self.needed() { Err(ErrorCode::NotEnoughReplicas) } else { Ok(()) }
    }

    /// Notes where this replica's own log stands, and moves the watermark as far as the ISR allows. True if it moved.
    pub fn promise(&mut self, extent: Extent) -> bool {
        if extent.log_end > self.extent.log_end {
            self.followers.values_mut().for_each(|follower| follower.wake(self.extent.log_end));
        }
        self.extent = extent;
        self.clamp();
        self.advance()
    }

    /// A follower asks for what lies at and behind an offset. Its leader epoch has been checked. A broker that is registered
    /// speaks under the epoch of its registration: one that has a later one is heard when the metadata here knows it.
    pub fn follower_fetched(
        &mut self,
        from: BrokerId,
        fetch: FollowerFetch,
        now: Mono,
    ) -> Result<Moved, ErrorCode> {
        self.check_fetching(from, fetch.broker_epoch)?;
        let follower = self.followers.entry(from).or_insert_with(|| Follower::new(fetch.broker_epoch));
        follower.fetched(fetch, self.extent.log_end, now);
        let wants = self.expand(from);
        Ok(Moved { high_watermark: self.advance(), wants })
    }

    /// Whether a fetch is of a process that follows this partition now.
    pub fn check_fetching(&self, from: BrokerId, broker_epoch: i64) -> Result<(), ErrorCode> {
        let registered = self.assignment.epochs.get(&from);
        let is_another = registered.is_some_and(|registered| *registered != broker_epoch);
        let is_replaced = self.followers.get(&from).is_some_and(|known| known.broker_epoch > broker_epoch);
        match from == self.me || !self.assignment.replicas.contains(&from) || is_another || is_replaced {
            true => Err(ErrorCode::NotLeaderOrFollower),
            false => Ok(()),
        }
    }

    /// A follower that is in sync and has everything need not name this partition in its fetches until something changes:
    /// `last_fetch` speaks for it until then. False if it must go on.
    pub fn rest(&mut self, from: BrokerId, last_fetch: &Arc<LastFetch>) -> bool {
        let (is_in_sync, log_end) = (self.leads() && self.is_in_sync(from), self.extent.log_end);
        let follower = self.followers.get_mut(&from);
        let rests = follower.filter(|follower| is_in_sync && follower.is_at_end(log_end));
        rests.map(|follower| follower.rest(last_fetch.clone())).is_some()
    }

    /// From now on it must name this partition again.
    pub fn unrest(&mut self, from: BrokerId) {
        let log_end = self.extent.log_end;
        self.followers.get_mut(&from).into_iter().for_each(|follower| follower.wake(log_end));
    }

    /// Looks who has fallen behind for longer than `lag_max` (`replica.lag.time.max.ms`).
    pub fn isr_tick(&mut self, now: Mono, lag_max: Duration) -> Moved {
        if !self.leads() {
            return Moved::default();
        }
        let log_end = self.extent.log_end;
        self.followers.values_mut().for_each(|follower| follower.check(log_end, now, lag_max));
        let wants = self.shrink();
        Moved { high_watermark: self.advance(), wants }
    }

    /// Whether this leads, and time alone may change something: who has not fetched up to the end is a member of the ISR, or
    /// the watermark waits for it.
    pub fn is_anyone_behind(&self) -> bool {
        let at_end = |follower: &Follower| follower.is_at_end(self.extent.log_end);
        let lacks = |member: &BrokerId| *member != self.me && !self.followers.get(member).is_some_and(at_end);
        let waited_for = |follower: &Follower| follower.keeps_up && !at_end(follower);
        self.leads() && (self.assignment.isr.iter().any(lacks) || self.followers.values().any(waited_for))
    }

    /// What the controller said to a change: the partition epoch now in force with it, or why not. Errors that leave open
    /// whether it was accepted have it asked again.
    pub fn isr_answered(&mut self, change: &IsrChange, answer: Result<PartitionEpoch, ErrorCode>) -> Moved {
        if !self.is_pending(change) {
            return Moved::default();
        }
        let wants = match answer {
            Ok(partition_epoch) => {
                self.accepted(change, partition_epoch);
                None
            }
            Err(ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted) => self.refused(),
            Err(code) if is_outdated(code) => None,
            Err(_) => self.lost(),
        };
        Moved { high_watermark: self.advance(), wants }
    }

    /// Whether the fate of `change` still matters.
    pub fn is_pending(&self, change: &IsrChange) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.change == *change)
    }

    /// A follower takes over the leader's watermark, as far as it has the records. True if it moved.
    pub fn leader_said(&mut self, high_watermark: Offset) -> bool {
        let reached = high_watermark.min(self.extent.log_end);
        let moved = !self.leads() && reached > self.high_watermark;
        if moved {
            self.high_watermark = reached;
        }
        moved
    }

    /// The watermark lies neither beyond the end nor before the start, also after a cut of the log.
    fn clamp(&mut self) {
        self.high_watermark = self.high_watermark.min(self.extent.log_end).max(self.extent.log_start);
    }

    fn needed(&self) -> usize {
        self.min_insync.min(self.assignment.replicas.len())
    }

    fn advance(&mut self) -> bool {
        if !self.leads() || self.check_in_sync().is_err() {
            return false;
        }
        let reached = self.counted().map(|member| self.promised(member)).min();
        let moved = reached.is_some_and(|reached| reached > self.high_watermark);
        self.high_watermark = self.high_watermark.max(reached.unwrap_or(Offset::MIN));
        moved
    }

    /// Whom the watermark waits for: the maximal ISR, and who is about to join it.
    fn counted(&self) -> impl Iterator<Item = BrokerId> {
        let named = self.pending.iter().flat_map(|pending| pending.named.iter().copied());
        let joining = self.followers.iter().filter(|(id, follower)| follower.keeps_up && self.may_join(**id));
        self.assignment.isr.iter().copied().chain(named).chain(joining.map(|(id, _)| *id))
    }

    /// A member that has said nothing in this epoch has promised nothing.
    fn promised(&self, member: BrokerId) -> Offset {
        if member == self.me {
            return self.extent.promised_end;
        }
        let promised = self.followers.get(&member).and_then(|follower| follower.promised);
        promised.map_or(Offset::MIN, |promised| promised.offset)
    }

    /// The broker epoch to propose a member under; `None` if it may not be proposed.
    fn eligible(&self, member: BrokerId) -> Option<i64> {
        let registered = self.assignment.epochs.get(&member).copied()?;
        let seen = self.followers.get(&member).map_or(registered, |follower| follower.broker_epoch);
        (member == self.me || seen == registered).then_some(registered)
    }

    fn may_join(&self, follower: BrokerId) -> bool {
        !self.assignment.isr.contains(&follower)
            && self.eligible(follower).is_some()
            && self.eligible(self.me).is_some()
    }

    /// A follower joins when it has all that is committed, and all that lies below this leader's epoch.
    fn expand(&mut self, follower: BrokerId) -> Option<IsrChange> {
        let has_all = self.promised(follower) >= self.high_watermark.max(self.epoch_start);
        if !has_all || !self.may_join(follower) {
            return None;
        }
        self.propose(|state, id| id == follower || state.assignment.isr.contains(&id))
    }

    fn shrink(&mut self) -> Option<IsrChange> {
        let lags = |state: &State, id| !state.followers.get(&id).is_some_and(|follower| follower.keeps_up);
        let is_behind = |id: &BrokerId| *id != self.me && lags(self, *id);
        if !self.assignment.isr.iter().any(is_behind) {
            return None;
        }
        self.propose(|state, id| state.assignment.isr.contains(&id) && (id == state.me || !lags(state, id)))
    }

    /// One change at a time; it names only who is active, and never leaves this leader out.
    fn propose(&mut self, is_member: impl Fn(&State, BrokerId) -> bool) -> Option<IsrChange> {
        if self.pending.is_some() || self.eligible(self.me).is_none() {
            return None;
        }
        let members = self.assignment.replicas.iter().copied().filter(|id| is_member(self, *id));
        let isr = members.filter_map(|id| Some((id, self.eligible(id)?))).collect();
        let Assignment { leader_epoch, partition_epoch, .. } = self.assignment;
        let change = IsrChange { leader_epoch, partition_epoch, isr };
        self.pending = Some(Pending::new(change.clone()));
        Some(change)
    }

    fn accepted(&mut self, change: &IsrChange, partition_epoch: PartitionEpoch) {
        self.pending = None;
        if partition_epoch > self.assignment.partition_epoch {
            self.assignment.partition_epoch = partition_epoch;
            self.assignment.isr = change.members().collect();
        }
    }

    /// If every attempt was answered, none can be accepted any more. Otherwise one that is still under way may be: the ISR
    /// as it is gets proposed, so that a new partition epoch shuts the door behind.
    fn refused(&mut self) -> Option<IsrChange> {
        let pending = self.pending.take()?;
        if !pending.is_lost {
            return None;
        }
        let withdrawal = match self.has_resigned() {
            // It has no epoch to propose another in: it goes on asking.
            true => Some(pending.change.clone()),
            false => self.propose(|state, id| state.assignment.isr.contains(&id)),
        };
        let change = withdrawal.clone().unwrap_or_else(|| pending.change.clone());
        self.pending = Some(Pending { change, ..pending });
        withdrawal
    }

    fn lost(&mut self) -> Option<IsrChange> {
        let pending = self.pending.as_mut()?;
        pending.is_lost = true;
        Some(pending.change.clone())
    }
}

/// Refusals that mean that the partition has changed meanwhile: the image is about to tell, and settles the proposal.
fn is_outdated(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidUpdateVersion
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::NewLeaderElected
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownTopicId
            | ErrorCode::UnknownTopicOrPartition
    )
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
