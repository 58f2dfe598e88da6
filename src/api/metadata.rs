//! Metadata: who is there, which topics, who leads.

use super::auto_create;
use super::context::Context;
use super::fetch::session::TopicKey;
use super::merged::first_of_each;
use super::{Api, Reply, operations};
use crate::cluster::Image;
use crate::cluster::controller::name_fault;
use crate::cluster::image::{Broker, PartitionImage, Replica, TopicImage};
use crate::types::{BrokerId, ErrorCode};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::*;
use kafka_protocol::messages::{self, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The one internal topic so far; clients subscribe to such topics only when told to.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// From here on a request may forbid to make missing topics; before, asking for a topic made it.
const ALLOWS_AUTO_CREATION: i16 = 4;
/// From here on topics may be asked for by id. Two versions before have room for one, and for no name, but no meaning.
const BY_ID: i16 = 12;
/// A process that dies is noticed and replaced within this, mostly in a tenth of it.
const DECISION: Duration = Duration::from_millis(300);

impl Api for MetadataRequest {
    async fn handle(self, cx: Context) -> Reply<MetadataResponse> {
        let asked = self.topics.filter(|topics| cx.version() > 0 || !topics.is_empty());
        let asked = asked.map(|topics| first_of_each(topics, |topic| (topic.name.clone(), topic.topic_id)));
        if let Some(topics) = asked.as_ref().filter(|topics| !are_named(cx.version(), topics)) {
            return Reply::Now(refused(topics, ErrorCode::InvalidRequest));
        }
        let may_create = self.allow_auto_topic_creation || cx.version() < ALLOWS_AUTO_CREATION;
        if may_create && let Some(topics) = &asked {
            auto_create::missing(&cx, topics.iter().filter_map(|topic| topic.name.as_ref())).await;
        }
        decided(&cx, asked.as_deref()).await;
        let (image, lost) = (cx.image(), cx.node.contact.lost());
        let authorized = operations::if_asked(self.include_topic_authorized_operations, operations::TOPIC);
        let topics = match &asked {
            None => image.topics.iter().map(|topic| described(&image, topic, &lost)).collect(),
            Some(topics) => topics.iter().map(|topic| answer(&cx, &image, topic, &lost)).collect::<Vec<_>>(),
        };
        let topics =
            topics.into_iter().map(|topic| topic.with_topic_authorized_operations(authorized)).collect();
        let cluster = operations::if_asked(self.include_cluster_authorized_operations, operations::CLUSTER);
        let response = MetadataResponse::default()
            .with_brokers(brokers(&cx, &image))
            .with_cluster_id(image.cluster_id.clone().map(StrBytes::from_string))
            .with_controller_id(messages::BrokerId(controller(&image)))
            .with_topics(topics);
        Reply::Now(match cx.version() {
            8..=10 => response.with_cluster_authorized_operations(cluster),
            _ => response,
        })
    }

    fn refuse(code: ErrorCode) -> MetadataResponse {
        MetadataResponse::default().with_error_code(code.code())
    }
}

/// Waits for what the controller makes of what is asked for and was led by someone who was lost a moment ago, unless it is found
/// again: most clients do not ask again for a second.
pub(super) async fn decided(cx: &Context, asked: Option<&[MetadataRequestTopic]>) {
    let contact = &cx.node.contact;
    if contact.lost().is_empty() {
        return;
    }
    let mut images = cx.node.metadata.watch();
    let are_decided = |image: &Arc<Image>, lost: &[BrokerId]| match asked {
        None => !image.topics.iter().any(|topic| is_led_by(topic, lost)),
        Some(asked) => {
            let mut topics = asked.iter().filter_map(|topic| cx.topic(image, &key(topic)).ok());
            !topics.any(|topic| is_led_by(topic, lost))
        }
    };
    // Looked at outside of the channel's lock, which each new image waits for.
    let waiting = async {
        loop {
            let (found, image) = (contact.found(), images.borrow_and_update().clone());
            if are_decided(&image, &contact.lost()) {
                return;
            }
            tokio::select! {
                () = found => {}
                changed = images.changed() => if changed.is_err() { return },
            }
        }
    };
    // Whoever leads still then may have been lost by this broker alone.
    let _ = timeout(DECISION, waiting).await;
}

/// Whether one of `brokers` leads any of the topic's partitions.
fn is_led_by(topic: &TopicImage, brokers: &[BrokerId]) -> bool {
    let mut leaders = topic.partitions().filter_map(|partition| partition.leader);
    leaders.any(|leader| brokers.contains(&leader))
}

/// Whether each topic is asked for in a way that the version knows.
fn are_named(version: i16, topics: &[MetadataRequestTopic]) -> bool {
    let by_name = |topic: &MetadataRequestTopic| topic.name.is_some() && topic.topic_id.is_nil();
    version >= BY_ID || topics.iter().all(by_name)
}

/// An answer that refuses all of them; before version 13 there is no error of the whole.
fn refused(topics: &[MetadataRequestTopic], code: ErrorCode) -> MetadataResponse {
    let refuse = |topic: &MetadataRequestTopic| {
        MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
    };
    MetadataResponse::default().with_topics(topics.iter().map(refuse).collect())
}

fn answer(
    cx: &Context,
    image: &Image,
    asked: &MetadataRequestTopic,
    lost: &[BrokerId],
) -> MetadataResponseTopic {
    let key = key(asked);
    let invalid = |name: &TopicName| name_fault(name).is_some();
    let refused = |code: ErrorCode| {
        MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_name(asked.name.clone())
            .with_topic_id(asked.topic_id)
            .with_is_internal(asked.name.as_ref().is_some_and(|name| is_internal(name)))
    };
    match cx.topic(image, &key) {
        Ok(topic) => described(image, topic, lost),
        Err(_) if matches!(&key, TopicKey::Name(name) if invalid(name)) => {
            refused(ErrorCode::InvalidTopicException)
        }
        Err(code) => refused(code),
    }
}

fn key(asked: &MetadataRequestTopic) -> TopicKey {
    match &asked.name {
        Some(name) if asked.topic_id.is_nil() => TopicKey::Name(name.clone()),
        _ => TopicKey::Id(asked.topic_id),
    }
}

fn described(image: &Image, topic: &TopicImage, lost: &[BrokerId]) -> MetadataResponseTopic {
    let described = |partition: &Arc<PartitionImage>| described_partition(image, partition, lost);
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_partitions(topic.partitions().map(described).collect())
}

fn described_partition(
    image: &Image,
    partition: &PartitionImage,
    lost: &[BrokerId],
) -> MetadataResponsePartition {
    let is_lost = partition.leader.is_some_and(|leader| lost.contains(&leader));
    let (leader, error) = if is_lost { NO_LEADER } else { leader_of(image, partition) };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(leader)
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(broker_ids(partition.replica_brokers()))
        .with_isr_nodes(broker_ids(partition.isr.iter().copied()))
        .with_offline_replicas(broker_ids(offline(image, partition)))
}

const NO_LEADER: (messages::BrokerId, i16) = (messages::BrokerId(-1), ErrorCode::LeaderNotAvailable.code());

/// The leader, and LEADER_NOT_AVAILABLE where there is none that is alive.
pub(super) fn leader_of(image: &Image, partition: &PartitionImage) -> (messages::BrokerId, i16) {
    match partition.leader.filter(|leader| image.brokers.is_alive(*leader)) {
        Some(leader) => (messages::BrokerId(leader), 0),
        None => NO_LEADER,
    }
}

/// Replicas whose broker is away, or whose log directory does not work.
pub(super) fn offline(image: &Image, partition: &PartitionImage) -> impl Iterator<Item = BrokerId> {
    let works = |replica: &&Replica| {
        let broker = image.brokers.get(replica.broker).filter(|broker| !broker.fenced);
        broker.is_some_and(|broker| broker.can_use(replica.directory))
    };
    partition.replicas.iter().filter(move |replica| !works(replica)).map(|replica| replica.broker)
}

pub(super) fn broker_ids(ids: impl Iterator<Item = BrokerId>) -> Vec<messages::BrokerId> {
    ids.map(messages::BrokerId).collect()
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(super) fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC
}

/// Whom to call the controller: the one that decides, or any broker until that is known.
pub(super) fn controller(image: &Image) -> BrokerId {
    let alive = |id: &BrokerId| image.brokers.is_alive(*id);
    image
        .controller
        .filter(alive)
        .or_else(|| image.brokers.alive().next().map(|broker| broker.id))
        .unwrap_or(-1)
}

/// Those that are alive, and those that were a moment ago: librdkafka drops a broker that is not listed any more, and on the way
/// sends its partitions nowhere for a second, wherever they should go.
fn brokers(cx: &Context, image: &Image) -> Vec<MetadataResponseBroker> {
    let gone = cx.node.contact.lately_lost();
    let gone = gone.iter().filter_map(|id| image.brokers.get(*id)).filter(|broker| broker.fenced);
    image.brokers.alive().chain(gone).filter_map(|broker| metadata_broker(cx, broker)).collect()
}

fn metadata_broker(cx: &Context, broker: &Broker) -> Option<MetadataResponseBroker> {
    let listener = broker.listener(&cx.peer.listener)?;
    let address = MetadataResponseBroker::default()
        .with_node_id(messages::BrokerId(broker.id))
        .with_host(StrBytes::from_string(listener.host.clone()))
        .with_port(listener.port.into());
    Some(match cx.version() {
        0 => address,
        _ => address.with_rack(broker.rack.clone().map(StrBytes::from_string)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::change::{Change, PartitionChanged, TopicCreated};
    use crate::cluster::image::Broker;
    use crate::types::Uuid;

    fn led_by(leader: BrokerId) -> PartitionImage {
        PartitionImage {
            index: 0,
            replicas: vec![],
            isr: vec![leader],
            elr: vec![],
            leader: Some(leader),
            last_known_leader: None,
            leader_epoch: 3,
            partition_epoch: 3,
            adding: vec![],
            removing: vec![],
            released: vec![],
            blank: vec![],
        }
    }

    #[test]
    fn a_decision_is_waited_for_only_where_the_lost_one_led() {
        let mut image = Image::default();
        for (name, leader) in [("a", 1), ("b", 2)] {
            let topic = Uuid::from_u128(leader as u128);
            let created = Change::TopicCreated(TopicCreated { id: topic, name: name.into() });
            let partition = Change::PartitionChanged(PartitionChanged { topic, partition: led_by(leader) });
            image.apply_all(&[created, partition]).unwrap();
        }
        let waits = |name, lost: &[BrokerId]| is_led_by(image.topics.by_name(name).unwrap(), lost);
        assert!(waits("a", &[1]) && waits("b", &[1, 2]));
        assert!(!waits("b", &[1, 3]));
    }

    /// Broker 1.
    fn broker() -> Broker {
        Broker {
            id: 1,
            incarnation: Uuid::nil(),
            epoch: 1,
            listeners: vec![],
            rack: None,
            directories: vec![],
            features: vec![],
            fenced: false,
            shutting_down: false,
            boot_id: String::new(),
            failed: vec![],
        }
    }

    #[test]
    fn a_replica_is_offline_with_its_broker_or_its_log_directory() {
        let [works, broke] = [1, 2].map(Uuid::from_u128);
        let partition = |directory| PartitionImage {
            replicas: vec![Replica { broker: 1, directory }, Replica { broker: 2, directory: works }],
            ..led_by(1)
        };
        for (fenced, directory, expected) in [
            (false, works, &[2][..]),
            (false, Uuid::nil(), &[2]),
            (false, broke, &[1, 2]),
            (true, works, &[1, 2]),
        ] {
            let broker = Broker { directories: vec![works], failed: vec![broke], fenced, ..broker() };
            let mut image = Image::default();
            image.apply_all(&[Change::BrokerRegistered(broker)]).unwrap();
            assert_eq!(offline(&image, &partition(directory)).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_leader_that_was_lost_a_moment_ago_is_not_named() {
        let mut image = Image::default();
        image.apply_all(&[Change::BrokerRegistered(broker())]).unwrap();
        let named = |lost: &[BrokerId]| {
            let described = described_partition(&image, &led_by(1), lost);
            (described.leader_id.0, described.error_code, described.leader_epoch)
        };
        assert_eq!(named(&[2]), (1, 0, 3));
        assert_eq!(named(&[2, 1]), (-1, ErrorCode::LeaderNotAvailable.code(), 3));
    }
}
