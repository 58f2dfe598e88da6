//! What a group coordinator is asked and what it answers, without the wire's ten versions of each.
//!
//! Ids are as the client sent them: an empty member id is "none yet", generation -1 is "not a member". Durations are the
//! client's, unchecked. Every answer is a `Result`, whose error fails the whole request; errors of single items stand
//! in the items.

use super::records::TEXT_MAX_BYTES;
use crate::types::{ErrorCode, Uuid};
use bytes::Bytes;
use std::collections::HashSet;
use std::time::Duration;

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct Join {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    /// As DescribeGroups shows it: `/127.0.0.1`.
    pub client_host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: String,
    /// In the client's order of preference: name, metadata.
    pub protocols: Vec<(String, Bytes)>,
    /// A new dynamic member must first learn its id (KIP-394: version 4 and up).
    pub needs_member_id: bool,
    /// The client understands `skip_assignment` (version 9 and up).
    pub can_skip_assignment: bool,
    /// Why the client joins, for the log (KIP-800).
    pub reason: Option<String>,
}

/// A member's place in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub member: String,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    /// Everyone's metadata, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member: String,
    pub instance: Option<String>,
    pub metadata: Bytes,
}

/// A refused JoinGroup. `member` is the id to answer with: the minted one for `MemberIdRequired`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    pub error: ErrorCode,
    pub member: String,
}

/// SyncGroup; `assignments` (member, bytes) is the leader's, empty from others.
#[derive(Clone, Debug)]
pub struct Sync {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub generation: i32,
    /// `None` where the version has no such field.
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignments: Vec<(String, Bytes)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub generation: i32,
}

/// LeaveGroup; versions below 3 name one member.
#[derive(Clone, Debug)]
pub struct Leave {
    pub group: String,
    pub members: Vec<Leaving>,
}

#[derive(Clone, Debug)]
pub struct Leaving {
    /// Empty when an administrator removes a static member by its instance id.
    pub member: String,
    pub instance: Option<String>,
    pub reason: Option<String>,
}

/// In the order asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub member: String,
    pub instance: Option<String>,
    pub error: Option<ErrorCode>,
}

/// OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitOffsets {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub generation: i32,
    /// The client knows `GroupIdNotFound` (version 9 and up); older ones are told `IllegalGeneration`.
    pub knows_group_not_found: bool,
    /// Versions 2 to 4; `None` for -1 and where the field is gone.
    pub retention: Option<Duration>,
    pub topics: Vec<CommitTopic>,
}

/// Only topics that exist and that the client may read: the caller answers for the others.
#[derive(Clone, Debug)]
pub struct CommitTopic {
    pub name: String,
    /// Zero if unknown.
    pub id: Uuid,
    pub partitions: Vec<CommitPartition>,
}

#[derive(Clone, Debug)]
pub struct CommitPartition {
    pub partition: i32,
    pub offset: i64,
    /// -1 if unknown.
    pub leader_epoch: i32,
    /// `None` is kept as an empty text.
    pub metadata: Option<String>,
}

/// Per-partition outcomes of a commit or a deletion, in the order asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOutcome {
    pub name: String,
    pub partitions: Vec<(i32, Option<ErrorCode>)>,
}

/// OffsetFetch of one group.
#[derive(Clone, Debug)]
pub struct FetchOffsets {
    pub group: String,
    /// `None` asks for all that is committed.
    pub topics: Option<Vec<(String, Vec<i32>)>>,
    /// Answer `UnstableOffsetCommit` where a transaction is still open.
    pub require_stable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    pub name: String,
    pub partitions: Vec<FetchedOffset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    pub partition: i32,
    /// -1 if nothing is committed.
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
    /// The topic that it was committed for, zero if unknown: another one may have its name by now.
    pub topic_id: Uuid,
    pub error: Option<ErrorCode>,
}

/// OffsetDelete.
#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    pub group: String,
    pub topics: Vec<(String, Vec<i32>)>,
}

/// DescribeGroups, one group. An unknown group is `GroupIdNotFound`: below version 6 clients see it as state `Dead`.
#[derive(Clone, Debug)]
pub struct DescribeGroup {
    pub group: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub state: &'static str,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// ListGroups; an empty filter lets all pass, filters ignore case.
#[derive(Clone, Debug, Default)]
pub struct ListGroups {
    pub states: Vec<String>,
    pub types: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub group: String,
    pub protocol_type: String,
    pub state: &'static str,
    /// `classic` …
    pub kind: &'static str,
}

/// DeleteGroups, one group.
#[derive(Clone, Debug)]
pub struct DeleteGroup {
    pub group: String,
}

/// Topics that are no more, by name and id: what was committed for them goes.
#[derive(Clone, Debug)]
pub struct TopicsDeleted {
    pub topics: Vec<(String, Uuid)>,
}

pub type JoinReply = Result<Joined, JoinRefused>;
pub type SyncReply = Result<Synced, ErrorCode>;
pub type HeartbeatReply = Result<(), ErrorCode>;
pub type LeaveReply = Result<Vec<Left>, ErrorCode>;
pub type CommitReply = Result<Vec<TopicOutcome>, ErrorCode>;
pub type FetchReply = Result<Vec<FetchedTopic>, ErrorCode>;
pub type DeleteOffsetsReply = Result<Vec<TopicOutcome>, ErrorCode>;
pub type DescribeReply = Result<GroupDescription, ErrorCode>;
pub type ListReply = Result<Vec<ListedGroup>, ErrorCode>;
pub type DeleteGroupReply = Result<(), ErrorCode>;

impl From<ErrorCode> for JoinRefused {
    fn from(error: ErrorCode) -> Self {
        JoinRefused { error, member: String::new() }
    }
}

/// Far more assignors than any client has.
const PROTOCOLS_MAX: usize = 1000;
/// Room for the uuid that a minted member id ends with.
const MINTED_BYTES: usize = 64;

impl Join {
    /// A name that is said again adds nothing: what was said first counts.
    pub(super) fn with_protocols_once(mut self) -> Self {
        let mut seen = HashSet::new();
        self.protocols.retain(|(name, _)| seen.insert(name.clone()));
        self
    }

    pub(super) fn check_protocols(&self) -> Result<(), ErrorCode> {
        let few = self.protocols.len() <= PROTOCOLS_MAX;
        if few { Ok(()) } else { Err(ErrorCode::InconsistentGroupProtocol) }
    }

    /// That the log's records can hold its texts.
    pub(super) fn check_texts(&self) -> Result<(), ErrorCode> {
        let texts = [&self.group, &self.member, &self.client_id, &self.client_host, &self.protocol_type];
        let names = self.protocols.iter().map(|(name, _)| name).chain(&self.instance);
        let fits = |text: &String| text.len() <= TEXT_MAX_BYTES - MINTED_BYTES;
        if texts.into_iter().chain(names).all(fits) { Ok(()) } else { Err(ErrorCode::InvalidRequest) }
    }
}
