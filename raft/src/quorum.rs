//! The one handle that the rest of the broker has on the quorum.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use storage::disk::Disk;
use tokio::sync::watch;

use crate::machine::{At, Machine};
use crate::settings::Settings;
use crate::transport::Transport;

/// A member of a quorum that orders opaque commands.
#[derive(Clone, Debug)]
pub struct Quorum {
    status: watch::Receiver<Status>,
}

/// What a member knows of the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub node_id: u64,
    pub term: u64,
    /// The member that leads `term`, as far as known here.
    pub leader: Option<u64>,
    /// This member leads, and all that was committed before `term` is applied here: it may decide.
    pub leader_ready: bool,
    /// The newest entry (the quorum's own included) that the machine reflects.
    pub applied: Option<At>,
    /// Id and address.
    pub voters: BTreeMap<u64, String>,
    pub learners: BTreeMap<u64, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Running,
    /// Nothing more is acknowledged or applied; the process should end, with this line.
    Failed(String),
    Stopped,
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
    #[error("metadata settings: {0}")]
    Settings(String),
    #[error("metadata log: {0}")]
    Fatal(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was written. To be tried at `leader`; if there is none, here again in a while.
    #[error("not the leader of the quorum")]
    NotLeader { leader: Option<u64> },
    /// The command may or may not be committed, now or later.
    #[error("leadership was lost while the command was being committed")]
    Unknown,
    /// The member failed or was shut down; the command may or may not be committed.
    #[error("this member of the quorum has stopped")]
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// There is a log already: nothing was changed.
    #[error("the quorum is already initialised")]
    NotEmpty,
    #[error("this node {0} is not among the voters")]
    NotAVoter(u64),
    #[error("this member of the quorum has stopped")]
    Stopped,
}

impl Quorum {
    /// Opens the log in `settings.dir`, restores `machine` from the newest snapshot, and joins the quorum that the
    /// log names. An empty log waits for [`Quorum::initialize`] or for a leader's call.
    /// Runs on the tokio runtime that it is called on.
    pub async fn start(
        _settings: Settings,
        _disk: Arc<dyn Disk>,
        _machine: Box<dyn Machine>,
        _transport: impl Transport,
    ) -> Result<Quorum, StartError> {
        Err(StartError::Fatal("the log store has not landed yet".into()))
    }

    /// The log holds nothing: no member ever wrote here.
    pub fn is_empty(&self) -> bool {
        self.status.borrow().voters.is_empty()
    }

    /// The first start of a quorum: makes these members (id and address) its voters. To be called on one of them, with
    /// all of them known to be empty. A sole voter leads at once.
    pub async fn initialize(&self, _voters: BTreeMap<u64, String>) -> Result<(), InitializeError> {
        Err(InitializeError::Stopped)
    }

    /// Has `command` ordered, made durable on a majority, and applied here.
    pub async fn propose(&self, _command: Bytes) -> Result<Committed, ProposeError> {
        Err(ProposeError::Stopped)
    }

    /// Answers a peer's request, for the transport. `None` if it cannot be answered: the connection should be closed.
    pub async fn answer(&self, _request: Bytes) -> Option<Bytes> {
        None
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops after what was accepted is on disk.
    pub async fn shutdown(self) {}
}
