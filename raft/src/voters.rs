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
    #[error("it does not follow the leader, or not fast enough")]
    Lags,
    #[error("it is the only voter")]
    OnlyVoter,
    #[error("another change of the voters is under way")]
    Busy,
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
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
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

    /// On the leader: gives a learner a vote once it has all that the leader has now, for which it has `patience`.
    pub async fn add_voter(&self, id: u64, patience: Duration) -> Result<(), VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        self.expect_member(&metrics, id)?;
        let wanted = metrics.last_log_index;
        let follows =
            |now: &Metrics| now.replication.is_none() || last(now, id) >= wanted && answers(now, id);
        let waited = self.raft.wait(Some(patience)).metrics(follows, "a learner has caught up").await;
        waited.map_err(|_| VotersError::Lags)?;
        self.change_voters(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
    }

    /// On the leader: takes a member's vote away. One that answers follows on without it; any other is forgotten. A leader
    /// that is to go itself has another voter lead, and is none any more.
    pub async fn remove_voter(&self, id: u64) -> Result<(), VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        self.expect_member(&metrics, id)?;
        let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
        let Some(other) = voters.iter().find(|other| **other != id && answers(&metrics, **other)) else {
            let alone = voters.iter().all(|other| *other == id);
            return Err(if alone { VotersError::OnlyVoter } else { VotersError::Lags });
        };
        if id == metrics.id {
            self.transfer(*other).await;
            return Err(ProposeError::NotLeader { leader: None }.into());
        }
        self.change_voters(ChangeMembers::RemoveVoters(BTreeSet::from([id])), answers(&metrics, id)).await
    }

    fn expect_member(&self, metrics: &Metrics, id: u64) -> Result<(), VotersError> {
        if metrics.current_leader != Some(metrics.id) {
            return Err(ProposeError::NotLeader { leader: metrics.current_leader }.into());
        }
        let membership = metrics.membership_config.membership();
        membership.get_node(&id).map(drop).ok_or(VotersError::NotAMember)
    }

    /// On a task of its own: a change has two steps, and whoever waits for it may go in between.
    async fn change_voters(&self, change: Change, keep_as_learner: bool) -> Result<(), VotersError> {
        let raft = self.raft.clone();
        let changing = tokio::spawn(async move { raft.change_membership(change, keep_as_learner).await });
        let changed = self.while_leading(async { changing.await.map_err(|_| ProposeError::Stopped) });
        changed.await?.map(drop).map_err(why)
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

fn last(metrics: &Metrics, id: u64) -> Option<u64> {
    metrics.replication.as_ref()?.get(&id).copied().flatten().map(|id| id.index)
}

fn heard(metrics: &Metrics, id: u64) -> Option<InstantOf<Types>> {
    metrics.heartbeat.as_ref()?.get(&id).copied().flatten().map(|at| *at)
}

/// Whether the leader, or the leader itself as `id`, has heard of it lately.
fn answers(metrics: &Metrics, id: u64) -> bool {
    id == metrics.id || heard(metrics, id).is_some_and(|at| at.elapsed() < SILENCE)
}
