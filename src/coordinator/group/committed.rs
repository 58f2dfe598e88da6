//! OffsetCommit, OffsetFetch and OffsetDelete.

use super::classic::State;
use super::command::*;
use super::machine::{GroupMachine, Reply};
use super::offsets::{Placed, Topics};
use super::records::{Event, OffsetCommit, OffsetKey, TEXT_MAX_BYTES};
use crate::coordinator::machine::{Output, Ticket};
use crate::types::{ErrorCode, Now, Uuid, Wall};
use std::time::Duration;

impl GroupMachine {
    pub(super) fn commit(&mut self, commit: CommitOffsets, ticket: Ticket, now: Now) -> Output<Event, Reply> {
        if let Err(error) = self.check_commit(&commit) {
            return Output::reply(ticket, Reply::Outcomes(Err(error)));
        }
        let renews = |state| matches!(state, State::Stable | State::PreparingRebalance);
        if self.classic(&commit.group).is_some_and(|classic| renews(classic.state)) {
            self.renew_session(&commit.group, &commit.member, now);
        }
        let CommitOffsets { group, retention, topics, .. } = commit;
        let mut events = Vec::new();
        let mut outcomes = Vec::with_capacity(topics.len());
        for CommitTopic { name, id, partitions } in topics {
            let mut outcome = TopicOutcome { name: name.clone(), partitions: Vec::new() };
            for offset in partitions {
                let error = self.metadata_error(offset.metadata.as_deref().unwrap_or_default());
                outcome.partitions.push((offset.partition, error));
                if error.is_none() {
                    let key =
                        OffsetKey { group: group.clone(), topic: name.clone(), partition: offset.partition };
                    let value = Some(committed(offset, id, retention, now));
                    events.push(Event::Offset { key, value });
                }
            }
            outcomes.push(outcome);
        }
        Output { events, replies: vec![(ticket, Reply::Outcomes(Ok(outcomes)))] }
    }

    /// A commit from outside of any group makes a group that has nothing but offsets.
    fn check_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        if commit.group.len() > TEXT_MAX_BYTES {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.classic(&commit.group) {
            Some(classic) => {
                classic.check_commit(&commit.member, commit.instance.as_deref(), commit.generation)
            }
            None if commit.generation < 0 => Ok(()),
            None if commit.knows_group_not_found => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// The limit counts UTF-16 units, as Java's texts do.
    fn metadata_error(&self, metadata: &str) -> Option<ErrorCode> {
        let fits = metadata.len() <= TEXT_MAX_BYTES
            && (metadata.len() <= self.config.offset_metadata_max_bytes
                || metadata.encode_utf16().count() <= self.config.offset_metadata_max_bytes);
        (!fits).then_some(ErrorCode::OffsetMetadataTooLarge)
    }

    /// Never fails: what is not committed, or not known, is -1.
    pub(super) fn fetch(&self, fetch: FetchOffsets) -> Vec<FetchedTopic> {
        let FetchOffsets { group, topics, require_stable } = fetch;
        let topics = topics.unwrap_or_else(|| self.offsets.of(&group).map(all).unwrap_or_default());
        let topic = |(name, partitions): (String, Vec<i32>)| {
            let committed = self.offsets.of(&group).and_then(|topics| topics.get(&name));
            let is_unstable = |at| require_stable && self.offsets.is_pending(&group, &name, at);
            let fetch = |at| match is_unstable(at) {
                true => not_fetched(at, Some(ErrorCode::UnstableOffsetCommit)),
                false => fetched(at, committed.and_then(|partitions| partitions.get(&at))),
            };
            FetchedTopic { partitions: partitions.into_iter().map(fetch).collect(), name }
        };
        topics.into_iter().map(topic).collect()
    }

    pub(super) fn delete_offsets(&mut self, delete: DeleteOffsets, ticket: Ticket) -> Output<Event, Reply> {
        if let Err(error) = self.check_delete_offsets(&delete.group) {
            return Output::reply(ticket, Reply::Outcomes(Err(error)));
        }
        let mut events = Vec::new();
        let mut outcomes = Vec::with_capacity(delete.topics.len());
        for (name, partitions) in delete.topics {
            let subscribed =
                self.classic(&delete.group).is_some_and(|classic| classic.is_subscribed_to(&name));
            let error = subscribed.then_some(ErrorCode::GroupSubscribedToTopic);
            if !subscribed {
                events.extend(partitions.iter().filter_map(|&at| self.tombstone(&delete.group, &name, at)));
            }
            let partitions = partitions.into_iter().map(|partition| (partition, error)).collect();
            outcomes.push(TopicOutcome { name, partitions });
        }
        Output { events, replies: vec![(ticket, Reply::Outcomes(Ok(outcomes)))] }
    }

    /// Only what consumers of a live group do not read may go; of other live groups nobody knows what they read.
    fn check_delete_offsets(&self, group: &str) -> Result<(), ErrorCode> {
        let classic = self.classic(group).ok_or(ErrorCode::GroupIdNotFound)?;
        if !classic.is_empty() && !classic.is_consumer() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        Ok(())
    }

    fn tombstone(&self, group: &str, topic: &str, partition: i32) -> Option<Event> {
        let known = self.offsets.get(group, topic, partition).is_some()
            || self.offsets.is_pending(group, topic, partition);
        let key = OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition };
        known.then_some(Event::Offset { key, value: None })
    }
}

fn fetched(partition: i32, placed: Option<&Placed>) -> FetchedOffset {
    let Some(Placed { commit, .. }) = placed else { return not_fetched(partition, None) };
    FetchedOffset {
        partition,
        offset: commit.offset,
        leader_epoch: commit.leader_epoch,
        metadata: commit.metadata.clone(),
        topic_id: commit.topic_id,
        error: None,
    }
}

fn not_fetched(partition: i32, error: Option<ErrorCode>) -> FetchedOffset {
    let (leader_epoch, metadata, topic_id) = (-1, String::new(), Uuid::nil());
    FetchedOffset { partition, offset: -1, leader_epoch, metadata, topic_id, error }
}

fn committed(offset: CommitPartition, topic_id: Uuid, retention: Option<Duration>, now: Now) -> OffsetCommit {
    let expires = |kept: Duration| Wall(now.wall.0.saturating_add(kept.as_millis() as i64));
    OffsetCommit {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata.unwrap_or_default(),
        committed_at: now.wall,
        expires_at: retention.map(expires),
        topic_id,
    }
}

/// Everything that is committed, as a fetch would name it.
fn all(topics: &Topics) -> Vec<(String, Vec<i32>)> {
    topics.iter().map(|(name, partitions)| (name.clone(), partitions.keys().copied().collect())).collect()
}
