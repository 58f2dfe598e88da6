//! The live handle over real quorums: of one, on a disk that loses power, and of two that are cut off from each other.

use super::change::{Change, ConfigSet};
use super::controller::*;
use super::image::{ConfigResource, Image};
use super::{Metadata, MetadataMachine, Seat};
use crate::config::BrokerConfig;
use crate::seam::Clock;
use crate::types::{ErrorCode, Uuid};
use bytes::Bytes;
use parking_lot::Mutex;
use raft::{Alone, Lane, Peer, Quorum, Settings, Transport, Unreachable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::Disk;
use storage::disk::fault::FaultDisk;

struct Node {
    quorum: Quorum,
    metadata: Metadata,
}

impl Node {
    async fn start(disk: Arc<dyn Disk>) -> Node {
        Node::member(1, disk, Alone).await
    }

    async fn member(id: u64, disk: Arc<dyn Disk>, transport: impl Transport) -> Node {
        let settings = Settings {
            lane: Lane::Inline,
            snapshot_entries: 40,
            keep_entries: 5,
            ..Settings::new(id, "/meta")
        };
        let (machine, images) = MetadataMachine::new();
        let started = Quorum::start(settings, disk, Box::new(machine), transport).await;
        let quorum = started.expect("a working disk");
        let policy = Policy { config: BrokerConfig::default(), max_partitions_per_request: 10_000 };
        let seat = Seat { node: 1, policy, clock: Clock::start(), fresh_id: Box::new(Uuid::new_v4) };
        let metadata = Metadata::start(quorum.clone(), images, seat, Arc::new(super::Alone));
        Node { quorum, metadata }
    }

    /// Starts, for the first time or again, and waits until it may decide.
    async fn lead(disk: Arc<dyn Disk>) -> Node {
        let node = Node::start(disk).await;
        if node.quorum.is_empty() {
            node.quorum.initialize(BTreeMap::from([(1, String::new())])).await.expect("an empty log");
        }
        node.quorum.status().wait_for(|status| status.leader_ready).await.expect("a running quorum");
        node
    }

    /// Has broker 1 serve.
    async fn join(&self, incarnation: u128) -> i64 {
        let register = RegisterBroker {
            id: 1,
            incarnation: Uuid::from_u128(incarnation),
            listeners: Vec::new(),
            rack: None,
            directories: vec![Uuid::from_u128(7)],
            features: Vec::new(),
            boot_id: "boot".into(),
            clean_start: true,
        };
        let epoch = self.metadata.submit(register).await.expect("a controller");
        self.metadata.submit(UnfenceBroker { id: 1, epoch }).await.expect("the newest epoch");
        epoch
    }

    async fn create(&self, name: &str) -> Result<(), ErrorCode> {
        let topic =
            NewTopic { name: name.into(), partitions: 2, replication_factor: 1, ..NewTopic::default() };
        let command = CreateTopics { topics: vec![topic], validate_only: false };
        let answers = self.metadata.submit(command).await?;
        let created =
            answers.into_iter().next().expect("an answer for each").1.map_err(|refusal| refusal.code)?;
        // This node's image shows what it answers.
        let image = self.metadata.image();
        assert_eq!(image.topics.by_id(created.id).map(|topic| topic.name.as_str()), Some(name));
        assert!(Arc::ptr_eq(&image, &self.metadata.watch().borrow()));
        Ok(())
    }
}

/// What lies between members, until it is cut.
#[derive(Clone, Default)]
struct Link {
    ends: Arc<Mutex<BTreeMap<u64, Quorum>>>,
}

impl Link {
    fn cut(&self) {
        self.ends.lock().clear();
    }
}

impl Transport for Link {
    async fn call(&self, to: &Peer, request: Bytes, _limit: Duration) -> Result<Bytes, Unreachable> {
        let there = self.ends.lock().get(&to.id).cloned();
        let unreachable = || Unreachable { id: to.id, why: "cut off".into() };
        there.ok_or_else(unreachable)?.answer(request).await.ok_or_else(unreachable)
    }
}

/// The first of two voters, which leads.
async fn lead_another(link: &Link) -> Node {
    let mut nodes = vec![];
    for id in [1, 2] {
        let node = Node::member(id, Arc::new(FaultDisk::new(id)), link.clone()).await;
        link.ends.lock().insert(id, node.quorum.clone());
        nodes.push(node);
    }
    let node = nodes.swap_remove(0);
    node.quorum.initialize([1, 2].map(|id| (id, String::new())).into()).await.expect("an empty log");
    node.quorum.status().wait_for(|status| status.leader_ready).await.expect("a running quorum");
    node
}

fn names(image: &Image) -> Vec<String> {
    image.topics.iter().map(|topic| topic.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_there_after_power_loss() {
    let disk = FaultDisk::new(11);
    let mut expected = Vec::new();
    let mut last_epoch = 0;
    for life in 1..5 {
        let node = Node::lead(Arc::new(disk.clone())).await;
        let formed =
            node.metadata.submit(FormCluster { cluster_id: format!("c{life}"), features: vec![] }).await;
        assert_eq!(formed.as_deref(), Ok("c1"));
        let epoch = node.join(life).await;
        assert!(epoch > last_epoch);
        last_epoch = epoch;
        for topic in 0..30 {
            expected.push(format!("t{life}-{topic:02}"));
            assert_eq!(node.create(expected.last().expect("pushed")).await, Ok(()));
        }
        assert_eq!(names(&node.metadata.image()), expected);
        assert_eq!(node.create(&expected[0]).await, Err(ErrorCode::TopicAlreadyExists));
        disk.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_together_shares_an_entry() {
    let node = Node::lead(Arc::new(FaultDisk::new(1))).await;
    node.join(1).await;
    let before = node.metadata.image().applied.index;
    let names: Vec<_> = (0..200).map(|topic| format!("t{topic}")).collect();
    let created = futures_util::future::join_all(names.iter().map(|name| node.create(name))).await;
    assert!(created.iter().all(Result::is_ok));
    let image = node.metadata.image();
    assert_eq!(image.topics.len(), 200);
    assert!(image.applied.index - before < 5, "{} entries", image.applied.index - before);
}

/// Decides upon more than an entry holds.
#[derive(Clone, Serialize, Deserialize)]
struct Huge;

impl super::forward::Numbered for Huge {
    const KIND: u16 = 60_000;
    const VERSION: u8 = 1;
}

impl Command for Huge {
    type Answer = ();

    fn decide(&self, _image: &Image, _inputs: &mut Inputs<'_>) -> Decision<()> {
        let (resource, key) = (ConfigResource::topic("t"), "key".into());
        Ok((vec![Change::ConfigSet(ConfigSet { resource, key, value: "x".repeat(17 << 20) })], ()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_an_entry_harms_only_itself() {
    let node = Node::lead(Arc::new(FaultDisk::new(1))).await;
    node.join(1).await;
    let (before, huge, after) = tokio::join!(node.create("a"), node.metadata.submit(Huge), node.create("b"));
    assert_eq!((before, huge, after), (Ok(()), Err(ErrorCode::PolicyViolation), Ok(())));
    assert_eq!(names(&node.metadata.image()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_lead_says_so() {
    let node = Node::start(Arc::new(FaultDisk::new(1))).await;
    assert_eq!(node.create("t").await, Err(ErrorCode::NotController));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_quorum_is_no_controller() {
    let node = Node::lead(Arc::new(FaultDisk::new(1))).await;
    node.join(1).await;
    node.quorum.clone().shutdown().await;
    assert_eq!(node.create("t").await, Err(ErrorCode::NotController));
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_written() {
    let node = Node::lead(Arc::new(FaultDisk::new(1))).await;
    let epoch = node.join(1).await;
    let before = node.metadata.image();
    node.metadata.submit(UnfenceBroker { id: 1, epoch }).await.expect("no news");
    let resource = ConfigResource::topic("missing");
    let resources = vec![ResourceValues { resource, values: Vec::new() }];
    let answers = node.metadata.submit(ReplaceConfigs { resources, validate_only: false }).await;
    assert!(answers.expect("decided")[0].1.is_err());
    assert!(Arc::ptr_eq(&before, &node.metadata.image()));
}

#[derive(Clone, Serialize, Deserialize)]
struct Mistaken;

impl super::forward::Numbered for Mistaken {
    const KIND: u16 = 60_001;
    const VERSION: u8 = 1;
}

impl Command for Mistaken {
    type Answer = ();

    fn decide(&self, _: &Image, _: &mut Inputs<'_>) -> Decision<()> {
        panic!("a mistake in a decision");
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_panics_fails_alone() {
    let node = Node::lead(Arc::new(FaultDisk::new(1))).await;
    node.join(1).await;
    assert_eq!(node.metadata.submit(Mistaken).await, Err(ErrorCode::UnknownServerError));
    assert_eq!(node.create("t").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_cut_off_answers_nothing_even_where_nothing_changes() {
    let link = Link::default();
    let node = lead_another(&link).await;
    node.join(1).await;
    node.create("t").await.expect("a majority");
    let elect =
        || node.metadata.submit(ElectLeaders { unclean: false, partitions: Some(vec![("t".into(), 0)]) });
    let not_needed = Err(Code(ErrorCode::ElectionNotNeeded));
    assert_eq!(elect().await, Ok(vec![("t".into(), 0, not_needed)]));
    link.cut();
    assert_eq!(elect().await, Err(ErrorCode::NotController));
}
