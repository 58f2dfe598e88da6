//! The driver, fed by the metadata of a quorum of one.

use super::*;
use crate::cluster::controller::{Command, CreateTopics, NewTopic, Policy, RegisterBroker, UnfenceBroker};
use crate::cluster::{Alone, Metadata, MetadataMachine, Seat};
use crate::partition::driver;
use raft::{Lane, Quorum, Settings};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Decides alone, and gives each topic the one id.
async fn controller() -> Metadata {
    let settings = Settings { lane: Lane::Inline, ..Settings::new(1, "/meta") };
    let (machine, images) = MetadataMachine::new();
    let disk = Arc::new(FaultDisk::new(1));
    let quorum = Quorum::start(settings, disk, Box::new(machine), raft::Alone).await.unwrap();
    quorum.initialize(BTreeMap::from([(1, String::new())])).await.unwrap();
    quorum.status().wait_for(|status| status.leader_ready).await.unwrap();
    let policy = Policy { config: BrokerConfig::default(), max_partitions_per_request: 10 };
    let seat = Seat { node: ME, policy, clock: Clock::start(), fresh_id: Box::new(|| TOPIC) };
    Metadata::start(quorum, images, seat, Arc::new(Alone))
}

async fn submit<C: Command>(metadata: &Metadata, command: C) -> C::Answer {
    metadata.submit(command).await.unwrap()
}

/// Has a process of broker 1 serve.
async fn register(metadata: &Metadata, incarnation: u128) {
    let register = RegisterBroker {
        id: ME,
        incarnation: Uuid::from_u128(incarnation),
        listeners: vec![],
        rack: None,
        directories: vec![Uuid::from_u128(1)],
        features: vec![],
        boot_id: String::new(),
        clean_start: true,
    };
    let epoch = submit(metadata, register).await;
    submit(metadata, UnfenceBroker { id: ME, epoch }).await;
}

async fn create(metadata: &Metadata, name: &str) {
    let topic = NewTopic { name: name.into(), partitions: 1, replication_factor: 1, ..NewTopic::default() };
    let made = submit(metadata, CreateTopics { topics: vec![topic], validate_only: false }).await;
    assert_eq!(made[0].1.as_ref().map(|made| made.id), Ok(TOPIC));
}

/// What an image tells that is older than this process says nothing of what is on its disks.
///
/// ```text
///   images   nobody ─► the process before this one ─► its topic ─► this process
///   driver   does nothing                                       ─► opens the topic's log
/// ```
#[tokio::test(start_paused = true)]
async fn nothing_is_put_aside_by_an_image_from_before_this_process_registered() {
    let disk = Arc::new(FaultDisk::new(30));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    append(&life.replica(TOPIC), "precious").unwrap();
    drop(life);

    let Life { reconciler, table, dirs: _dirs, roles: _roles, doomed: _doomed } = Life::begin(&disk);
    let (metadata, (_stop, stopping)) = (controller().await, watch::channel(false));
    let (me, clock) = (Uuid::from_u128(2), Clock::start());
    tokio::spawn(driver::run(reconciler, metadata.clone(), ME, me, clock, stopping));
    register(&metadata, 1).await;
    create(&metadata, "orders").await;
    register(&metadata, 2).await;
    table.caught_up(metadata.image().applied.index).await;
    let replica = table.get(TopicPartition { topic: TOPIC, partition: 0 }).unwrap();
    assert_eq!(append(&replica, "next"), Ok(1), "the log goes on where it was");
}
