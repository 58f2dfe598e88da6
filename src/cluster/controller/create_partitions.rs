//! Adding partitions to topics.

use super::create_topics::{Site, check_room};
use super::draft::distinct;
use super::placement::Assignment;
use super::replicas::check_brokers;
use super::{Command, Decision, Inputs, Outcome, Refusal};
use crate::cluster::image::{Image, TopicImage};
use crate::types::{BrokerId, ErrorCode};
use serde::{Deserialize, Serialize};

/// Adds partitions to topics, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatePartitions {
    pub topics: Vec<NewPartitions>,
    /// Only say what would happen.
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewPartitions {
    pub topic: String,
    /// Partitions that the topic shall have in all.
    pub count: i32,
    /// Brokers of each new partition; `None`: the controller chooses.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl Command for CreatePartitions {
    /// One outcome for each name, in the order of their first mention.
    type Answer = Vec<(String, Outcome<()>)>;

    fn decide(&self, image: &Image, inputs: &mut Inputs<'_>) -> Decision<Self::Answer> {
        let mut site = Site::upon(image, inputs);
        let answers = distinct(&self.topics, |topic| topic.topic.clone())
            .into_iter()
            .map(|(name, topic)| {
                let outcome = topic
                    .ok_or_else(|| {
                        Refusal::new(ErrorCode::InvalidRequest, "The request names this topic twice.")
                    })
                    .and_then(|topic| grow(topic, &mut site));
                (name, outcome)
            })
            .collect();
        let changes = if self.validate_only { Vec::new() } else { site.draft.into_changes() };
        Ok((changes, answers))
    }
}

fn grow(wanted: &NewPartitions, site: &mut Site) -> Outcome<()> {
    let image = site.draft.image();
    let topic = image.topics.by_name(&wanted.topic).ok_or_else(|| {
        let message = format!("There is no topic '{}'.", wanted.topic);
        Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
    })?;
    let present = topic.partition_count();
    if wanted.count <= present {
        let message =
            format!("Topic '{}' has {present} partition(s); {} would be no more.", topic.name, wanted.count);
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    check_room((wanted.count - present) as usize, site.room)?;
    let assignments = assignments(wanted, topic, site)?;
    let changes = site.add_partitions(topic.id, present, &assignments)?;
    site.draft.add(changes);
    Ok(())
}

/// The brokers of each new partition; as many replicas as the topic's first partition has.
fn assignments(wanted: &NewPartitions, topic: &TopicImage, site: &Site) -> Outcome<Vec<Assignment>> {
    let present = topic.partition_count();
    let factor = topic.partition(0).map_or(1, |partition| partition.settled_replicas().count());
    let Some(assignments) = &wanted.assignments else {
        return site.place(present..wanted.count, factor);
    };
    if assignments.len() != (wanted.count - present) as usize {
        let message = format!(
            "{} partition(s) would be added, but {} assignment(s) are given.",
            wanted.count - present,
            assignments.len()
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    for (index, brokers) in (present..).zip(assignments) {
        check_brokers(index, brokers, factor, &site.draft.image().brokers)?;
    }
    Ok(assignments.clone())
}
