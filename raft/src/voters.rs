//! Who follows the leader and how far; who votes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;

use crate::quorum::{ProposeError, Quorum, refused};
use crate::types::{Member, Types};

type Metrics = openraft::RaftMetrics<Types>;
type Change = ChangeMembers<u64, Member>;

/// Who has not answered the leader for so long does not follow it. Longer than any election takes.
const SILENCE: Duration = Duration::from_secs(3);

/// What the leader knows of all members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub term: u64,
    /// The index of the newest entry that is committed.
    pub committed: Option<u64>,
    pub members: Vec<Follower>,
}

/// A member as its leader sees it, which is one itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    pub id: u64,
    pub address: String,
    pub votes: bool,
    /// The index of the newest entry that it is known to have.
    pub last: Option<u64>,
    /// How long ago it answered.
    pub heard: Option<Duration>,
    /// How long ago it was known to have all that the leader had.
    pub caught_up: Option<Duration>,
}

/// Why the voters are as they were, unless it says that this is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VotersError {
    #[error("it is no member of the quorum")]
    NotAMember,
    #[error("it has a vote")]
    Votes,
    #[error("it has no vote")]
    NoVote,
    #[error("it answers at the address that is known of it")]
    IsElsewhere,
    #[error("it does not follow the leader, or not fast enough")]
    Lags,
    #[error("it is the only voter")]
    OnlyVoter,
    #[error("too few of the voters that there would be answer: they could decide nothing")]
    NoMajority,
    #[error("another change of the voters is under way")]
    Busy,
    /// Its first half is committed: it will be done.
    #[error("the leader fell while it changed the voters, and the next one finishes that")]
    Begun,
    #[error(transparent)]
    Refused(#[from] ProposeError),
}

/// When each member was last known to have all that the leader had; empty where this member does not lead.
#[derive(Clone, Debug, Default)]
pub(crate) struct CaughtUp(Arc<Mutex<BTreeMap<u64, InstantOf<Types>>>>);

impl CaughtUp {
    /// Notes who is caught up now.
    pub fn note(&self, metrics: &Metrics) {
        let mut noted = self.0.lock();
        let Some(replication) = &metrics.replication else { return noted.clear() };
        let all = |last: &Option<_>| last.map(|id: crate::types::LogId| id.index) >= metrics.last_log_index;
        let whole = replication.iter().filter(|(_, last)| all(last));
        noted.extend(whole.filter_map(|(id, _)| Some((*id, heard(metrics, *id)?))));
    }

    fn of(&self, id: u64) -> Option<Duration> {
        self.0.lock().get(&id).map(|at| at.elapsed())
    }
}

impl Quorum {
    /// How far all members are; `None` if this member does not lead.
    pub fn progress(&self) -> Option<Progress> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        if metrics.current_leader != Some(metrics.id) {
            return None;
        }
        let membership = metrics.membership_config.membership();
        let voters = voters(&metrics);
        let members = membership.nodes().map(|(id, node)| Follower {
            id: *id,
            address: node.addr.clone(),
            votes: voters.contains(id),
            ..self.follower(&metrics, *id)
        });
        Some(Progress {
            term: metrics.current_term,
            committed: metrics.local_committed.map(|id| id.index),
            members: members.collect(),
        })
    }

    fn follower(&self, metrics: &Metrics, id: u64) -> Follower {
        let (address, votes) = (String::new(), false);
        if id == metrics.id {
            let now = Some(Duration::ZERO);
            return Follower { id, address, votes, last: metrics.last_log_index, heard: now, caught_up: now };
        }
        let heard = heard(metrics, id).map(|at| at.elapsed());
        Follower { id, address, votes, last: last(metrics, id), heard, caught_up: self.caught_up.of(id) }
    }

    /// On the leader: has a node follow without a vote. A member that answers no more at the address that is known of it is
    /// called at this one from now on; its vote, if it has one, stays. Done once it is committed; the node catches up
    /// afterwards.
    pub async fn add_learner(&self, id: u64, address: String) -> Result<(), VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let node = Member { addr: address };
        match self.expect_member(&metrics, id) {
            Ok(known) if known == node => Ok(()),
            // Two copies of one directory would be one voter with two votes.
            Ok(_) if id != metrics.id && answers(&metrics, id) && !self.addresses.is(id, &node.addr) => {
                Err(VotersError::IsElsewhere)
            }
            // Safe, as a message for one member is never answered by another that happens to be at its address.
            Ok(_) => self.change_voters(ChangeMembers::SetNodes(BTreeMap::from([(id, node)])), true).await,
            Err(VotersError::NotAMember) => {
                self.change_voters(ChangeMembers::AddNodes(BTreeMap::from([(id, node)])), true).await
            }
            Err(other) => Err(other),
        }
    }

    /// Where a member is called; `None` for one that is none.
    pub fn address_of(&self, id: u64) -> Option<String> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let known = metrics.membership_config.membership().get_node(&id).map(|known| known.addr.clone())?;
        Some(self.addresses.of(id).unwrap_or(known))
    }

    /// A member says itself where it is, and answers no more where it was: two copies of one directory would be one voter with
    /// two votes. Until a leader has written it down, which without a majority there is none to do, this member calls it there.
    pub fn note_address(&self, id: u64, address: String) {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let is_member = metrics.membership_config.membership().get_node(&id).is_some();
        if is_member && !answers(&metrics, id) {
            self.addresses.note(id, address);
        }
    }

    /// On the leader: no longer tells a member without a vote. Should it come back, it has to be added again.
    pub async fn forget_learner(&self, id: u64) -> Result<(), VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        self.expect_member(&metrics, id)?;
        if voters(&metrics).contains(&id) {
            return Err(VotersError::Votes);
        }
        self.change_voters(ChangeMembers::RemoveNodes(BTreeSet::from([id])), true).await
    }

    /// On the leader: gives a learner a vote once it has all that the leader has now, for which it has `patience`.
    ///
    /// A change of voters never makes two majorities that do not meet: it is two entries, of which the first has both sets
    /// of voters agree to all that follows, to elections too, until the second is committed by both. Whoever leads next has
    /// the first, and finishes it, or has not, and then no voter of the new set could decide without those of the old. What
    /// must hold here: that only one change is under way, that each begins from the newest membership (openraft sees to
    /// both), and that an identity has one log for ever, since a voter that forgot its log could vote twice in a term.
    pub async fn add_voter(&self, id: u64, patience: Duration) -> Result<(), VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        self.expect_member(&metrics, id)?;
        let mut wanted = voters(&metrics);
        if !wanted.insert(id) {
            return Err(VotersError::Votes);
        }
        let newest = metrics.last_log_index;
        let follows =
            |now: &Metrics| now.replication.is_none() || last(now, id) >= newest && answers(now, id);
        let waited = self.raft.wait(Some(patience)).metrics(follows, "a learner has caught up").await;
        let metrics = waited.map_err(|_| VotersError::Lags)?;
        expect_majority(&metrics, &wanted)?;
        self.change_voters(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
    }

    /// On the leader: takes a member's vote away. One that answers follows on without it; any other is forgotten. A leader
    /// that is to go itself has another voter lead, and is none any more.
    pub async fn remove_voter(&self, id: u64) -> Result<(), VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        self.expect_member(&metrics, id)?;
        let mut left = voters(&metrics);
        if !left.remove(&id) {
            return Err(VotersError::NoVote);
        }
        if left.is_empty() {
            return Err(VotersError::OnlyVoter);
        }
        expect_majority(&metrics, &left)?;
        if id == metrics.id {
            let other = left.into_iter().find(|other| answers(&metrics, *other));
            self.transfer(other.ok_or(VotersError::NoMajority)?).await;
            return Err(ProposeError::NotLeader { leader: None }.into());
        }
        self.change_voters(ChangeMembers::RemoveVoters(BTreeSet::from([id])), answers(&metrics, id)).await
    }

    fn expect_member(&self, metrics: &Metrics, id: u64) -> Result<Member, VotersError> {
        if metrics.current_leader != Some(metrics.id) {
            return Err(ProposeError::NotLeader { leader: metrics.current_leader }.into());
        }
        let membership = metrics.membership_config.membership();
        membership.get_node(&id).cloned().ok_or(VotersError::NotAMember)
    }

    /// On a task of its own: a change has two steps, and whoever waits for it may go in between. One at a time, so that
    /// what this leader has written is known to be of this change.
    async fn change_voters(&self, change: Change, keep_as_learner: bool) -> Result<(), VotersError> {
        let turn = self.change.clone().try_lock_owned().map_err(|_| VotersError::Busy)?;
        let (raft, before) = (self.raft.clone(), self.raft.metrics().borrow_watched().clone());
        let changing = tokio::spawn(async move {
            let changed = raft.change_membership(change, keep_as_learner).await;
            drop(turn);
            changed
        });
        let changed = self.while_leading(async { changing.await.map_err(|_| ProposeError::Stopped) });
        let error = match changed.await? {
            Ok(_) => return Ok(()),
            Err(error) => why(error),
        };
        Err(half_done(error, &before, &self.raft.metrics().borrow_watched()))
    }
}

/// The second step is refused like the first, by a leader that is none any more: what is left of the change tells which it was.
fn half_done(error: VotersError, before: &Metrics, now: &Metrics) -> VotersError {
    let (old, committed) = (&before.membership_config, &now.committed_membership_config);
    let is_joint = committed.membership().get_joint_config().len() > 1;
    let is_mine = committed.log_id().is_some_and(|id| id.leader_id.term == before.current_term);
    match error {
        _ if committed.log_id() > old.log_id() && is_joint && is_mine => VotersError::Begun,
        VotersError::Refused(ProposeError::NotLeader { .. })
            if now.membership_config.log_id() != old.log_id() =>
        {
            ProposeError::Unknown.into()
        }
        error => error,
    }
}

fn why(error: RaftError<Types, ClientWriteError<Types>>) -> VotersError {
    match error {
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::LearnerNotFound(_) => VotersError::NotAMember,
            ChangeMembershipError::EmptyMembership(_) => VotersError::OnlyVoter,
            _ => VotersError::Busy,
        },
        error => refused(error).into(),
    }
}

/// While they change, those before and those after.
fn voters(metrics: &Metrics) -> BTreeSet<u64> {
    metrics.membership_config.membership().voter_ids().collect()
}

/// Voters of whom too few answer would decide nothing any more, not even to be others.
fn expect_majority(metrics: &Metrics, voters: &BTreeSet<u64>) -> Result<(), VotersError> {
    let answering = voters.iter().filter(|id| answers(metrics, **id)).count();
    if answering > voters.len() / 2 { Ok(()) } else { Err(VotersError::NoMajority) }
}

/// The newest entry that the leader knows a member to have.
pub(crate) fn last(metrics: &Metrics, id: u64) -> Option<u64> {
    metrics.replication.as_ref()?.get(&id).copied().flatten().map(|id| id.index)
}

fn heard(metrics: &Metrics, id: u64) -> Option<InstantOf<Types>> {
    metrics.heartbeat.as_ref()?.get(&id).copied().flatten().map(|at| *at)
}

/// Whether the leader, or the leader itself as `id`, has heard of it lately.
pub(crate) fn answers(metrics: &Metrics, id: u64) -> bool {
    id == metrics.id || heard(metrics, id).is_some_and(|at| at.elapsed() < SILENCE)
}
