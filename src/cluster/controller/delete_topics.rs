//! Deleting topics, and forgetting them once nobody holds anything of them.

use super::brokers::check_epoch;
use super::draft::{Draft, distinct};
use super::{Command, Decision, Inputs, Outcome, Refusal};
use crate::cluster::change::{Change, ConfigRemoved, DeletionConfirmed, TopicDeleted};
use crate::cluster::image::{ConfigResource, Image, TopicImage};
use crate::types::{BrokerId, ErrorCode, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Deletes topics, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteTopics {
    pub topics: Vec<TopicRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TopicRef {
    Name(String),
    Id(Uuid),
}

/// What is known of the topic asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedTopic {
    pub name: Option<String>,
    pub id: Option<Uuid>,
    pub outcome: Outcome<()>,
}

impl Command for DeleteTopics {
    /// One for each topic, whether named by name or by id, in the order of their first mention.
    type Answer = Vec<DeletedTopic>;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        let mut draft = Draft::upon(image);
        let answers = distinct(&self.topics, |wanted| by_id_if_known(wanted, image))
            .into_iter()
            .map(|(wanted, once)| {
                let outcome = match once {
                    Some(_) => delete(&wanted, image, &mut draft, inputs.policy.config.delete_topic),
                    None => {
                        Err(Refusal::new(ErrorCode::InvalidRequest, "The request names this topic twice."))
                    }
                };
                answer(wanted, image, outcome)
            })
            .collect();
        Ok((draft.into_changes(), answers))
    }
}

/// The same for a topic's name and its id, so that neither hides that the other was given too.
fn by_id_if_known(wanted: &TopicRef, image: &Image) -> TopicRef {
    find(wanted, image).map_or_else(|| wanted.clone(), |topic| TopicRef::Id(topic.id))
}

/// By name and by id the answer tells both, unless the topic is not there.
fn answer(wanted: TopicRef, image: &Image, outcome: Outcome<()>) -> DeletedTopic {
    let topic = find(&wanted, image);
    let (name, id) = match wanted {
        TopicRef::Name(name) => (Some(name), topic.map(|topic| topic.id)),
        TopicRef::Id(id) => (topic.map(|topic| topic.name.clone()), Some(id)),
    };
    DeletedTopic { name, id, outcome }
}

fn find<'a>(wanted: &TopicRef, image: &'a Image) -> Option<&'a TopicImage> {
    match wanted {
        TopicRef::Name(name) => image.topics.by_name(name).map(|topic| &**topic),
        TopicRef::Id(id) => image.topics.by_id(*id).map(|topic| &**topic),
    }
}

fn delete(wanted: &TopicRef, image: &Image, draft: &mut Draft, enabled: bool) -> Outcome<()> {
    if !enabled {
        let message = "Topics cannot be deleted while delete.topic.enable is false.";
        return Err(Refusal::new(ErrorCode::TopicDeletionDisabled, message));
    }
    let Some(topic) = find(wanted, image) else { return Err(unknown(wanted)) };
    draft.add(deletion(topic, image));
    Ok(())
}

fn unknown(wanted: &TopicRef) -> Refusal {
    match wanted {
        TopicRef::Name(name) => {
            Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("There is no topic '{name}'."))
        }
        TopicRef::Id(id) => {
            Refusal::new(ErrorCode::UnknownTopicId, format!("There is no topic with id {id}."))
        }
    }
}

fn deletion(topic: &TopicImage, image: &Image) -> Vec<Change> {
    // One that is not registered never confirms; should it come back, it puts aside what it does not know.
    let holders: BTreeSet<BrokerId> = topic
        .partitions()
        .flat_map(|partition| partition.holders())
        .filter(|id| image.brokers.get(*id).is_some())
        .collect();
    let resource = ConfigResource::topic(&topic.name);
    let keys = image.configs.of(&resource).into_iter().flat_map(|values| values.keys().cloned());
    let configs = keys.map(|key| Change::ConfigRemoved(ConfigRemoved { resource: resource.clone(), key }));
    let deleted = TopicDeleted { id: topic.id, held_by: holders.into_iter().collect() };
    [Change::TopicDeleted(deleted)].into_iter().chain(configs).collect()
}

/// Says that `broker` holds no directory of these deleted topics any more, in any log directory it ever had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfirmDeletions {
    pub broker: BrokerId,
    pub broker_epoch: i64,
    pub topics: Vec<Uuid>,
}

impl Command for ConfirmDeletions {
    type Answer = ();

    fn decide(&self, image: &Image, _inputs: &mut Inputs<'_>) -> Decision<()> {
        check_epoch(image, self.broker, self.broker_epoch)?;
        let pending: BTreeSet<Uuid> = image.topics.deletions_of(self.broker).collect();
        let confirmed = self.topics.iter().filter(|id| pending.contains(*id));
        let changes =
            confirmed.map(|id| Change::DeletionConfirmed(DeletionConfirmed { id: *id, broker: self.broker }));
        Ok((changes.collect(), ()))
    }
}
