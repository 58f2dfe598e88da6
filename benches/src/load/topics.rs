//! Topics made for a piece of work, and who leads their partitions.

use super::wire::{Wire, accepted, name};
use anyhow::{Context, Result, bail, ensure};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CREATE: i16 = 5;
const DELETE: i16 = 5;
const LIST_OFFSETS: i16 = 1;
/// The offset asked for: the end.
const LATEST: i64 = -1;
pub const METADATA: i16 = 9;
/// Kafka takes that long for ten thousand partitions.
const PATIENCE: Duration = Duration::from_secs(180);

/// Creates `topic` and waits until each partition is led and all its replicas are in sync; answers the leaders' addresses.
pub fn create(
    at: &str,
    topic: &str,
    partitions: i32,
    replicas: i16,
    configs: &[(&str, &str)],
) -> Result<Vec<String>> {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(owned(key)).with_value(Some(owned(value)))
    };
    let wanted = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(120_000);
    let mut wire = Wire::connect(at)?;
    let deadline = Instant::now() + PATIENCE;
    // Brokers that have just come up are not all known to the controller yet.
    loop {
        const NOT_ENOUGH_BROKERS: [i16; 3] = [38, 41, 14];
        match wire.ask(CREATE, &request)?.topics[0].error_code {
            code if NOT_ENOUGH_BROKERS.contains(&code) && Instant::now() < deadline => pause(),
            code => break accepted(code, "a new topic")?,
        }
    }
    let leaders = await_leaders(&mut wire, topic, partitions, replicas, deadline)?;
    await_logs(topic, &leaders, deadline)?;
    Ok(leaders)
}

/// Waits until each leader knows that it leads: Kafka's tell so a little before it is true.
fn await_logs(topic: &str, leaders: &[String], deadline: Instant) -> Result<()> {
    let mut led: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (index, leader) in leaders.iter().enumerate() {
        let partition =
            ListOffsetsPartition::default().with_partition_index(index as i32).with_timestamp(LATEST);
        led.entry(leader).or_default().push(partition);
    }
    for (leader, partitions) in led {
        let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(partitions);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let mut wire = Wire::connect(leader)?;
        while !all_found(&wire.ask(LIST_OFFSETS, &request)?) {
            ensure!(Instant::now() < deadline, "{leader} does not lead after {PATIENCE:?}");
            pause();
        }
    }
    Ok(())
}

/// How many records the one partition of a new topic has.
pub fn end(leader: &str, topic: &str) -> Result<i64> {
    let partition = ListOffsetsPartition::default().with_timestamp(LATEST);
    let asked = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
    let answer = Wire::connect(leader)?.ask(LIST_OFFSETS, &request)?;
    ensure!(all_found(&answer), "{topic} does not say where it ends");
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.context("no answer about the partition")?.offset)
}

fn all_found(answer: &ListOffsetsResponse) -> bool {
    let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.all(|partition| partition.error_code == 0)
}

/// The addresses of the leaders, once all partitions have theirs and all replicas are in sync.
fn await_leaders(
    wire: &mut Wire,
    topic: &str,
    partitions: i32,
    replicas: i16,
    deadline: Instant,
) -> Result<Vec<String>> {
    loop {
        let answer = wire.ask(METADATA, &about(topic))?;
        if let Some(leaders) = leaders(&answer, topic, partitions, replicas) {
            return Ok(leaders);
        }
        if Instant::now() > deadline {
            bail!("{topic} has no leaders after {PATIENCE:?}");
        }
        pause();
    }
}

pub fn about(topic: &str) -> MetadataRequest {
    MetadataRequest::default()
        .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name(topic)))]))
}

/// The addresses of all partitions' leaders, if the answer tells of `topic` without an error, and of all replicas in sync.
pub fn leaders(
    answer: &MetadataResponse,
    topic: &str,
    partitions: i32,
    replicas: i16,
) -> Option<Vec<String>> {
    let about = answer.topics.iter().find(|about| about.name.as_ref() == Some(&name(topic)))?;
    let mut all = about.partitions.iter().collect::<Vec<_>>();
    all.sort_by_key(|partition| partition.partition_index);
    let whole = all.iter().all(|one| one.isr_nodes.len() == replicas as usize && one.error_code == 0);
    let address = |id| {
        let broker = answer.brokers.iter().find(|broker| broker.node_id == id)?;
        Some(format!("{}:{}", &*broker.host, broker.port))
    };
    (about.error_code == 0 && whole && all.len() == partitions as usize)
        .then(|| all.iter().map(|one| address(one.leader_id)).collect())?
}

/// Deletes `topic`, so that what it holds does not stand in the way of the next round.
pub fn delete(at: &str, topic: &str) -> Result<()> {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name(topic)]).with_timeout_ms(60_000);
    let answer = Wire::connect(at)?.ask(DELETE, &request)?;
    accepted(answer.responses.first().context("no answer about the topic")?.error_code, "deleting a topic")
}

fn owned(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Between two looks at something that takes its time.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
