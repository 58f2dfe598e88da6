//! Topics that come into being because a client asked for them.

use super::context::Context;
use super::metadata::OFFSETS_TOPIC;
use crate::cluster::Image;
use crate::cluster::controller::{CreateTopics, NewTopic, is_reserved, name_fault};
use crate::config::BrokerConfig;
use kafka_protocol::messages::TopicName;

/// Makes those of the named topics that are missing, where the configuration says so. What cannot be made is
/// left to the caller to report as missing.
pub(super) async fn missing(cx: &Context, names: impl Iterator<Item = &TopicName>) {
    if !cx.node.config.auto_create_topics {
        return;
    }
    let image = cx.image();
    let missing: Vec<NewTopic> = names
        .filter(|name| {
            image.topics.by_name(name).is_none() && name_fault(name).is_none() && !is_reserved(name)
        })
        .map(
            |name| {
                if ***name == *OFFSETS_TOPIC { offsets_topic(&cx.node.config, &image) } else { plain(name) }
            },
        )
        .collect();
    create(cx, missing).await;
}

/// Makes `__consumer_offsets` if it is missing; groups need it, whatever the configuration says of other topics.
pub(super) async fn offsets(cx: &Context) {
    let image = cx.image();
    if image.topics.by_name(OFFSETS_TOPIC).is_none() {
        create(cx, vec![offsets_topic(&cx.node.config, &image)]).await;
    }
}

async fn create(cx: &Context, topics: Vec<NewTopic>) {
    if topics.is_empty() {
        return;
    }
    match cx.node.metadata.submit(CreateTopics { topics, validate_only: false }).await {
        Ok(outcomes) => {
            let refused = outcomes.iter().filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?)));
            refused.for_each(
                |(topic, refusal)| tracing::debug!(topic, %refusal.message, "a topic was not made"),
            );
            cx.node.replicas.caught_up(cx.image().applied.index).await;
        }
        Err(code) => tracing::warn!(?code, "topics could not be made; clients will ask again"),
    }
}

fn plain(name: &TopicName) -> NewTopic {
    NewTopic { name: name.to_string(), partitions: -1, replication_factor: -1, ..NewTopic::default() }
}

/// Its replicas are not fewer than a cluster that is still starting will have brokers for: nothing adds them later.
fn offsets_topic(config: &BrokerConfig, image: &Image) -> NewTopic {
    let wanted = &config.offsets_topic;
    let brokers = image.brokers.iter().count().max(config.controller_quorum_voters.len());
    let set = |key: &str, value: String| (key.to_owned(), Some(value));
    NewTopic {
        name: OFFSETS_TOPIC.to_owned(),
        partitions: wanted.partitions,
        replication_factor: wanted.replication_factor.with_brokers(brokers),
        assignments: vec![],
        configs: vec![
            set("cleanup.policy", "compact".into()),
            set("compression.type", "producer".into()),
            set("segment.bytes", wanted.segment_bytes.to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::change::Change;
    use crate::cluster::image::Broker;
    use crate::config::{Layers, Surroundings};
    use crate::types::Uuid;

    fn fenced(id: i32) -> Change {
        Change::BrokerRegistered(Broker {
            id,
            incarnation: Uuid::nil(),
            epoch: id.into(),
            listeners: vec![],
            rack: None,
            directories: vec![],
            features: vec![],
            fenced: true,
            shutting_down: false,
            boot_id: String::new(),
            failed: vec![],
        })
    }

    fn factor(voters: &str, registered: i32) -> i16 {
        let fixed = [("controller.quorum.voters".to_owned(), voters.to_owned())].into();
        let layers = Layers { fixed, ..Layers::default() };
        let config = BrokerConfig::new(layers, Surroundings::default()).unwrap();
        let mut image = Image::default();
        image.apply_all(&(1..=registered).map(fenced).collect::<Vec<_>>()).unwrap();
        offsets_topic(&config, &image).replication_factor
    }

    #[test]
    fn the_offsets_count_on_brokers_that_are_still_to_come() {
        assert_eq!(factor("", 1), 1);
        assert_eq!(factor("", 3), 3, "registered, though not ready");
        assert_eq!(factor("1@a:1,2@b:1,3@c:1", 1), 3, "not even registered");
    }
}
