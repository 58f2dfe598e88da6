//! OffsetCommit, OffsetFetch, OffsetDelete.

use super::{ask, code, code_of, name_of, string, text};
use crate::api::context::Context;
use crate::api::topics::by_name;
use crate::api::{Api, Reply};
use crate::coordinator::group::command::*;
use crate::types::ErrorCode;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::*;
use kafka_protocol::messages::offset_delete_response::*;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::*;
use kafka_protocol::messages::*;
use std::collections::HashMap;
use std::time::Duration;

/// OffsetCommit: from here on GROUP_ID_NOT_FOUND is known.
const COMMIT_GROUP_NOT_FOUND: i16 = 9;
/// OffsetCommit versions 2 to 4 carry a retention.
const COMMIT_RETENTION: std::ops::RangeInclusive<i16> = 2..=4;
/// OffsetCommit: from here on the leader epoch is committed too. OffsetFetch: from here on it is told.
const FETCH_EPOCH: i16 = 5;
/// OffsetFetch: from here on there is an error for all; several groups are asked for at once.
const FETCH_GROUP_ERROR: i16 = 2;
const FETCH_GROUPS: i16 = 8;

/// What a request names, in its order: topic, partitions.
type Asked = Vec<(String, Vec<i32>)>;

/// Partitions that do not exist, or may not be touched, each with its error.
type Refusals = HashMap<(String, i32), ErrorCode>;

impl Api for OffsetCommitRequest {
    async fn handle(self, cx: Context) -> Reply<OffsetCommitResponse> {
        let version = cx.version();
        let asked: Asked =
            self.topics.iter().map(|topic| (name_of(&topic.name), commit_indexes(topic))).collect();
        let refused = refusals(&cx, &asked);
        let retention = self.retention_time_ms;
        let commit = CommitOffsets {
            group: self.group_id.to_string(),
            member: string(&self.member_id),
            instance: self.group_instance_id.as_ref().map(string),
            generation: self.generation_id_or_member_epoch,
            knows_group_not_found: version >= COMMIT_GROUP_NOT_FOUND,
            retention: (COMMIT_RETENTION.contains(&version) && retention >= 0)
                .then(|| Duration::from_millis(retention as u64)),
            topics: self.topics.iter().filter_map(|topic| commit_topic(&cx, topic, &refused)).collect(),
        };
        let answer = move |reply| committed(asked, &refused, reply);
        ask(&cx, |groups| async move { groups.commit(commit).await }, answer).await
    }
}

fn commit_indexes(topic: &OffsetCommitRequestTopic) -> Vec<i32> {
    topic.partitions.iter().map(|partition| partition.partition_index).collect()
}

fn refusals(cx: &Context, asked: &Asked) -> Refusals {
    let image = cx.image();
    let mut refused = HashMap::new();
    for (name, indexes) in asked {
        let found = cx.topic(&image, &by_name(&TopicName(text(name.clone()))));
        for &index in indexes {
            let error = match &found {
                Ok(topic) => topic.partition(index).is_none().then_some(ErrorCode::UnknownTopicOrPartition),
                Err(error) => Some(*error),
            };
            refused.extend(error.map(|error| ((name.clone(), index), error)));
        }
    }
    refused
}

/// What of `topic` can be committed; nothing if it is not there.
fn commit_topic(cx: &Context, topic: &OffsetCommitRequestTopic, refused: &Refusals) -> Option<CommitTopic> {
    let name = name_of(&topic.name);
    let id = cx.topic(&cx.image(), &by_name(&topic.name)).ok()?.id;
    let accepted =
        |one: &&OffsetCommitRequestPartition| !refused.contains_key(&(name.clone(), one.partition_index));
    let partition = |one: &OffsetCommitRequestPartition| CommitPartition {
        partition: one.partition_index,
        offset: one.committed_offset,
        leader_epoch: one.committed_leader_epoch,
        metadata: one.committed_metadata.as_ref().map(string),
    };
    let partitions = topic.partitions.iter().filter(accepted).map(partition).collect();
    Some(CommitTopic { name, id, partitions })
}

/// Every partition asked for gets its own error: its refusal, the whole request's, or the coordinator's.
fn committed(asked: Asked, refused: &Refusals, reply: CommitReply) -> OffsetCommitResponse {
    let whole = reply.as_ref().err().copied();
    let topic = |topic: TopicOutcome| {
        let partition = |(index, error): (i32, Option<ErrorCode>)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code_of(error))
        };
        OffsetCommitResponseTopic::default()
            .with_name(TopicName(text(topic.name)))
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    };
    let outcomes = in_order(asked, refused, whole, reply.unwrap_or_default());
    OffsetCommitResponse::default().with_topics(outcomes.into_iter().map(topic).collect())
}

/// One outcome for each partition, as asked.
fn in_order(
    asked: Asked,
    refused: &Refusals,
    whole: Option<ErrorCode>,
    outcomes: Vec<TopicOutcome>,
) -> Vec<TopicOutcome> {
    let mut errors = refused.clone();
    for topic in outcomes {
        let failed = topic.partitions.into_iter().filter_map(|(index, error)| Some((index, error?)));
        errors.extend(failed.map(|(index, error)| ((topic.name.clone(), index), error)));
    }
    let outcome = |(name, indexes): (String, Vec<i32>)| {
        let error = |index| errors.get(&(name.clone(), index)).copied().or(whole);
        TopicOutcome { partitions: indexes.into_iter().map(|index| (index, error(index))).collect(), name }
    };
    asked.into_iter().map(outcome).collect()
}

impl Api for OffsetFetchRequest {
    async fn handle(self, cx: Context) -> Reply<OffsetFetchResponse> {
        let version = cx.version();
        let require_stable = self.require_stable;
        if version >= FETCH_GROUPS {
            let groups = self.groups.iter().map(|group| group_question(group, require_stable)).collect();
            return ask(&cx, |handle| fetch_all(handle, groups), all_fetched).await;
        }
        let named = |topic: &offset_fetch_request::OffsetFetchRequestTopic| {
            (name_of(&topic.name), topic.partition_indexes.clone())
        };
        let question = FetchOffsets {
            group: self.group_id.to_string(),
            topics: self.topics.as_ref().map(|topics| topics.iter().map(named).collect()),
            require_stable,
        };
        let answer = move |(question, reply)| one_fetched(version, question, reply);
        ask(&cx, |handle| fetch_one(handle, question), answer).await
    }

    fn refuse(code: ErrorCode) -> OffsetFetchResponse {
        OffsetFetchResponse::default().with_error_code(code.code())
    }
}

type Handle = std::sync::Arc<crate::coordinator::group::groups::Groups>;

async fn fetch_one(groups: Handle, question: FetchOffsets) -> (FetchOffsets, FetchReply) {
    let reply = groups.fetch(question.clone()).await;
    (question, reply)
}

async fn fetch_all(groups: Handle, questions: Vec<FetchOffsets>) -> Vec<(FetchOffsets, FetchReply)> {
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        answers.push(fetch_one(groups.clone(), question).await);
    }
    answers
}

fn group_question(group: &OffsetFetchRequestGroup, require_stable: bool) -> FetchOffsets {
    let named = |topic: &offset_fetch_request::OffsetFetchRequestTopics| {
        (name_of(&topic.name), topic.partition_indexes.clone())
    };
    FetchOffsets {
        group: group.group_id.to_string(),
        topics: group.topics.as_ref().map(|topics| topics.iter().map(named).collect()),
        require_stable,
    }
}

fn all_fetched(answers: Vec<(FetchOffsets, FetchReply)>) -> OffsetFetchResponse {
    let group = |(question, reply): (FetchOffsets, FetchReply)| {
        OffsetFetchResponseGroup::default()
            .with_group_id(GroupId(text(question.group)))
            .with_error_code(code(&reply))
            .with_topics(reply.unwrap_or_default().into_iter().map(fetched_topic).collect())
    };
    OffsetFetchResponse::default().with_groups(answers.into_iter().map(group).collect())
}

fn fetched_topic(topic: FetchedTopic) -> OffsetFetchResponseTopics {
    let partition = |one: FetchedOffset| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(one.partition)
            .with_committed_offset(one.offset)
            .with_committed_leader_epoch(one.leader_epoch)
            .with_metadata(Some(text(one.metadata)))
            .with_error_code(code_of(one.error))
    };
    OffsetFetchResponseTopics::default()
        .with_name(TopicName(text(topic.name)))
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

/// Before version 2 there is no error for the whole: every partition asked for carries it.
fn one_fetched(version: i16, question: FetchOffsets, reply: FetchReply) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    let (topics, error) = match reply {
        Ok(topics) => (topics, None),
        Err(error) if version >= FETCH_GROUP_ERROR => (vec![], Some(error)),
        Err(error) => (failed_topics(question, error), None),
    };
    let topics = topics.into_iter().map(|topic| old_topic(version, topic)).collect();
    response.with_topics(topics).with_error_code(code_of(error))
}

fn failed_topics(question: FetchOffsets, error: ErrorCode) -> Vec<FetchedTopic> {
    let failed = |partition| FetchedOffset {
        partition,
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
        error: Some(error),
    };
    let topic = |(name, indexes): (String, Vec<i32>)| FetchedTopic {
        name,
        partitions: indexes.into_iter().map(failed).collect(),
    };
    question.topics.unwrap_or_default().into_iter().map(topic).collect()
}

fn old_topic(version: i16, topic: FetchedTopic) -> OffsetFetchResponseTopic {
    let partition = |one: FetchedOffset| {
        let answer = OffsetFetchResponsePartition::default()
            .with_partition_index(one.partition)
            .with_committed_offset(one.offset)
            .with_metadata(Some(text(one.metadata)))
            .with_error_code(code_of(one.error));
        if version >= FETCH_EPOCH { answer.with_committed_leader_epoch(one.leader_epoch) } else { answer }
    };
    OffsetFetchResponseTopic::default()
        .with_name(TopicName(text(topic.name)))
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

impl Api for OffsetDeleteRequest {
    async fn handle(self, cx: Context) -> Reply<OffsetDeleteResponse> {
        let asked: Asked =
            self.topics.iter().map(|topic| (name_of(&topic.name), delete_indexes(topic))).collect();
        let refused = refusals(&cx, &asked);
        let accepted = |(name, indexes): &(String, Vec<i32>)| {
            let here = |index: &&i32| !refused.contains_key(&(name.clone(), **index));
            (name.clone(), indexes.iter().filter(here).copied().collect())
        };
        let delete =
            DeleteOffsets { group: self.group_id.to_string(), topics: asked.iter().map(accepted).collect() };
        let answer = move |reply| offsets_deleted(asked, &refused, reply);
        ask(&cx, |groups| async move { groups.delete_offsets(delete).await }, answer).await
    }

    fn refuse(code: ErrorCode) -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(code.code())
    }
}

fn delete_indexes(topic: &offset_delete_request::OffsetDeleteRequestTopic) -> Vec<i32> {
    topic.partitions.iter().map(|partition| partition.partition_index).collect()
}

fn offsets_deleted(asked: Asked, refused: &Refusals, reply: DeleteOffsetsReply) -> OffsetDeleteResponse {
    let outcomes = match reply {
        Ok(outcomes) => in_order(asked, refused, None, outcomes),
        Err(error) => return OffsetDeleteRequest::refuse(error),
    };
    let topic = |topic: TopicOutcome| {
        let partition = |(index, error): (i32, Option<ErrorCode>)| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code_of(error))
        };
        OffsetDeleteResponseTopic::default()
            .with_name(TopicName(text(topic.name)))
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    };
    OffsetDeleteResponse::default().with_topics(outcomes.into_iter().map(topic).collect())
}
