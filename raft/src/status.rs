//! What a member knows of its quorum.

use std::collections::BTreeMap;

use crate::machine::At;

/// A moment's view; later ones come through the watch.
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
    /// The voters change: those before and those after are named, and both sets have to agree.
    pub is_changing: bool,
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

impl Status {
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.node_id) && self.state == State::Running
    }

    /// Where a member is called.
    pub fn address(&self, member: u64) -> Option<&String> {
        self.voters.get(&member).or_else(|| self.learners.get(&member))
    }

    /// Where the leader is called. One that has just lost its vote leads for a moment more.
    pub fn leader_address(&self) -> Option<&String> {
        self.address(self.leader?)
    }
}
