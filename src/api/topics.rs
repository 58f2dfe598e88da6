//! CreateTopics, DeleteTopics, CreatePartitions: asked of the controller, answered once this broker shows the result.

use super::context::Context;
use super::fetch::session::TopicKey;
use super::metadata::topic_name;
use super::reply::why;
use super::{Api, Reply};
use crate::cluster::controller::{
    CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, DeletedTopic, NewPartitions, NewTopic,
    Refusal, TopicRef,
};
use crate::config::Overrides;
use crate::types::ErrorCode;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;

/// From here on CreateTopics answers with id, counts and configs.
const TELLS_RESULT: i16 = 5;
const TELLS_ID: i16 = 7;
/// From here on DeleteTopics names topics by id as well.
const DELETES_BY_ID: i16 = 6;

impl Api for CreateTopicsRequest {
    async fn handle(self, cx: Context) -> Reply<CreateTopicsResponse> {
        let names: Vec<TopicName> = self.topics.iter().map(|topic| topic.name.clone()).collect();
        let topics: Vec<NewTopic> = self.topics.into_iter().map(new_topic).collect();
        let asked: HashMap<String, Overrides> =
            topics.iter().map(|topic| (topic.name.clone(), values(topic))).collect();
        let command = CreateTopics { topics, validate_only: self.validate_only };
        let results = match cx.node.metadata.submit(command).await {
            Ok(outcomes) => {
                let one = |(name, outcome): (String, _)| created(&cx, &name, outcome, asked.get(&name));
                outcomes.into_iter().map(one).collect()
            }
            Err(code) => names.iter().map(|name| failed(name, code)).collect(),
        };
        settle(&cx).await;
        Reply::Now(CreateTopicsResponse::default().with_topics(results))
    }
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let brokers = |ids: Vec<BrokerId>| ids.into_iter().map(|id| id.0).collect();
    let assigned = topic.assignments.into_iter().map(|one| (one.partition_index, brokers(one.broker_ids)));
    let text = |value: StrBytes| value.to_string();
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assigned.collect(),
        configs: topic.configs.into_iter().map(|entry| (text(entry.name), entry.value.map(text))).collect(),
    }
}

fn values(topic: &NewTopic) -> Overrides {
    topic.configs.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
}

fn created(
    cx: &Context,
    name: &str,
    outcome: Result<CreatedTopic, Refusal>,
    configs: Option<&Overrides>,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(topic_name(name));
    match outcome {
        Err(refusal) => result
            .with_error_code(refusal.code.code())
            .with_error_message(why(refusal.message).filter(|_| cx.version() >= 1)),
        Ok(topic) if cx.version() >= TELLS_RESULT => {
            let result = if cx.version() >= TELLS_ID { result.with_topic_id(topic.id) } else { result };
            result
                .with_num_partitions(topic.partitions)
                .with_replication_factor(topic.replication_factor)
                .with_configs(configs.map(|set| super::configs::of_new_topic(cx, set)))
        }
        Ok(_) => result,
    }
}

fn failed(name: &TopicName, code: ErrorCode) -> CreatableTopicResult {
    CreatableTopicResult::default().with_name(name.clone()).with_error_code(code.code())
}

/// Waits until this broker's partitions are as its newest image says: what was made can be used at once.
pub(super) async fn settle(cx: &Context) {
    cx.node.replicas.caught_up(cx.image().applied.index).await;
}

impl Api for DeleteTopicsRequest {
    async fn handle(self, cx: Context) -> Reply<DeleteTopicsResponse> {
        let (refs, mut results) = match cx.version() >= DELETES_BY_ID {
            true => topic_refs(self.topics),
            false => (self.topic_names.iter().map(|name| TopicRef::Name(name.to_string())).collect(), vec![]),
        };
        match cx.node.metadata.submit(DeleteTopics { topics: refs.clone() }).await {
            Ok(deleted) => results.extend(deleted),
            Err(code) => results.extend(refs.into_iter().map(|topic| not_deleted(topic, code))),
        }
        settle(&cx).await;
        let results = results.into_iter().map(|topic| deletion(&cx, topic)).collect();
        Reply::Now(DeleteTopicsResponse::default().with_responses(results))
    }
}

/// What is to be deleted, and the refusals of what does not say what it means: a topic is named by its name or by its
/// id, since the two could be those of different topics.
fn topic_refs(asked: Vec<DeleteTopicState>) -> (Vec<TopicRef>, Vec<DeletedTopic>) {
    let (mut refs, mut refused) = (vec![], vec![]);
    for DeleteTopicState { name, topic_id, .. } in asked {
        let name = name.map(|name| name.to_string());
        let id = Some(topic_id).filter(|id| !id.is_nil());
        let mut refuse = |name, id, message| {
            let outcome = Err(Refusal::new(ErrorCode::InvalidRequest, message));
            refused.push(DeletedTopic { name, id, outcome });
        };
        match (name, id) {
            (Some(name), None) => refs.push(TopicRef::Name(name)),
            (None, Some(id)) => refs.push(TopicRef::Id(id)),
            (None, None) => refuse(None, None, "Neither a name nor an id is given."),
            (name, id) => refuse(name, id, "Both a name and an id are given."),
        }
    }
    (refs, refused)
}

fn not_deleted(topic: TopicRef, code: ErrorCode) -> DeletedTopic {
    let outcome = Err(Refusal::new(code, code.to_string()));
    match topic {
        TopicRef::Name(name) => DeletedTopic { name: Some(name), id: None, outcome },
        TopicRef::Id(id) => DeletedTopic { name: None, id: Some(id), outcome },
    }
}

fn deletion(cx: &Context, topic: DeletedTopic) -> DeletableTopicResult {
    let result = DeletableTopicResult::default().with_name(topic.name.as_deref().map(topic_name));
    let result = match topic.id {
        Some(id) if cx.version() >= DELETES_BY_ID => result.with_topic_id(id),
        _ => result,
    };
    match topic.outcome {
        Ok(()) => result,
        Err(refusal) => result
            .with_error_code(refusal.code.code())
            .with_error_message(why(refusal.message).filter(|_| cx.version() >= 5)),
    }
}

impl Api for CreatePartitionsRequest {
    async fn handle(self, cx: Context) -> Reply<CreatePartitionsResponse> {
        let names: Vec<TopicName> = self.topics.iter().map(|topic| topic.name.clone()).collect();
        let topics = self.topics.into_iter().map(new_partitions).collect();
        let command = CreatePartitions { topics, validate_only: self.validate_only };
        let result = |name: &str, refusal: Option<Refusal>| {
            CreatePartitionsTopicResult::default()
                .with_name(topic_name(name))
                .with_error_code(refusal.as_ref().map_or(0, |refusal| refusal.code.code()))
                .with_error_message(refusal.and_then(|refusal| why(refusal.message)))
        };
        let results = match cx.node.metadata.submit(command).await {
            Ok(outcomes) => {
                outcomes.into_iter().map(|(name, outcome)| result(&name, outcome.err())).collect()
            }
            Err(code) => {
                names.iter().map(|name| result(name, Some(Refusal::new(code, code.to_string())))).collect()
            }
        };
        settle(&cx).await;
        Reply::Now(CreatePartitionsResponse::default().with_results(results))
    }
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let brokers = |ids: Vec<BrokerId>| ids.into_iter().map(|id| id.0).collect();
    let assigned = |all: Vec<create_partitions_request::CreatePartitionsAssignment>| {
        all.into_iter().map(|one| brokers(one.broker_ids)).collect()
    };
    NewPartitions {
        topic: topic.name.to_string(),
        count: topic.count,
        assignments: topic.assignments.map(assigned),
    }
}

/// The key of a topic that a request can only name.
pub(super) fn by_name(name: &TopicName) -> TopicKey {
    TopicKey::Name(name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_deleted_by_its_name_or_by_its_id() {
        let id = uuid::Uuid::from_u128(7);
        let asked = |name: Option<&str>, id| {
            DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id)
        };
        let nil = uuid::Uuid::nil();
        let (refs, refused) =
            topic_refs(vec![asked(Some("a"), nil), asked(None, id), asked(Some("b"), id), asked(None, nil)]);
        assert_eq!(refs, [TopicRef::Name("a".into()), TopicRef::Id(id)]);
        let told: Vec<_> = refused
            .iter()
            .map(|one| (one.name.as_deref(), one.id, one.outcome.as_ref().unwrap_err().code))
            .collect();
        let wrong = ErrorCode::InvalidRequest;
        assert_eq!(told, [(Some("b"), Some(id), wrong), (None, None, wrong)]);
    }
}
