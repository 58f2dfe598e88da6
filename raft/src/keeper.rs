//! Watches the raft core: publishes what it says, and does what it leaves to its user.

use std::collections::{BTreeMap, BTreeSet};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{ChangeMembers, ServerState};
use tokio::sync::watch;

use crate::applier::{Applier, at};
use crate::network::Addresses;
use crate::settings::Settings;
use crate::status::{State, Status};
use crate::store::Store;
use crate::types::{LogId, Types};
use crate::voters::{CaughtUp, answers, last};

type Raft = openraft::Raft<Types, Applier>;
type Metrics = openraft::RaftMetrics<Types>;

/// Purging keeps this far away from what is being applied. Entries: few, as each may be large.
const PURGE_MARGIN: u64 = 64;

pub(crate) struct Keeper {
    raft: Raft,
    store: Store,
    settings: Settings,
    status: watch::Sender<Status>,
    /// The index up to which there is a snapshot.
    snapped: Option<u64>,
    /// [`Store::unsnapped`] at which the next one is asked for.
    wanted_at: u64,
    /// The term in which this member last stood for election by itself.
    stood: Option<u64>,
    caught_up: CaughtUp,
    addresses: Addresses,
    /// The entry of the membership that the addresses are from.
    moved: Option<LogId>,
    /// The term in which this member has finished what an earlier leader left half done.
    finished: Option<u64>,
    /// The term that this member has led without a vote, and given up.
    given_up: Option<u64>,
}

impl Keeper {
    pub fn new(
        raft: Raft,
        store: Store,
        settings: Settings,
        status: watch::Sender<Status>,
        caught_up: CaughtUp,
        addresses: Addresses,
    ) -> Keeper {
        Keeper {
            wanted_at: settings.snapshot_bytes,
            raft,
            store,
            settings,
            status,
            snapped: None,
            stood: None,
            caught_up,
            addresses,
            moved: None,
            finished: None,
            given_up: None,
        }
    }

    /// Runs until the core has stopped.
    pub async fn run(mut self) {
        let mut metrics = self.raft.metrics();
        loop {
            let now = metrics.borrow_watched().clone();
            self.caught_up.note(&now);
            self.take_addresses(&now);
            self.publish(&now);
            if now.running_state.is_err() {
                return;
            }
            // A core that is gone refuses these; the next round sees why.
            let _gone = self.tend(&now).await;
            if metrics.changed().await.is_err() {
                self.closed();
                return;
            }
        }
    }

    fn take_addresses(&mut self, metrics: &Metrics) {
        let membership = &metrics.membership_config;
        if *membership.log_id() != self.moved {
            self.moved = *membership.log_id();
            let members = membership.membership().nodes();
            self.addresses.take(members.map(|(id, member)| (*id, member.addr.clone())));
        }
    }

    fn publish(&self, metrics: &Metrics) {
        let status = status(metrics);
        if let State::Failed(why) = &status.state {
            tracing::error!(why, "the quorum's core has failed");
        }
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// The core went without a word.
    fn closed(&self) {
        self.status.send_modify(|status| {
            if status.state == State::Running {
                status.state = State::Failed("the quorum's core has died".into());
            }
            status.leader_ready = false;
        });
    }

    async fn tend(&mut self, metrics: &Metrics) -> Result<(), Fatal<Types>> {
        self.elect_if_alone(metrics).await?;
        self.finish_change(metrics);
        self.give_way(metrics).await?;
        self.snapshot_if_large(metrics).await?;
        self.purge_if_large(metrics).await
    }

    /// A sole voter needs no timer: nobody else can lead, and there is nobody to send heartbeats to. So it stands at
    /// once, and an idle one never wakes up.
    async fn elect_if_alone(&mut self, metrics: &Metrics) -> Result<(), Fatal<Types>> {
        let membership = metrics.membership_config.membership();
        let alone = membership.voter_ids().eq([metrics.id]) && membership.learner_ids().next().is_none();
        self.raft.runtime_config().tick(!alone);
        let term = Some(metrics.current_term);
        if alone && metrics.state == ServerState::Follower && self.stood < term {
            self.stood = term;
            self.raft.trigger().elect(false).await?;
        }
        Ok(())
    }

    /// A leader that fell between the two steps of a change of voters leaves two sets of them, of which each has to agree.
    fn finish_change(&mut self, metrics: &Metrics) {
        let half_done = &metrics.committed_membership_config;
        let is_joint = half_done.membership().get_joint_config().len() > 1;
        let is_old = half_done.log_id().is_some_and(|id| id.leader_id.term < metrics.current_term);
        let term = Some(metrics.current_term);
        if !is_joint || !is_old || self.finished == term || !status(metrics).leader_ready {
            return;
        }
        self.finished = term;
        let raft = self.raft.clone();
        // If this leader falls too, the next one does it.
        tokio::spawn(async move {
            raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
        });
    }

    /// A leader that was to lose its vote, and finished that change as an earlier leader had left it, has another lead: it says
    /// nothing more as a leader then, so that silence has the voters elect one if that one does not take over. The core sees to
    /// this by itself only for a leader that is forgotten, not for one that follows on.
    async fn give_way(&mut self, metrics: &Metrics) -> Result<(), Fatal<Types>> {
        let (membership, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
        let follows_on = membership.membership().learner_ids().any(|id| id == metrics.id);
        let is_committed = membership.log_id() == committed.log_id();
        let term = Some(metrics.current_term);
        if metrics.state != ServerState::Leader || !follows_on || !is_committed || self.given_up == term {
            return Ok(());
        }
        let answering = membership.membership().voter_ids().filter(|id| answers(metrics, *id));
        let Some(next) = answering.max_by_key(|id| last(metrics, *id)) else { return Ok(()) };
        self.given_up = term;
        self.raft.trigger().transfer_leader(next).await
    }

    /// The core counts entries; bytes are counted here.
    async fn snapshot_if_large(&mut self, metrics: &Metrics) -> Result<(), Fatal<Types>> {
        let snapped = metrics.snapshot.map(|id| id.index);
        if snapped != self.snapped {
            self.snapped = snapped;
            self.store.snapped(snapped.unwrap_or(0));
            self.wanted_at = self.settings.snapshot_bytes;
        }
        let unsnapped = self.store.unsnapped();
        if unsnapped > self.wanted_at {
            self.wanted_at = unsnapped + self.settings.snapshot_bytes;
            self.raft.trigger().snapshot().await?;
        }
        Ok(())
    }

    async fn purge_if_large(&self, metrics: &Metrics) -> Result<(), Fatal<Types>> {
        let Some(snapshot) = metrics.snapshot else { return Ok(()) };
        let bound = snapshot.index.saturating_sub(PURGE_MARGIN);
        let upto = self.store.purge_point(self.settings.keep_bytes).map(|index| index.min(bound));
        if upto > metrics.purged.map(|id| id.index) {
            self.raft.trigger().purge_log(upto.unwrap_or(0)).await?;
        }
        Ok(())
    }
}

fn status(metrics: &Metrics) -> Status {
    let membership = metrics.membership_config.membership();
    let address = |id: &u64| membership.get_node(id).map(|node| node.addr.clone()).unwrap_or_default();
    let named =
        |ids: Vec<u64>| -> BTreeMap<u64, String> { ids.into_iter().map(|id| (id, address(&id))).collect() };
    let state = state(metrics);
    let own_term = metrics.last_applied.is_some_and(|id| id.leader_id.term == metrics.current_term);
    Status {
        leader_ready: state == State::Running && metrics.state == ServerState::Leader && own_term,
        state,
        node_id: metrics.id,
        term: metrics.current_term,
        leader: metrics.current_leader,
        applied: metrics.last_applied.map(at),
        is_changing: membership.get_joint_config().len() > 1,
        voters: named(membership.voter_ids().collect()),
        learners: named(membership.learner_ids().collect()),
    }
}

fn state(metrics: &Metrics) -> State {
    match &metrics.running_state {
        Ok(()) => State::Running,
        Err(Fatal::Stopped) => State::Stopped,
        Err(fatal) => State::Failed(fatal.to_string()),
    }
}
