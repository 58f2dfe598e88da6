//! OffsetCommit, OffsetFetch, OffsetDelete.

use super::{ask, code, code_of, name_of, string, text, together};
use crate::api::context::Context;
use crate::api::merged::{Merged, first_of_each, merged};
use crate::api::topics::by_name;
use crate::api::{Api, Reply};
use crate::cluster::{Image, Metadata};
use crate::coordinator::group::command::*;
use crate::types::{ErrorCode, Uuid};
use indexmap::IndexMap;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::*;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::*;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::*;
use kafka_protocol::messages::*;
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

impl Api for OffsetCommitRequest {
    async fn handle(self, cx: Context) -> Reply<OffsetCommitResponse> {
        let version = cx.version();
        let image = cx.image();
        let partitions = |topic: OffsetCommitRequestTopic| {
            (topic.name, topic.partitions.into_iter().map(|one| (one.partition_index, one)))
        };
        let named = merged(self.topics.into_iter().map(partitions));
        let asked = refusals(&cx, &image, &named);
        let accepted = named.iter().zip(&asked);
        let retention = self.retention_time_ms;
        let commit = CommitOffsets {
            group: self.group_id.to_string(),
            member: string(&self.member_id),
            instance: self.group_instance_id.as_ref().map(string),
            generation: self.generation_id_or_member_epoch,
            knows_group_not_found: version >= COMMIT_GROUP_NOT_FOUND,
            retention: (COMMIT_RETENTION.contains(&version) && retention >= 0)
                .then(|| Duration::from_millis(retention as u64)),
            topics: accepted.filter_map(|(named, asked)| commit_topic(&cx, &image, named, asked)).collect(),
        };
        let answer = move |reply| committed(asked, reply);
        ask(&cx, |groups| async move { groups.commit(commit).await }, answer).await
    }
}

/// One outcome for each partition named, in the order of the request: that it does not exist, or may not be touched; or none yet.
fn refusals<T>(cx: &Context, image: &Image, named: &Merged<TopicName, T>) -> Vec<TopicOutcome> {
    let outcome = |(name, partitions): (&TopicName, &IndexMap<i32, T>)| {
        let found = cx.topic(image, &by_name(name));
        let refusal = |index: i32| match &found {
            Ok(topic) => topic.partition(index).is_none().then_some(ErrorCode::UnknownTopicOrPartition),
            Err(error) => Some(*error),
        };
        let partitions = partitions.keys().map(|&index| (index, refusal(index))).collect();
        TopicOutcome { name: name_of(name), partitions }
    };
    named.iter().map(outcome).collect()
}

/// What of a topic can be committed; nothing if it is not there.
fn commit_topic(
    cx: &Context,
    image: &Image,
    (name, partitions): (&TopicName, &IndexMap<i32, OffsetCommitRequestPartition>),
    asked: &TopicOutcome,
) -> Option<CommitTopic> {
    let id = cx.topic(image, &by_name(name)).ok()?.id;
    let partition = |one: &OffsetCommitRequestPartition| CommitPartition {
        partition: one.partition_index,
        offset: one.committed_offset,
        leader_epoch: one.committed_leader_epoch,
        metadata: one.committed_metadata.as_ref().map(string),
    };
    let accepted = partitions.values().zip(&asked.partitions).filter(|(_, (_, refusal))| refusal.is_none());
    let partitions = accepted.map(|(one, _)| partition(one)).collect();
    Some(CommitTopic { name: asked.name.clone(), id, partitions })
}

/// Every partition asked for gets its own error: its refusal, the whole request's, or the coordinator's.
fn committed(asked: Vec<TopicOutcome>, reply: CommitReply) -> OffsetCommitResponse {
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
    let outcomes = filled(asked, reply);
    OffsetCommitResponse::default().with_topics(outcomes.into_iter().map(topic).collect())
}

/// Gives to what was not refused what the coordinator says, which answers in the same order, or its error for all.
fn filled(mut asked: Vec<TopicOutcome>, reply: CommitReply) -> Vec<TopicOutcome> {
    let whole = reply.as_ref().err().copied();
    let mut said = reply.unwrap_or_default().into_iter().flat_map(|topic| topic.partitions);
    let all = asked.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (_, error) in all.filter(|(_, error)| error.is_none()) {
        *error = said.next().map_or(whole, |(_, error)| error);
    }
    asked
}

impl Api for OffsetFetchRequest {
    async fn handle(self, cx: Context) -> Reply<OffsetFetchResponse> {
        let (version, metadata) = (cx.version(), cx.node.metadata.clone());
        let require_stable = self.require_stable;
        if version >= FETCH_GROUPS {
            let groups = first_of_each(self.groups, |group| group.group_id.clone());
            let groups = groups.into_iter().map(|group| group_question(group, require_stable)).collect();
            return ask(&cx, |handle| fetch_all(handle, metadata, groups), all_fetched).await;
        }
        let named = |topic: OffsetFetchRequestTopic| (topic.name, topic.partition_indexes);
        let question = FetchOffsets {
            group: self.group_id.to_string(),
            topics: self.topics.map(|topics| each_once(topics.into_iter().map(named))),
            require_stable,
        };
        let answer = move |(question, reply)| one_fetched(version, question, reply);
        ask(&cx, |handle| fetch_one(handle, metadata, question), answer).await
    }

    fn refuse(code: ErrorCode) -> OffsetFetchResponse {
        OffsetFetchResponse::default().with_error_code(code.code())
    }
}

type Handle = std::sync::Arc<crate::coordinator::group::groups::Groups>;

async fn fetch_one(groups: Handle, metadata: Metadata, question: FetchOffsets) -> (FetchOffsets, FetchReply) {
    let mut reply = groups.fetch(question.clone()).await;
    reply.iter_mut().flatten().for_each(|topic| forget_another(&metadata.image(), topic));
    (question, reply)
}

/// What was committed for a topic before one of the same name was made is nothing to that one.
fn forget_another(image: &Image, fetched: &mut FetchedTopic) {
    let Some(topic) = image.topics.by_name(&fetched.name) else { return };
    for offset in &mut fetched.partitions {
        if !offset.topic_id.is_nil() && offset.topic_id != topic.id {
            (offset.offset, offset.leader_epoch) = (-1, -1);
            offset.metadata.clear();
        }
    }
}

async fn fetch_all(
    groups: Handle,
    metadata: Metadata,
    questions: Vec<FetchOffsets>,
) -> Vec<(FetchOffsets, FetchReply)> {
    let fetch = |question| fetch_one(groups.clone(), metadata.clone(), question);
    together(questions.into_iter().map(fetch)).await
}

fn group_question(group: OffsetFetchRequestGroup, require_stable: bool) -> FetchOffsets {
    let named = |topic: OffsetFetchRequestTopics| (topic.name, topic.partition_indexes);
    FetchOffsets {
        group: group.group_id.to_string(),
        topics: group.topics.map(|topics| each_once(topics.into_iter().map(named))),
        require_stable,
    }
}

fn each_once(topics: impl Iterator<Item = (TopicName, Vec<i32>)>) -> Vec<(String, Vec<i32>)> {
    let named = merged(topics.map(|(name, indexes)| (name, indexes.into_iter().map(|index| (index, ())))));
    named.into_iter().map(|(name, indexes)| (name_of(&name), indexes.into_keys().collect())).collect()
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
        topic_id: Uuid::nil(),
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
        let image = cx.image();
        let indexes = |topic: OffsetDeleteRequestTopic| {
            (topic.name, topic.partitions.into_iter().map(|one| (one.partition_index, ())))
        };
        let asked = refusals(&cx, &image, &merged(self.topics.into_iter().map(indexes)));
        let accepted = |topic: &TopicOutcome| {
            let accepted = topic.partitions.iter().filter(|(_, refusal)| refusal.is_none());
            (topic.name.clone(), accepted.map(|(index, _)| *index).collect())
        };
        let delete =
            DeleteOffsets { group: self.group_id.to_string(), topics: asked.iter().map(accepted).collect() };
        let answer = move |reply| offsets_deleted(asked, reply);
        ask(&cx, |groups| async move { groups.delete_offsets(delete).await }, answer).await
    }

    fn refuse(code: ErrorCode) -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(code.code())
    }
}

fn offsets_deleted(asked: Vec<TopicOutcome>, reply: DeleteOffsetsReply) -> OffsetDeleteResponse {
    let outcomes = match reply {
        Ok(outcomes) => filled(asked, Ok(outcomes)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::change::{Change, TopicCreated};

    #[test]
    fn a_topic_made_again_under_its_name_has_no_committed_offsets() {
        let mut image = Image::default();
        let id = Uuid::from_u128(2);
        image.apply_all(&[Change::TopicCreated(TopicCreated { id, name: "t".into() })]).unwrap();
        let offset = |topic_id| FetchedOffset {
            partition: 0,
            offset: 7,
            leader_epoch: 3,
            metadata: "m".into(),
            topic_id,
            error: None,
        };
        let committed_for = [Uuid::from_u128(1), id, Uuid::nil()];
        let partitions = committed_for.map(offset).into();
        let mut topic = FetchedTopic { name: "t".into(), partitions };
        forget_another(&image, &mut topic);
        let told = topic.partitions.iter().map(|one| (one.offset, one.leader_epoch, &*one.metadata));
        assert_eq!(told.collect::<Vec<_>>(), [(-1, -1, ""), (7, 3, "m"), (7, 3, "m")]);
    }
}
