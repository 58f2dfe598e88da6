//! Making topics.

use super::configs::check_lengths;
use super::draft::{Draft, distinct};
use super::names::{collision, is_reserved, name_fault};
use super::placement::{Assignment, Placer};
use super::replicas::{Directories, check_brokers, new_partition};
use super::{Command, Decision, Inputs, Outcome, Refusal};
use crate::cluster::change::{Change, ConfigSet, PartitionChanged, TopicCreated};
use crate::cluster::image::{ConfigResource, Image};
use crate::config::{self, Overrides, Scope};
use crate::types::{BrokerId, ErrorCode, Uuid};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Makes topics, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateTopics {
    pub topics: Vec<NewTopic>,
    /// Only say what would happen.
    pub validate_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewTopic {
    pub name: String,
    /// -1: the default, or as many as `assignments`.
    pub partitions: i32,
    /// -1: the default, or as `assignments` say.
    pub replication_factor: i16,
    /// Partition and its brokers, the preferred leader first; empty: the controller chooses.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was made, or would have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// Nil if it was only validated.
    pub id: Uuid,
    pub partitions: i32,
    pub replication_factor: i16,
}

impl Command for CreateTopics {
    /// One outcome for each name, in the order of their first mention.
    type Answer = Vec<(String, Outcome<CreatedTopic>)>;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        let mut site = Site::upon(image, inputs);
        let answers = distinct(&self.topics, |topic| topic.name.clone())
            .into_iter()
            .map(|(name, topic)| {
                let outcome = topic
                    .ok_or_else(|| {
                        Refusal::new(ErrorCode::InvalidRequest, "The request names this topic twice.")
                    })
                    .and_then(|topic| create(topic, &mut site, inputs));
                (name, outcome)
            })
            .collect::<Vec<_>>();
        Ok(match self.validate_only {
            true => (Vec::new(), answers.into_iter().map(without_id).collect()),
            false => (site.draft.into_changes(), answers),
        })
    }
}

fn without_id((name, outcome): (String, Outcome<CreatedTopic>)) -> (String, Outcome<CreatedTopic>) {
    (name, outcome.map(|topic| CreatedTopic { id: Uuid::nil(), ..topic }))
}

/// Where partitions are being added.
pub(super) struct Site {
    pub draft: Draft,
    directories: Directories,
    /// What is left of the partitions that one request may add.
    pub room: usize,
    seed: u64,
}

impl Site {
    pub fn upon(image: &Image, inputs: &Inputs<'_>) -> Site {
        let room = inputs.policy.max_partitions_per_request;
        Site { draft: Draft::upon(image), directories: Directories::upon(image), room, seed: inputs.seed }
    }

    /// Lets the controller choose brokers for the partitions with these numbers.
    pub fn place(&self, partitions: Range<i32>, replication_factor: usize) -> Outcome<Vec<Assignment>> {
        let placer = Placer::new(&self.draft.image().brokers, replication_factor, self.seed)?;
        Ok(placer.place(partitions))
    }

    /// Adds partitions to a topic, numbered from `first`.
    pub fn add_partitions(
        &mut self,
        topic: Uuid,
        first: i32,
        assignments: &[Assignment],
    ) -> Outcome<Vec<Change>> {
        let brokers = &self.draft.image().brokers;
        let partitions = (first..).zip(assignments).map(|(index, assigned)| {
            let partition = new_partition(brokers, &mut self.directories, index, assigned)?;
            Ok(Change::PartitionChanged(PartitionChanged { topic, partition }))
        });
        let changes = partitions.collect::<Outcome<_>>()?;
        self.room -= assignments.len();
        // The next topic begins where this one ended, or small topics would all lie on the same brokers.
        self.seed = self.seed.wrapping_add(assignments.len() as u64);
        Ok(changes)
    }
}

fn create(topic: &NewTopic, site: &mut Site, inputs: &mut Inputs<'_>) -> Outcome<CreatedTopic> {
    check_name(&topic.name, site.draft.image())?;
    let configs = check_configs(topic, inputs)?;
    let assignments = assignments(topic, site, inputs)?;
    let id = (inputs.fresh_id)();
    let replication_factor = assignments.first().map_or(0, Vec::len) as i16;
    let mut changes = vec![Change::TopicCreated(TopicCreated { id, name: topic.name.clone() })];
    changes.extend(site.add_partitions(id, 0, &assignments)?);
    let resource = ConfigResource::topic(&topic.name);
    changes.extend(
        configs
            .into_iter()
            .map(|(key, value)| Change::ConfigSet(ConfigSet { resource: resource.clone(), key, value })),
    );
    site.draft.add(changes);
    Ok(CreatedTopic { id, partitions: assignments.len() as i32, replication_factor })
}

fn check_name(name: &str, image: &Image) -> Outcome<()> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    if let Some(fault) = name_fault(name) {
        return refuse(fault);
    }
    if is_reserved(name) {
        let message = format!("Topic '{name}' is internal and cannot be made.");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    if image.topics.by_name(name).is_some() {
        return Err(Refusal::new(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    match collision(name, &image.topics) {
        Some(other) => refuse(format!(
            "Topic '{name}' would share its metric names with existing topic '{other}': '.' and '_' count as the same there."
        )),
        None => Ok(()),
    }
}

fn check_configs(topic: &NewTopic, inputs: &Inputs<'_>) -> Outcome<Overrides> {
    let refuse = |message| Refusal::new(ErrorCode::InvalidConfig, message);
    let mut configs = Overrides::new();
    for (key, value) in &topic.configs {
        let value = value.clone().ok_or_else(|| refuse(format!("Topic config '{key}' has no value.")))?;
        configs.insert(key.clone(), value);
    }
    check_lengths(&configs)?;
    let checked = config::validate_all(Scope::Topic, &configs, &inputs.policy.config);
    checked.map_err(|invalid| refuse(invalid.to_string()))?;
    Ok(configs)
}

/// The brokers of each partition: as asked for, or as the controller places them.
fn assignments(topic: &NewTopic, site: &Site, inputs: &Inputs<'_>) -> Outcome<Vec<Assignment>> {
    if !topic.assignments.is_empty() {
        return manual(topic, site.draft.image(), site.room);
    }
    let config = &inputs.policy.config;
    let factor = match topic.replication_factor {
        -1 => config.default_replication_factor,
        asked => i32::from(asked),
    };
    let count = match topic.partitions {
        -1 => config.num_partitions,
        asked => asked,
    };
    if factor < 1 {
        let message = format!(
            "Replication factor {factor} is not possible: it must be at least 1, or -1 for the default."
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    if count < 1 {
        let message =
            format!("{count} partitions are not possible: there must be at least 1, or -1 for the default.");
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    check_room(count as usize, site.room)?;
    site.place(0..count, factor as usize)
}

fn manual(topic: &NewTopic, image: &Image, room: usize) -> Outcome<Vec<Assignment>> {
    if topic.partitions != -1 || topic.replication_factor != -1 {
        let message = "With assignments given, partition count and replication factor must both be -1.";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    check_room(topic.assignments.len(), room)?;
    let refuse = |message| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut sorted: Vec<_> = topic.assignments.iter().collect();
    sorted.sort_by_key(|(index, _)| *index);
    for (expected, (index, brokers)) in (0..).zip(&sorted) {
        if *index != expected {
            return refuse(format!(
                "Assigned partitions must be numbered from 0 without gaps or repeats: {index} stands where {expected} should."
            ));
        }
        check_brokers(*index, brokers, sorted[0].1.len(), &image.brokers)?;
    }
    Ok(sorted.into_iter().map(|(_, brokers)| brokers.clone()).collect())
}

/// Bounds what one request can make the cluster do at once.
pub(super) fn check_room(wanted: usize, room: usize) -> Outcome<()> {
    match wanted <= room {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorCode::PolicyViolation,
            format!("{wanted} partitions are too many at once: this request can add {room} more."),
        )),
    }
}
