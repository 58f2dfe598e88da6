//! What goes by itself: offsets that are too old, those of deleted topics, and groups that have nothing left.

use super::classic::{Classic, State};
use super::command::TopicsDeleted;
use super::config::GroupConfig;
use super::machine::{GroupMachine, Reply};
use super::records::{Event, OffsetCommit, OffsetKey};
use crate::cluster::image::Topics;
use crate::coordinator::machine::Output;
use crate::types::{Mono, Now, Uuid, Wall};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Tombstones in one append.
const TOMBSTONES_AT_ONCE: usize = 1000;

/// Work left to do. A piece stays at the front until nothing of it is left, so that a refused append loses none.
#[derive(Debug, Default)]
pub struct Cleanup {
    work: VecDeque<Work>,
    next_round: Option<Mono>,
}

#[derive(Debug)]
enum Work {
    /// Offsets past their retention, and then the group if it has none left.
    Expire { group: String },
    /// Offsets of topics that are deleted: of such a name, committed for such an id.
    Drop { group: String, topics: Arc<[(String, Uuid)]> },
}

/// Topics are known everywhere by then: what was committed later for a topic that is not known may be for one that was just made.
const KNOWN_AFTER_MS: i64 = 60_000;

impl Cleanup {
    pub fn start(&mut self, now: Now, config: &GroupConfig) {
        self.next_round = Some(now.mono.plus(config.offsets_retention_check_interval));
    }

    pub fn deadline(&self) -> Option<Mono> {
        if self.work.is_empty() { self.next_round } else { Some(Mono(0)) }
    }
}

impl GroupMachine {
    /// A topic may have been made again under the name, and offsets been committed for it: those stay.
    pub(super) fn topics_deleted(&mut self, deleted: TopicsDeleted) {
        let nameless = deleted.topics.iter().map(|(name, _)| (name.clone(), Uuid::nil()));
        let topics: Arc<[_]> = nameless.chain(deleted.topics.iter().cloned()).collect();
        let names: Vec<String> = deleted.topics.into_iter().map(|(name, _)| name).collect();
        for group in self.offsets.groups_with(&names) {
            self.cleanup.work.push_back(Work::Drop { group, topics: topics.clone() });
        }
    }

    /// A topic may have been deleted while nobody led this partition. What is too new to tell is left for the next time.
    pub(super) fn topics_are(&mut self, topics: &Topics, now: Now) {
        let is_old =
            |commit: &OffsetCommit| now.wall.0.saturating_sub(commit.committed_at.0) > KNOWN_AFTER_MS;
        let is_gone = |name: &str, commit: &OffsetCommit| match topics.by_name(name) {
            Some(topic) => !commit.topic_id.is_nil() && commit.topic_id != topic.id,
            None => true,
        };
        for (group, committed) in self.offsets.all() {
            let commits = committed
                .iter()
                .flat_map(|(name, partitions)| partitions.values().map(move |placed| (name, &placed.commit)));
            let gone = commits.filter(|(name, commit)| is_old(commit) && is_gone(name, commit));
            let gone: BTreeSet<_> = gone.map(|(name, commit)| (name.clone(), commit.topic_id)).collect();
            if !gone.is_empty() {
                let topics = gone.into_iter().collect();
                self.cleanup.work.push_back(Work::Drop { group: group.clone(), topics });
            }
        }
    }

    /// Does pieces of work until one has something to record, or a round's worth is done.
    pub(super) fn clean_up(&mut self, now: Now) -> Output<Event, Reply> {
        if self.cleanup.next_round.is_some_and(|at| at <= now.mono) {
            self.cleanup.start(now, &self.config);
            let looked_at = self.groups.keys().map(|group| Work::Expire { group: group.clone() });
            // A log that refuses all the time must not let rounds pile up.
            if self.cleanup.work.is_empty() {
                self.cleanup.work.extend(looked_at);
            }
        }
        for _ in 0..TOMBSTONES_AT_ONCE {
            let Some(work) = self.cleanup.work.front() else { break };
            let events = self.events_of(work, now);
            if !events.is_empty() {
                return Output { events, replies: Vec::new() };
            }
            self.cleanup.work.pop_front();
        }
        Output::default()
    }

    fn events_of(&self, work: &Work, now: Now) -> Vec<Event> {
        match work {
            Work::Drop { group, topics } => {
                let dropped = |key: &OffsetKey| {
                    let known = topics.iter().filter(|(name, _)| *name == key.topic);
                    let mut ids = known.map(|(_, id)| *id);
                    ids.any(|id| self.offsets.topic_id(key) == Some(id))
                };
                let keys = self.offsets.tombstones(group).into_iter();
                let matching = |event: &Event| matches!(event, Event::Offset { key, .. } if dropped(key));
                keys.filter(matching).take(TOMBSTONES_AT_ONCE).collect()
            }
            Work::Expire { group } => self.expired(group, now),
        }
    }

    fn expired(&self, group: &str, now: Now) -> Vec<Event> {
        let Some(classic) = self.classic(group) else { return Vec::new() };
        let left = self.offsets.of(group);
        if left.is_none() {
            let gone = classic.is_abandoned() && !self.offsets.in_transaction(group);
            let tombstone = Event::Group { group: group.to_owned(), value: None };
            return if gone { vec![tombstone] } else { Vec::new() };
        }
        let mut events = Vec::new();
        for (topic, partitions) in left.into_iter().flatten() {
            if classic.is_subscribed_to(topic) {
                continue;
            }
            for (&partition, placed) in partitions {
                let old = self.is_expired(classic, &placed.commit, now);
                if old
                    && !self.offsets.is_pending(group, topic, partition)
                    && events.len() < TOMBSTONES_AT_ONCE
                {
                    let key = OffsetKey { group: group.to_owned(), topic: topic.clone(), partition };
                    events.push(Event::Offset { key, value: None });
                }
            }
        }
        events
    }

    /// Old clients set an expiry themselves. Otherwise retention counts from when the group became empty; or from the
    /// commit, for offsets without a group and for topics that a stable consumer group does not read any more.
    fn is_expired(&self, classic: &Classic, commit: &OffsetCommit, now: Now) -> bool {
        let from: Option<Wall> = match classic.state {
            _ if classic.protocol_type.is_none() => Some(commit.committed_at),
            State::Empty => Some(classic.since.unwrap_or(commit.committed_at)),
            State::Stable if classic.is_consumer() && classic.knows_subscription() => {
                Some(commit.committed_at)
            }
            _ => None,
        };
        let retention = self.config.offsets_retention.as_millis() as i64;
        match (from, commit.expires_at) {
            (None, _) => false,
            (Some(_), Some(expires_at)) => now.wall >= expires_at,
            (Some(from), None) => now.wall.0.saturating_sub(from.0) >= retention,
        }
    }
}
