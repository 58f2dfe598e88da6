//! A group of the classic protocol: members join, one of them leads, the leader assigns, all sync.
//!
//! ```text
//!          join                     all joined, or time is up              leader's sync (recorded)
//!  Empty ───────► PreparingRebalance ───────────────────────► CompletingRebalance ─────────► Stable
//!    ▲                │   ▲                                          │                         │
//!    └── none left ◄──┘   └──── join, leave, expiry ◄────────────────┴─────────────────────────┘
//!       (recorded)
//! ```
//! Only Empty and Stable are in the log: their records carry the generation, its members and their assignments. What
//! lies between them is lost with the coordinator, and members join again.

mod durable;
mod join;
mod leave;
mod member;
mod members;
mod pending;
mod rebalance;
mod sync;
mod timers;

use super::subscription;
use crate::types::{ErrorCode, Mono, Wall};
pub use member::Member;
use members::Members;
use pending::Pending;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// As DescribeGroups and ListGroups name it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// A group without a protocol type has only offsets: a "simple" one.
#[derive(Debug, Default)]
pub struct Classic {
    pub state: State,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When the last recorded state began.
    pub since: Option<Wall>,
    pub members: Members,
    /// Whether the log has a record of this group.
    recorded: bool,
    pending: Pending,
    /// Members of this generation that have not synced yet, and until when they may.
    unsynced: BTreeSet<String>,
    sync_deadline: Option<Mono>,
    /// Those among them who have synced once the assignments that answer them are recorded.
    syncing: Vec<String>,
    join_timer: Option<JoinTimer>,
    /// The rebalance began with an empty group, which waits for more members to come.
    initial: bool,
    /// Someone joined since the join timer was set.
    newcomers: bool,
    /// The topics that members consume; `None` if that cannot be told.
    subscribed: Option<HashSet<String>>,
    /// A static member's successor, in place once its record is.
    successor: Option<(String, Member)>,
}

/// When the rebalance goes on without those who have not joined.
#[derive(Clone, Copy, Debug)]
struct JoinTimer {
    at: Mono,
    /// How long it ran for, and how much longer an initial rebalance may be extended after it.
    delay: Duration,
    extension: Duration,
}

impl Classic {
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// No member, nobody about to become one.
    pub fn is_abandoned(&self) -> bool {
        self.is_empty() && self.pending.is_empty()
    }

    /// Nothing would be lost without it: the log does not know it either.
    pub fn is_void(&self) -> bool {
        self.is_abandoned() && !self.recorded
    }

    /// About the bytes that are held for those who are in, or about to be.
    pub fn held(&self) -> usize {
        self.members.held() + self.pending.held()
    }

    pub fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(subscription::CONSUMER)
    }

    /// When in doubt a consumer group is subscribed.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or(self.is_consumer(), |topics| topics.contains(topic))
    }

    /// Whether it is known what the members consume.
    pub fn knows_subscription(&self) -> bool {
        self.subscribed.is_some()
    }

    /// The soonest of all deadlines.
    pub fn deadline(&self) -> Option<Mono> {
        let sessions = self.members.values().filter_map(|member| member.session);
        let pending = self.pending.deadlines();
        let timer = self.join_timer.map(|timer| timer.at);
        sessions.chain(pending).chain(timer).chain(self.sync_deadline).min()
    }

    /// The longest that any member asks for.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    fn static_member(&self, instance: &str) -> Option<&str> {
        let holds = |member: &&(&String, &Member)| member.1.instance.as_deref() == Some(instance);
        self.members.iter().find(|entry| holds(&entry)).map(|(id, _)| id.as_str())
    }

    /// That `member` is in the group, and still is who its instance id says.
    pub fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// May an offset be committed by this sender? Those outside of any group say generation -1.
    pub fn check_commit(
        &self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation < 0 && member.is_empty() && instance.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(member, instance)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn update_subscription(&mut self) {
        self.subscribed = if self.is_consumer() { self.subscribed_topics() } else { None };
    }

    fn subscribed_topics(&self) -> Option<HashSet<String>> {
        if self.members.is_empty() {
            return Some(HashSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut all = HashSet::new();
        for member in self.members.values() {
            all.extend(subscription::topics(&member.metadata(protocol))?);
        }
        Some(all)
    }
}
