//! One member of a classic group.

use crate::coordinator::group::command::{Join, MemberDescription};
use crate::coordinator::group::records::MemberMetadata;
use crate::coordinator::group::turn::Turn;
use crate::coordinator::machine::Ticket;
use crate::types::{ErrorCode, Mono};
use bytes::Bytes;
use std::time::Duration;

/// How long a member that has no id yet, and so cannot send heartbeats, may wait for its first generation.
pub const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// About what a member takes beside the texts and bytes of its client; what one protocol takes; and in how many places
/// an id or a protocol's name is kept.
pub const MEMBER_BYTES: usize = 512;
const PROTOCOL_BYTES: usize = 128;
pub const TEXT_COPIES: usize = 2;

#[derive(Clone, Debug)]
pub struct Member {
    /// Static members have one (KIP-345).
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    /// In order of preference, each name once: name, metadata.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// Has been in no generation yet.
    pub is_new: bool,
    /// Waits for the rebalance to end.
    pub join: Option<Ticket>,
    /// Waits for the leader's assignment.
    pub sync: Option<Ticket>,
    /// When it counts as gone; `None` while it waits, which proves it alive.
    pub session: Option<Mono>,
}

impl Member {
    pub fn new(join: Join) -> Self {
        Member {
            instance: join.instance,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols,
            assignment: Bytes::new(),
            is_new: true,
            join: None,
            sync: None,
            session: None,
        }
    }

    /// A member that the log speaks of; it knows the group's `protocol` alone.
    pub fn recorded(metadata: &MemberMetadata, protocol: &str) -> Self {
        Member {
            instance: metadata.instance.clone(),
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            session_timeout: millis(metadata.session_timeout_ms),
            rebalance_timeout: millis(metadata.rebalance_timeout_ms),
            protocols: vec![(protocol.to_owned(), metadata.subscription.clone())],
            assignment: metadata.assignment.clone(),
            is_new: false,
            join: None,
            sync: None,
            session: None,
        }
    }

    pub fn record(&self, member: &str, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member: member.to_owned(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: as_millis(self.rebalance_timeout),
            session_timeout_ms: as_millis(self.session_timeout),
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub fn describe(&self, member: &str, protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            member: member.to_owned(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol.map(|protocol| self.metadata(protocol)).unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }

    /// What it said under `protocol`; empty if nothing.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// About the memory for what it said.
    pub fn weight(&self) -> usize {
        let texts =
            self.client_id.len() + self.client_host.len() + self.instance.as_ref().map_or(0, String::len);
        texts + protocols_weight(&self.protocols)
    }

    pub fn protocol_names(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|(name, _)| name.as_str())
    }

    /// Joins again, with what it says now.
    pub fn update(&mut self, join: &Join) {
        self.protocols.clone_from(&join.protocols);
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
    }

    /// A request of old for the same thing gets an answer that makes its sender, if still there, ask again.
    pub fn await_join(&mut self, ticket: Ticket, turn: &mut Turn<'_>) {
        if let Some(before) = self.join.replace(ticket) {
            turn.refuse_join(before, ErrorCode::RebalanceInProgress, "");
        }
    }

    pub fn await_sync(&mut self, ticket: Ticket, turn: &mut Turn<'_>) {
        if let Some(before) = self.sync.replace(ticket) {
            turn.refuse_sync(before, ErrorCode::RebalanceInProgress);
        }
    }

    /// Fails whatever it waits for.
    pub fn dismiss(&mut self, error: ErrorCode, member: &str, turn: &mut Turn<'_>) {
        if let Some(ticket) = self.join.take() {
            turn.refuse_join(ticket, error, member);
        }
        if let Some(ticket) = self.sync.take() {
            turn.refuse_sync(ticket, error);
        }
    }

    /// It gave a sign of life.
    pub fn renew_session(&mut self, turn: &mut Turn<'_>) {
        self.session = Some(turn.deadline(self.session_timeout));
    }

    pub fn is_expired(&self, turn: &Turn<'_>) -> bool {
        self.session.is_some_and(|session| session <= turn.now.mono)
    }

    /// Waiting members are alive, except that one without an id may be a request whose client gave up long ago.
    pub fn is_waiting(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

impl Join {
    /// What the member will weigh.
    pub fn weight(&self) -> usize {
        let texts =
            self.client_id.len() + self.client_host.len() + self.instance.as_ref().map_or(0, String::len);
        texts + protocols_weight(&self.protocols)
    }
}

fn protocols_weight(protocols: &[(String, Bytes)]) -> usize {
    let weight =
        |(name, metadata): &(String, Bytes)| PROTOCOL_BYTES + TEXT_COPIES * name.len() + metadata.len();
    MEMBER_BYTES + protocols.iter().map(weight).sum::<usize>()
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn as_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
