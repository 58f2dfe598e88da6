//! Commands from text.

use super::super::*;
use super::{World, output};
use crate::cluster::image::{ConfigResource, Listener, ResourceKind};
use crate::types::{BrokerId, TopicPartition, Uuid};

/// Words of a line: `name word=value …`.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        Words(line.split_whitespace().collect())
    }

    /// The `n`th word; `""` is empty, `x*250` is 250 of them.
    fn name(&self, n: usize) -> String {
        spelled(self.0.get(n).copied().unwrap_or_default())
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    fn value(&self, word: &str) -> Option<&'a str> {
        self.0.iter().find_map(|pair| pair.strip_prefix(word)?.strip_prefix('='))
    }

    fn number<T: std::str::FromStr>(&self, word: &str) -> Option<T> {
        self.value(word).map(|value| value.parse().ok().expect("a number"))
    }

    /// The words `verb:key=value` and `verb:key`.
    fn keys(&self, verb: &'a str) -> impl Iterator<Item = (String, Option<String>)> {
        self.0.iter().filter_map(move |word| word.strip_prefix(verb)?.strip_prefix(':')).map(
            |pair| match pair.split_once('=') {
                Some((key, value)) => (spelled(key), Some(spelled(value))),
                None => (pair.to_owned(), None),
            },
        )
    }
}

fn spelled(word: &str) -> String {
    match word.split_once('*') {
        Some((text, times)) => text.repeat(times.parse().expect("a number")),
        None => word.replace("\"\"", ""),
    }
}

pub(super) fn submit(world: &mut World, verb: &str, rest: &str, items: &str) -> String {
    let words = Words::of(rest);
    let items: Vec<Words> = items.lines().map(Words::of).collect();
    let nothing = |_: &()| String::new();
    match verb {
        "form" => world.submit(form(&words), |id| format!("cluster {id}\n")),
        "register" => {
            world.incarnations += 1;
            let command = register(&words, world.incarnations);
            world.submit(command, |epoch| format!("epoch {epoch}\n"))
        }
        "unfence" => world.submit(UnfenceBroker { id: broker(&words), epoch: epoch(&words, world) }, nothing),
        "fence" => world.submit(FenceBroker { id: broker(&words), epoch: epoch(&words, world) }, nothing),
        "begin-shutdown" => {
            world.submit(BeginShutdown { id: broker(&words), epoch: epoch(&words, world) }, nothing)
        }
        "directories-failed" => world.submit(directories_failed(&words, world), nothing),
        "unregister" => world.submit(UnregisterBroker { id: broker(&words) }, nothing),
        "create-topics" => world.submit(create_topics(&words, &items), |answers| output::created(answers)),
        "delete-topics" => world.submit(delete_topics(&items), |answers| output::deleted(answers)),
        "create-partitions" => {
            world.submit(create_partitions(&words, &items), |answers| output::named(answers))
        }
        "alter-configs" => world.submit(alter_configs(&words, &items), |answers| output::configured(answers)),
        "replace-configs" => {
            world.submit(replace_configs(&words, &items), |answers| output::configured(answers))
        }
        "producer-ids" => {
            let command = AllocateProducerIds { broker: broker(&words), broker_epoch: epoch(&words, world) };
            world.submit(command, |ids| format!("{} from {}\n", ids.count, ids.first))
        }
        "confirm-deletions" => {
            let ids = words.0[1..].iter().filter(|word| word.starts_with('#'));
            let topics = ids.map(|id| made(id)).collect();
            let (broker, broker_epoch) = (broker(&words), epoch(&words, world));
            world.submit(ConfirmDeletions { broker, broker_epoch, topics }, nothing)
        }
        "confirm-releases" => {
            let (broker, broker_epoch) = (broker(&words), epoch(&words, world));
            let replicas = items.iter().map(|item| released(item, world)).collect();
            world.submit(ConfirmReleases { broker, broker_epoch, replicas }, nothing)
        }
        "reassign" => {
            let command = reassign(&words, &items);
            let asked = command.partitions.clone();
            world.submit(command, |answers| output::reassigned(&asked, answers))
        }
        "elect-leaders" => {
            let partitions = items.iter().map(|item| topic_partition(item.0[0])).collect();
            let partitions = Some(partitions).filter(|_| !words.has("all"));
            world.submit(ElectLeaders { unclean: words.has("unclean"), partitions }, |answers| {
                output::elected(answers)
            })
        }
        "rebalance-leaders" => world.submit(RebalanceLeaders, |more| format!("more: {more}\n")),
        "alter-partition" => {
            let command = alter_partition(&words, &items, world);
            let proposed = command.partitions.clone();
            world.submit(command, |answers| output::altered(&proposed, answers))
        }
        _ => panic!("no such command: {verb}"),
    }
}

fn broker(words: &Words<'_>) -> BrokerId {
    words.0[0].parse().expect("a broker's number")
}

fn epoch(words: &Words<'_>, world: &World) -> i64 {
    let newest = || world.image.brokers.get(broker(words)).map_or(-1, |broker| broker.epoch);
    words.number("epoch").unwrap_or_else(newest)
}

/// `#3`: the third id made.
fn made(word: &str) -> Uuid {
    Uuid::from_u128(word.trim_start_matches('#').parse().expect("an id"))
}

/// `topic/partition isr=1,2@7 epoch=4.9`: broker epochs, leader epoch and partition epoch are the newest unless given.
fn alter_partition(words: &Words<'_>, items: &[Words<'_>], world: &World) -> AlterPartition {
    let proposal = |item: &Words<'_>| {
        let (name, partition) = topic_partition(item.0[0]);
        let topic = if name.starts_with('#') { made(&name) } else { world.topic(&name).id };
        let known = world.image.topics.partition(TopicPartition { topic, partition });
        let newest = known.map_or((0, 0), |known| (known.leader_epoch, known.partition_epoch));
        let (leader_epoch, partition_epoch) = item.value("epoch").map_or(newest, epochs);
        let members = item.value("isr").expect("isr").split(',').filter(|member| !member.is_empty());
        let isr = members.map(|member| member_with_epoch(member, world)).collect();
        IsrProposal { topic, partition, leader_epoch, partition_epoch, isr }
    };
    let partitions = items.iter().map(proposal).collect();
    AlterPartition { broker: broker(words), epoch: epoch(words, world), partitions }
}

/// `topic/3 dir=31`
fn released(item: &Words<'_>, world: &World) -> Released {
    let (topic, partition) = topic_partition(item.0[0]);
    let directory = output::directory_id(item.number("dir").expect("dir"));
    Released { topic: world.topic(&topic).id, partition, directory }
}

/// `topic/3 to=1,2`, or without `to` to cancel.
fn reassign(words: &Words<'_>, items: &[Words<'_>]) -> AlterReassignments {
    let partitions = items.iter().map(|item| {
        let (topic, partition) = topic_partition(item.0[0]);
        Reassignment { topic, partition, target: item.value("to").map(numbers) }
    });
    let allow_replication_factor_change = !words.has("same-factor");
    AlterReassignments { partitions: partitions.collect(), allow_replication_factor_change }
}

/// `topic/3`
fn topic_partition(text: &str) -> (String, i32) {
    let (name, index) = text.split_once('/').expect("topic/partition");
    (name.to_owned(), index.parse().expect("a number"))
}

fn epochs(text: &str) -> (i32, i32) {
    let (leader, partition) = text.split_once('.').expect("leader.partition");
    (leader.parse().expect("a number"), partition.parse().expect("a number"))
}

fn member_with_epoch(member: &str, world: &World) -> (BrokerId, i64) {
    let number = |text: &str| text.parse().expect("a number");
    match member.split_once('@') {
        Some((id, epoch)) => (number(id) as BrokerId, number(epoch)),
        None => {
            let id = number(member) as BrokerId;
            (id, world.image.brokers.get(id).map_or(-1, |broker| broker.epoch))
        }
    }
}

fn form(words: &Words<'_>) -> FormCluster {
    let features =
        words.keys("feature").map(|(name, level)| (name, level.expect("a level").parse().expect("a number")));
    FormCluster { cluster_id: words.name(0), features: features.collect() }
}

/// Without `dirs`, broker 7 has directory 71. `again` is the same process once more.
fn register(words: &Words<'_>, incarnations: u128) -> RegisterBroker {
    let id = broker(words);
    let own = format!("{id}1");
    let numbers = words.value("dirs").unwrap_or(&own).split(',');
    let directories = numbers.map(|number| output::directory_id(number.parse().expect("a number")));
    RegisterBroker {
        id,
        incarnation: Uuid::from_u128(incarnations - u128::from(words.has("again"))),
        listeners: vec![Listener {
            name: "PLAINTEXT".into(),
            host: format!("host{id}"),
            port: 9092,
            protocol: 0,
        }],
        rack: words.value("rack").map(str::to_owned),
        directories: directories.collect(),
        features: Vec::new(),
        boot_id: "boot".into(),
        clean_start: !words.has("crashed"),
    }
}

fn directories_failed(words: &Words<'_>, world: &World) -> DirectoriesFailed {
    let failed = numbers(words.value("dirs").expect("dirs")).into_iter();
    let directories = failed.map(|number| output::directory_id(number as u128)).collect();
    DirectoriesFailed { id: broker(words), epoch: epoch(words, world), directories }
}

fn create_topics(words: &Words<'_>, items: &[Words<'_>]) -> CreateTopics {
    let topics = items.iter().map(|item| NewTopic {
        name: item.name(0),
        partitions: item.number("partitions").unwrap_or(-1),
        replication_factor: item.number("rf").unwrap_or(-1),
        assignments: item.value("assign").map_or(Vec::new(), numbered_assignments),
        configs: item.keys("set").collect(),
    });
    CreateTopics { topics: topics.collect(), validate_only: words.has("validate-only") }
}

/// `0:1,2/1:2,3`
fn numbered_assignments(text: &str) -> Vec<(i32, Vec<BrokerId>)> {
    let pairs = text.split('/').map(|part| part.split_once(':').expect("partition:brokers"));
    pairs.map(|(index, brokers)| (index.parse().expect("a number"), numbers(brokers))).collect()
}

fn numbers(text: &str) -> Vec<i32> {
    text.split(',')
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().expect("a number"))
        .collect()
}

fn delete_topics(items: &[Words<'_>]) -> DeleteTopics {
    let topics = items.iter().map(|item| match item.name(0).starts_with('#') {
        true => TopicRef::Id(made(item.0[0])),
        false => TopicRef::Name(item.name(0)),
    });
    DeleteTopics { topics: topics.collect() }
}

fn create_partitions(words: &Words<'_>, items: &[Words<'_>]) -> CreatePartitions {
    let topics = items.iter().map(|item| NewPartitions {
        topic: item.name(0),
        count: item.number("count").expect("count"),
        assignments: item.value("assign").map(|text| text.split('/').map(numbers).collect()),
    });
    CreatePartitions { topics: topics.collect(), validate_only: words.has("validate-only") }
}

fn resource(item: &Words<'_>) -> ConfigResource {
    let kind = match item.0[0] {
        "topic" => ResourceKind::Topic,
        "broker" => ResourceKind::Broker,
        "group" => ResourceKind::Group,
        "client-metrics" => ResourceKind::ClientMetrics,
        other => panic!("no such kind of resource: {other}"),
    };
    ConfigResource { kind, name: item.name(1) }
}

fn alter_configs(words: &Words<'_>, items: &[Words<'_>]) -> AlterConfigs {
    let verbs = [
        ("set", ConfigOperation::Set),
        ("delete", ConfigOperation::Delete),
        ("append", ConfigOperation::Append),
        ("subtract", ConfigOperation::Subtract),
    ];
    let resources = items.iter().map(|item| {
        let changes = verbs.iter().flat_map(|(verb, operation)| {
            item.keys(verb).map(|(key, value)| KeyChange { key, operation: *operation, value })
        });
        ResourceChanges { resource: resource(item), changes: changes.collect() }
    });
    AlterConfigs { resources: resources.collect(), validate_only: words.has("validate-only") }
}

fn replace_configs(words: &Words<'_>, items: &[Words<'_>]) -> ReplaceConfigs {
    let resources = items
        .iter()
        .map(|item| ResourceValues { resource: resource(item), values: item.keys("set").collect() });
    ReplaceConfigs { resources: resources.collect(), validate_only: words.has("validate-only") }
}
