//! The golden log: what a release wrote, every later one must read to the same effect.
//!
//! Each `tests/data/metadata-log-N.txt` holds an entry in hex on each line, then a snapshot of the result. When a new
//! version of a change is introduced, its bytes go to a new file with a number of its own; the others stay as they are.

use super::change::*;
use super::image::*;
use crate::types::{BrokerId, Uuid};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

fn file(number: usize) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/metadata-log-{number}.txt"))
}

/// What each file holds, from number 1 on.
fn files() -> impl Iterator<Item = (PathBuf, Vec<(Position, Entry)>)> {
    [changes(), moves(), blanks(), failures()]
        .into_iter()
        .enumerate()
        .map(|(place, changes)| (file(place + 1), entries(changes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(pair).collect()
}

fn broker(id: BrokerId) -> Broker {
    Broker {
        id,
        incarnation: Uuid::from_u128(0x1c),
        epoch: 2,
        listeners: vec![Listener {
            name: "CLIENTS".into(),
            host: "one.example".into(),
            port: 9092,
            protocol: 3,
        }],
        rack: Some("a".into()),
        directories: vec![Uuid::from_u128(0xd1), Uuid::from_u128(0xd2)],
        features: vec![Feature { name: "group.version".into(), min: 0, max: 1 }],
        fenced: true,
        shutting_down: false,
        boot_id: "boot".into(),
        failed: vec![],
    }
}

fn partition(index: i32) -> PartitionImage {
    PartitionImage {
        index,
        replicas: vec![
            Replica { broker: 1, directory: Uuid::from_u128(0xd1) },
            Replica { broker: 300, directory: Uuid::nil() },
        ],
        isr: vec![1],
        elr: vec![300],
        leader: (index == 0).then_some(1),
        last_known_leader: (index == 1).then_some(300),
        leader_epoch: 5,
        partition_epoch: 70_000,
        adding: vec![],
        removing: vec![],
        released: vec![],
        blank: vec![],
    }
}

/// Partitions of which replicas move, and have moved.
fn moves() -> Vec<Vec<Change>> {
    let topic = Uuid::from_u128(0xa1);
    let created = Change::TopicCreated(TopicCreated { id: topic, name: "orders".into() });
    let moving = PartitionImage { adding: vec![300], removing: vec![1], ..partition(0) };
    let old = Replica { broker: 7, directory: Uuid::from_u128(0xd7) };
    let moved = PartitionImage { released: vec![old], ..partition(1) };
    let changed = |partition| Change::PartitionChanged(PartitionChanged { topic, partition });
    vec![vec![created, changed(moving)], vec![changed(moved)]]
}

/// A partition with a replica that has never been in sync.
fn blanks() -> Vec<Vec<Change>> {
    let topic = Uuid::from_u128(0xa1);
    let created = Change::TopicCreated(TopicCreated { id: topic, name: "orders".into() });
    let partition = PartitionImage { elr: vec![], blank: vec![300], ..partition(0) };
    vec![vec![created, Change::PartitionChanged(PartitionChanged { topic, partition })]]
}

/// A broker of which a directory failed.
fn failures() -> Vec<Vec<Change>> {
    let (directories, failed) = (vec![Uuid::from_u128(0xd1)], vec![Uuid::from_u128(0xd2)]);
    vec![vec![Change::BrokerRegistered(Broker { directories, failed, ..broker(1) })]]
}

fn set(kind: ResourceKind, name: &str, key: &str) -> Change {
    let (resource, key) = (ConfigResource { kind, name: name.into() }, key.into());
    Change::ConfigSet(ConfigSet { resource, key, value: "1000".into() })
}

/// Every kind of change, in an order in which they can be.
fn changes() -> Vec<Vec<Change>> {
    let (orders, gone) = (Uuid::from_u128(0xa1), Uuid::from_u128(0xa2));
    let resource = ConfigResource::topic("orders");
    vec![
        vec![
            Change::ClusterFormed(ClusterFormed { cluster_id: "4L6g3nShT-eMCtK--X86sw".into() }),
            Change::ControllerElected(ControllerElected { node: 1 }),
            Change::FeatureLevel(FeatureLevel { name: "metadata.version".into(), level: 29 }),
        ],
        vec![Change::BrokerRegistered(broker(1)), Change::BrokerRegistered(broker(300))],
        vec![Change::BrokerFencingChanged(BrokerFencingChanged {
            broker: 1,
            fenced: false,
            shutting_down: true,
        })],
        vec![
            Change::TopicCreated(TopicCreated { id: orders, name: "orders".into() }),
            Change::PartitionChanged(PartitionChanged { topic: orders, partition: partition(0) }),
            Change::PartitionChanged(PartitionChanged { topic: orders, partition: partition(1) }),
            Change::TopicCreated(TopicCreated { id: gone, name: "gone".into() }),
        ],
        vec![Change::TopicDeleted(TopicDeleted { id: gone, held_by: vec![1, 300] })],
        vec![Change::DeletionConfirmed(DeletionConfirmed { id: gone, broker: 300 })],
        vec![
            set(ResourceKind::Topic, "orders", "retention.ms"),
            set(ResourceKind::Topic, "orders", "segment.ms"),
            set(ResourceKind::Broker, "", "log.retention.ms"),
            set(ResourceKind::Group, "g", "consumer.session.timeout.ms"),
            set(ResourceKind::ClientMetrics, "m", "interval.ms"),
        ],
        vec![Change::ConfigRemoved(ConfigRemoved { resource, key: "segment.ms".into() })],
        vec![Change::ProducerIdsAllocated(ProducerIdsAllocated { next: 3_000_000_000 })],
        vec![Change::BrokerUnregistered(BrokerUnregistered { broker: 300 })],
    ]
}

/// Entries, each at its index, with a hole where the quorum had one of its own.
fn entries(changes: Vec<Vec<Change>>) -> Vec<(Position, Entry)> {
    let index = |place: usize| if place < 3 { place as u64 + 1 } else { place as u64 + 2 };
    let entry = |(place, changes): (usize, Vec<Change>)| {
        let predecessor = place.checked_sub(1).map_or(0, index);
        (Position { index: index(place), term: 7 }, Entry { term: 7, predecessor, changes })
    };
    changes.into_iter().enumerate().map(entry).collect()
}

fn replay<'a>(entries: impl Iterator<Item = &'a (Position, Entry)>) -> Image {
    let mut image = Image::default();
    for (at, entry) in entries {
        assert_eq!(image.apply_entry(*at, entry), Ok(Ok(())));
    }
    image
}

fn snapshot(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_snapshot(&mut bytes).expect("memory");
    bytes
}

#[test]
fn what_is_written_today_is_what_was_written() {
    for (file, entries) in files() {
        let last = snapshot(&replay(entries.iter()));
        let lines = entries.iter().map(|(_, entry)| entry.encode()).chain([last]);
        let text: String = lines.map(|bytes| hex(&bytes) + "\n").collect();
        if std::env::var_os("WRITE_GOLDEN_LOG").is_some() {
            fs::write(&file, &text).expect("a writable tree");
        }
        assert_eq!(fs::read_to_string(file).expect("the golden log"), text);
    }
}

#[test]
fn what_was_written_still_means_the_same() {
    for (file, entries) in files() {
        let text = fs::read_to_string(file).expect("the golden log");
        let mut lines: Vec<_> = text.lines().map(bytes).collect();
        let old_snapshot = lines.pop().expect("a snapshot");
        assert_eq!(lines.len(), entries.len());
        let read = lines.iter().map(|line| Entry::decode(line).expect("an entry"));
        let read: Vec<_> = entries.iter().map(|(at, _)| *at).zip(read).collect();
        assert_eq!(replay(read.iter()), replay(entries.iter()));
        assert_eq!(Image::read_snapshot(&old_snapshot).expect("a snapshot"), replay(entries.iter()));
    }
}

/// Number and version that a change is written with.
fn kind(change: &Change) -> (u16, u8) {
    let mut bytes = Vec::new();
    change.encode(&mut bytes);
    (u16::from_be_bytes([bytes[0], bytes[1]]), bytes[2])
}

#[test]
fn every_kind_is_in_the_golden_log_with_its_newest_version() {
    let mut kinds = BTreeMap::new();
    for change in [changes(), moves(), blanks(), failures()].concat().iter().flatten() {
        let (kind, version) = kind(change);
        let newest: &mut u8 = kinds.entry(kind).or_default();
        *newest = version.max(*newest);
    }
    assert_eq!(kinds, Change::KINDS.iter().copied().collect());
}

/// What the first release reads, and so every node of a cluster whose `drave.version` is 1. A node of it stops at anything
/// else: what is added to the table later belongs to a higher level, and is written only where that is finalised. The lower
/// versions of these kinds are not for older releases, of which there are none: they are shorter.
const LEVEL_1: &[(u16, u8)] = &[
    (1, 1),
    (2, 1),
    (3, 2),
    (4, 1),
    (5, 1),
    (6, 1),
    (7, 3),
    (8, 1),
    (9, 1),
    (10, 1),
    (11, 1),
    (12, 1),
    (13, 1),
];

#[test]
fn nothing_is_written_that_a_node_at_the_first_level_cannot_read() {
    assert_eq!(Change::KINDS, LEVEL_1, "a newer encoding needs a level of drave.version of its own");
}
