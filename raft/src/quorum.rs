//! The one handle that the rest of the broker has on the quorum.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{self, ClientWriteError, Fatal, RaftError};
use openraft::{Config, ReadPolicy, ServerState, SnapshotPolicy};
use storage::disk::Disk;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::answer::{Incoming, answer};
use crate::applier::{Applier, at};
use crate::keeper::Keeper;
use crate::machine::{At, Machine};
use crate::network::{Addresses, Links, Overruled};
use crate::settings::Settings;
use crate::snapshot::Snapshots;
use crate::status::{State, Status};
use crate::store::Store;
use crate::transport::Transport;
use crate::types::{Command, Member, Types};
use crate::voters::CaughtUp;

/// A leader that has not heard from a majority for so long may have been succeeded.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(1);

/// A leader that no majority answers for so long is taken to be cut off. Members answer once what they were sent is on their
/// disks, which may stall for a while.
const CUT_OFF_AFTER: Duration = Duration::from_secs(4);

/// A member of a quorum that orders opaque commands. Clones are the same member.
#[derive(Clone)]
pub struct Quorum {
    pub(crate) raft: openraft::Raft<Types, Applier>,
    store: Store,
    incoming: Arc<Incoming>,
    overruled: Overruled,
    pub(crate) addresses: Addresses,
    pub(crate) caught_up: CaughtUp,
    /// Held by a change of the members for as long as it takes.
    pub(crate) change: Arc<tokio::sync::Mutex<()>>,
    status: watch::Receiver<Status>,
}

/// A command that was ordered and applied here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub at: At,
    /// What the machine answered.
    pub answer: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("metadata log: {0}")]
    Disk(#[from] io::Error),
    #[error("metadata log settings: {0}")]
    Settings(String),
    #[error("metadata log: {0}")]
    Fatal(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was written. To be tried at `leader`; if there is none, here again in a while.
    #[error("not the leader of the quorum")]
    NotLeader { leader: Option<u64> },
    /// Nothing was written.
    #[error("a command of {0} bytes is too large")]
    TooLarge(usize),
    /// The command may or may not be committed, now or later.
    #[error("leadership, or the majority, was lost while the command was being committed")]
    Unknown,
    /// The member failed or was shut down; the command may or may not be committed.
    #[error("this member of the quorum has stopped")]
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitializeError {
    /// There is a log already: nothing was changed.
    #[error("the quorum is already initialised")]
    NotEmpty,
    #[error("this node {0} is not among the voters")]
    NotAVoter(u64),
    #[error("this member of the quorum has stopped")]
    Stopped,
}

/// Bytes of one command.
pub const MAX_COMMAND: usize = 16 << 20;

impl Quorum {
    /// Opens the log in `settings.dir`, restores `machine` from the newest snapshot, and joins the quorum that the
    /// log names. An empty log waits for [`Quorum::initialize`] or for a leader's call.
    /// Runs on the tokio runtime that it is called on.
    pub async fn start(
        settings: Settings,
        disk: Arc<dyn Disk>,
        machine: Box<dyn Machine>,
        transport: impl Transport,
    ) -> Result<Quorum, StartError> {
        let config = Arc::new(config(&settings).validate().map_err(|e| StartError::Settings(e.to_string()))?);
        let (store, snapshots) = open(disk, &settings).await?;
        let applier = Applier::new(machine, snapshots, settings.lane.clone());
        let (overruled, addresses) = (Overruled::default(), Addresses::default());
        let links = Links {
            transport: Arc::new(transport),
            lane: settings.lane.clone(),
            overruled: overruled.clone(),
            addresses: addresses.clone(),
        };
        let raft = openraft::Raft::new(settings.node_id, config, links, store.clone(), applier);
        let raft = raft.await.map_err(|fatal| StartError::Fatal(fatal.to_string()))?;
        let (tell, status) = watch::channel(Status { node_id: settings.node_id, ..Status::default() });
        let caught_up = CaughtUp::default();
        let keeper =
            Keeper::new(raft.clone(), store.clone(), settings, tell, caught_up.clone(), addresses.clone());
        tokio::spawn(keeper.run());
        let (incoming, change) = Default::default();
        Ok(Quorum { raft, store, incoming, overruled, addresses, caught_up, change, status })
    }

    /// Nobody ever wrote to this member's log.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// The first start of a quorum: makes these members (id and address) its voters. To be called on one of them, with
    /// all of them known to be empty. A sole voter leads at once.
    pub async fn initialize(&self, voters: BTreeMap<u64, String>) -> Result<(), InitializeError> {
        let members: BTreeMap<u64, Member> =
            voters.into_iter().map(|(id, addr)| (id, Member { addr })).collect();
        self.raft.initialize(members).await.map_err(|e| match e {
            RaftError::APIError(errors::InitializeError::NotAllowed(_)) => InitializeError::NotEmpty,
            RaftError::APIError(errors::InitializeError::NotInMembers(e)) => {
                InitializeError::NotAVoter(e.node_id)
            }
            RaftError::Fatal(_) => InitializeError::Stopped,
        })
    }

    /// Has `command` ordered, made durable on a majority, and applied here.
    ///
    /// Ends as [`ProposeError::Unknown`] as soon as this member no longer leads, and a second after [`CUT_OFF_AFTER`] at the
    /// latest if no majority answers it: one that is cut off would hear of its successor only once that is over. Dropping the
    /// future takes nothing back.
    pub async fn propose(&self, command: Bytes) -> Result<Committed, ProposeError> {
        if command.len() > MAX_COMMAND {
            return Err(ProposeError::TooLarge(command.len()));
        }
        let written = async { Ok(self.raft.client_write(Command(command)).await) };
        let written = tokio::select! {
            biased;
            written = self.while_leading(written) => written?.map_err(refused)?,
            () = self.unheard() => return Err(ProposeError::Unknown),
        };
        Ok(Committed { at: at(written.log_id), answer: written.data })
    }

    /// Returns once a majority has said, after this was asked, that this member leads `term`: then nobody else can have had
    /// anything ordered before. A leader that is cut off does not notice by itself that it is none any more: it fails here,
    /// after [`CONFIRMED_WITHIN`] at the latest.
    pub async fn confirm(&self, term: u64) -> Result<(), ProposeError> {
        match self.led(CONFIRMED_WITHIN).await? == term {
            true => Ok(()),
            false => Err(ProposeError::NotLeader { leader: None }),
        }
    }

    /// The term that this member leads, by the word of a majority within `limit`.
    async fn led(&self, limit: Duration) -> Result<u64, ProposeError> {
        let led = timeout(limit, self.raft.get_read_linearizer(ReadPolicy::ReadIndex)).await;
        let led = led.map_err(|_| ProposeError::NotLeader { leader: None })?;
        let led = led.map_err(|error| match error {
            RaftError::Fatal(_) => ProposeError::Stopped,
            RaftError::APIError(_) => ProposeError::NotLeader { leader: None },
        })?;
        Ok(led.read_log_id().log_id().leader_id.term)
    }

    /// Returns once no majority answers.
    async fn unheard(&self) {
        loop {
            sleep(CONFIRMED_WITHIN).await;
            if self.led(CUT_OFF_AFTER).await.is_err() {
                return;
            }
        }
    }

    /// Does `work` for as long as this member leads.
    pub(crate) async fn while_leading<T>(
        &self,
        work: impl Future<Output = Result<T, ProposeError>>,
    ) -> Result<T, ProposeError> {
        let term = self.status.borrow().term;
        let mut status = self.status.clone();
        let deposed =
            status.wait_for(|now| now.term > term && !now.is_leader() || now.state != State::Running);
        tokio::select! {
            biased;
            done = work => done,
            seen = deposed => match seen {
                Ok(now) if now.state == State::Running => Err(ProposeError::Unknown),
                _ => Err(ProposeError::Stopped),
            },
        }
    }

    /// Stands for election at once, although the leader of `term` was heard of a moment ago: it is known to be dead.
    /// Does nothing if a later term has begun, or if this member has no vote.
    pub async fn overrule(&self, term: u64) {
        let status = self.status.borrow().clone();
        if status.term != term || status.is_leader() || !status.voters.contains_key(&status.node_id) {
            return;
        }
        // The status lags behind a vote that is on its way to the disk; the core does not.
        let voted = self.raft.with_raft_state(|state| state.vote_ref().leader_id.term).await;
        if voted.is_ok_and(|voted| voted > term) {
            return;
        }
        self.overruled.store(term + 1, Ordering::Relaxed);
        // A core that is gone says so by its status.
        let _gone = self.raft.trigger().elect(false).await;
    }

    /// On the leader: asks the member `to` to take over, which its status will show.
    pub async fn transfer(&self, to: u64) {
        let _gone = self.raft.trigger().transfer_leader(to).await;
    }

    /// Answers a peer's request, for the transport. `None` if it cannot be answered: the connection should be closed.
    pub async fn answer(&self, request: Bytes) -> Option<Bytes> {
        answer(&self.raft, &self.incoming, request).await
    }

    /// How long ago a leader called this member last, or when it was started if none has; nothing while it leads itself.
    pub fn silence(&self) -> Duration {
        // One that led before it was restarted takes itself for the leader until it hears of another.
        let leads = self.raft.metrics().borrow_watched().state == ServerState::Leader;
        if leads { Duration::ZERO } else { self.incoming.silence() }
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops after what was accepted is on disk.
    pub async fn shutdown(self) {
        if let Err(e) = self.raft.shutdown().await {
            tracing::error!(error = %e, "the quorum's core did not stop cleanly");
        }
        if let Err(e) = self.store.close().await {
            tracing::error!(error = %e, "the end of the quorum's log was not written");
        }
    }
}

async fn open(disk: Arc<dyn Disk>, settings: &Settings) -> io::Result<(Store, Arc<Snapshots>)> {
    let (lane, settings) = (settings.lane.clone(), settings.clone());
    lane.run(move || {
        let store = Store::open(disk.clone(), &settings)?;
        Ok((store, Arc::new(Snapshots::open(disk, &settings.dir)?)))
    })
    .await
}

pub(crate) fn refused(e: RaftError<Types, ClientWriteError<Types>>) -> ProposeError {
    match e {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            ProposeError::NotLeader { leader: to.leader_id }
        }
        // Cut off here, but perhaps kept by a later leader.
        RaftError::APIError(_) => ProposeError::Unknown,
        RaftError::Fatal(Fatal::StorageError(_) | Fatal::Panicked | Fatal::Stopped) => ProposeError::Stopped,
    }
}

fn config(settings: &Settings) -> Config {
    let millis = |time: Duration| time.as_millis() as u64;
    Config {
        cluster_name: "drave".into(),
        heartbeat_interval: millis(settings.heartbeat),
        election_timeout_min: millis(settings.election_min),
        election_timeout_max: millis(settings.election_max),
        enable_pre_vote: Some(true),
        // A leader that restarts may have lost entries that it had sent but not synced. In the same term it would give
        // their places to others; in a new term it cannot.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.snapshot_entries),
        max_in_snapshot_log_to_keep: settings.keep_entries,
        // A follower gets entries for as long as the leader has them.
        replication_lag_threshold: settings.keep_entries.saturating_add(settings.snapshot_entries),
        install_snapshot_timeout: 60_000,
        ..Config::default()
    }
}
