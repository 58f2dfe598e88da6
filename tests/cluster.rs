//! Three nodes in processes of their own: what is acknowledged stays, whoever dies.

mod support;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{BrokerId, FetchRequest, MetadataResponse};
use rustix::process::Signal;
use std::io;
use std::time::{Duration, Instant};
use support::cluster::Cluster;
use support::kafka::skipped;
use support::process::poll;
use support::small_disk::SmallDisk;
use support::survivors::{self, Survivors};
use support::wire::{PRODUCE_BY_NAME, Wire, batch_of, producing};
use tempfile::TempDir;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(300_000);
/// Within so long who is up again and missed little is in sync.
const REJOINED: Duration = Duration::from_millis(2000);
const TOPIC: &str = "orders";

fn partition(metadata: &MetadataResponse) -> Option<(i32, Vec<i32>)> {
    let partition = metadata.topics.first()?.partitions.first()?;
    Some((partition.leader_id.0, partition.isr_nodes.iter().map(|id| id.0).collect()))
}

/// Another node than `one`.
fn other(one: i32) -> i32 {
    one % 3 + 1
}

fn leader(cluster: &Cluster, ask: i32, not: i32) -> i32 {
    cluster.until(ask, TOPIC, "a leader", |metadata| {
        partition(metadata).map(|(leader, _)| leader).filter(|leader| *leader > 0 && *leader != not)
    })
}

fn controller(cluster: &Cluster, ask: i32, not: i32) -> i32 {
    cluster.until(ask, TOPIC, "a controller", |metadata| {
        Some(metadata.controller_id.0).filter(|id| *id > 0 && *id != not)
    })
}

fn whole_isr(cluster: &Cluster, ask: i32) {
    cluster.until(ask, TOPIC, "all in sync", |metadata| {
        partition(metadata).filter(|(_, isr)| isr.len() == 3).map(drop)
    });
}

#[test]
fn every_node_takes_commands_and_shows_what_became_of_them() {
    let mut cluster = Cluster::start(3, &[]);
    for node in 1..=3 {
        let topic = format!("made-by-{node}");
        Wire::connect(&cluster.node(node).address()).create_topic(&topic, 3);
        for shown_by in 1..=3 {
            cluster.until(shown_by, &topic, "the new topic", |metadata| {
                (metadata.topics.first()?.partitions.len() == 3).then_some(())
            });
        }
        let brokers = cluster.metadata(node, &topic).brokers.len();
        assert_eq!(brokers, 3);
    }
}

/// From these versions on an answer says who leads.
const FETCH_TELLS_LEADER: i16 = 16;
const PRODUCE_TELLS_LEADER: i16 = 10;
const NOT_LEADER: i16 = 6;
const FENCED: i16 = 74;

#[test]
fn who_asks_the_wrong_broker_or_with_an_old_epoch_is_told_who_leads() {
    // One of the three has no replica.
    let mut cluster = Cluster::start(3, &[("default.replication.factor", "2")]);
    let topic = Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let leads = leader(&cluster, 1, 0);
    is_told_where_to_produce(&mut cluster, other(leads), leads, 0);
    is_told_where_to_produce(&mut cluster, other(other(leads)), leads, 0);
    cluster.node(leads).kill9();
    let leads = leader(&cluster, other(leads), leads);
    let another = (1..=3).find(|node| *node != leads && cluster.node(*node).pid().is_some()).unwrap();
    is_told_where_to_produce(&mut cluster, another, leads, 1);
    for (asked, epoch, expected) in [(another, -1, NOT_LEADER), (leads, 0, FENCED)] {
        let partition = FetchPartition::default().with_current_leader_epoch(epoch);
        let asked_for = FetchTopic::default().with_topic_id(topic).with_partitions(vec![partition]);
        let request = FetchRequest::default().with_max_bytes(1).with_topics(vec![asked_for]);
        let hinted = poll(LIMIT, || {
            let mut wire = Wire::connect(&cluster.node(asked).address());
            let answer = wire.call(FETCH_TELLS_LEADER, &request);
            let partition = &answer.responses[0].partitions[0];
            let hint = (partition.error_code, partition.current_leader.leader_id);
            let told = (hint == (expected, BrokerId(leads))).then(|| answer.node_endpoints.clone());
            told.filter(|_| partition.current_leader.leader_epoch > 0)
        });
        let endpoints = hinted.expect("a hint");
        let address = format!("{}:{}", endpoints[0].host.as_str(), endpoints[0].port);
        assert_eq!((endpoints.len(), address), (1, cluster.node(leads).address()));
    }
}

/// Once it knows it, `asked` says who leads, in an epoch that is not older than `epoch`, and where that is.
fn is_told_where_to_produce(cluster: &mut Cluster, asked: i32, leads: i32, epoch: i32) {
    let address = cluster.node(asked).address();
    for version in PRODUCE_TELLS_LEADER..=PRODUCE_BY_NAME {
        let endpoints = poll(LIMIT, || {
            let answer =
                Wire::connect(&address).call(version, &producing(TOPIC, 0, batch_of(b"led elsewhere")));
            let partition = &answer.responses[0].partition_responses[0];
            let hint = (partition.error_code, partition.current_leader.leader_id);
            let is_new = partition.current_leader.leader_epoch >= epoch;
            (hint == (NOT_LEADER, BrokerId(leads)) && is_new).then_some(answer.node_endpoints)
        });
        let endpoints = endpoints.unwrap_or_else(|| panic!("{asked} does not say that {leads} leads"));
        let told: Vec<_> = endpoints.iter().map(|one| (one.node_id, one.host.as_str(), one.port)).collect();
        let port = i32::from(cluster.node(leads).port());
        assert_eq!(told, [(BrokerId(leads), "127.0.0.1", port)], "version {version}");
    }
}

#[test]
fn what_was_acknowledged_outlives_its_leader_and_the_controller() {
    let mut cluster = Cluster::start(3, &[]);
    let mut wire = Wire::connect(&cluster.node(1).address());
    wire.create_topic(TOPIC, 1);
    wire.create_topic("beside", 12);
    let mut next = 0;
    for round in 0..4 {
        let killed = if round % 2 == 0 { leader(&cluster, 1, 0) } else { controller(&cluster, 1, 0) };
        let witness = other(killed);
        for _ in 0..10 {
            next = acknowledged(&mut cluster, witness, 0, next);
        }
        cluster.node(killed).kill9();
        controller(&cluster, witness, if round % 2 == 0 { 0 } else { killed });
        next = acknowledged(&mut cluster, witness, killed, next);
        cluster.until_all(witness, "it is out of sync", |all| all.iter().all(|one| !in_sync(one, killed)));
        cluster.node(killed).restart();
        let ready = Instant::now();
        cluster.until_whole();
        let took = ready.elapsed();
        assert!(took < REJOINED, "in sync only {took:?} after it was ready");
    }
}

/// Produces to whoever leads until that is acknowledged; what was before stands before it. Returns where the next goes.
fn acknowledged(cluster: &mut Cluster, witness: i32, dead: i32, next: i64) -> i64 {
    let offset = poll(LIMIT, || {
        let leads = leader(cluster, witness, dead);
        // A leader that has just been elected may not know it yet.
        Wire::reach(&cluster.node(leads).address()).ok()?.produce(TOPIC, 0, batch_of(b"value")).ok()
    });
    let offset = offset.expect("an acknowledgement");
    assert!(offset >= next, "{offset} instead of {next} or more");
    offset + 1
}

/// What a producer is told that waited in vain: by a leader that takes enough to be in sync, by one that does not any more,
/// and by one that did not when it was asked.
const TIMED_OUT: i16 = 7;
const TOO_FEW_AFTERWARDS: i16 = 20;
const TOO_FEW: i16 = 19;

/// Produces with acks=all and so much patience; returns the error code.
fn refused(wire: &mut Wire, patience: Duration) -> i16 {
    let request = producing(TOPIC, 0, batch_of(b"refused")).with_timeout_ms(patience.as_millis() as i32);
    let answer = wire.call(PRODUCE_BY_NAME, &request);
    answer.responses[0].partition_responses[0].error_code
}

#[test]
fn too_few_in_sync_acknowledge_nothing() {
    let mut cluster = Cluster::start(3, &[]);
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let leads = leader(&cluster, 1, 0);
    let (first, second) = (other(leads), other(other(leads)));
    assert_eq!(acknowledged(&mut cluster, leads, 0, 0), 1);
    let mut wire = Wire::connect(&cluster.node(leads).address());
    cluster.node(first).kill9();
    cluster.until(leads, TOPIC, "two in sync", |metadata| {
        partition(metadata).filter(|(_, isr)| isr.len() == 2).map(drop)
    });
    assert_eq!(wire.produce(TOPIC, 0, batch_of(b"value")).unwrap(), 1);
    cluster.node(second).kill9();
    // Nobody is left to decide that fewer are in sync.
    assert_eq!(refused(&mut wire, Duration::from_millis(500)), TIMED_OUT, "one copy is too few");
    cluster.node(first).restart();
    cluster.node(second).restart();
    whole_isr(&cluster, leads);
}

#[test]
fn a_producer_is_told_whether_too_few_were_in_sync_before_or_after_its_append() {
    // Two replicas, and three who decide whether both are in sync.
    let mut cluster = Cluster::start(3, &[("default.replication.factor", "2")]);
    let topic = Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let leads = leader(&cluster, 1, 0);
    let follows = cluster.until(leads, TOPIC, "who follows", |metadata| {
        partition(metadata)?.1.into_iter().find(|id| *id != leads)
    });
    assert_eq!(acknowledged(&mut cluster, leads, 0, 0), 1);
    let mut wire = Wire::connect(&cluster.node(leads).address());
    cluster.node(follows).signal(Signal::STOP);
    // Long enough that the follower is put out meanwhile, which stood still just now.
    assert_eq!(refused(&mut wire, Duration::from_millis(6000)), TOO_FEW_AFTERWARDS);
    assert_eq!(refused(&mut wire, Duration::from_millis(6000)), TOO_FEW);
    assert!(wire.fetch(topic, 0, 1).unwrap().is_empty(), "nothing is shown that is not acknowledged");
    cluster.node(follows).signal(Signal::CONT);
    // One of the two was appended, and counts as soon as enough have it.
    assert_eq!(acknowledged(&mut cluster, leads, 0, 2), 3);
}

#[test]
fn a_node_that_lost_its_disks_gets_its_partitions_again() {
    let mut cluster = Cluster::start(3, &[]);
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let wiped = leader(&cluster, 1, 0);
    let witness = other(wiped);
    let mut next = 0;
    for _ in 0..10 {
        next = acknowledged(&mut cluster, witness, 0, next);
    }
    cluster.node(wiped).kill9();
    std::fs::remove_dir_all(cluster.node(wiped).data()).unwrap();
    leader(&cluster, witness, wiped);
    cluster.node(wiped).restart();
    whole_isr(&cluster, witness);
    // An acknowledgement of all in sync: from here on the copies are alike.
    acknowledged(&mut cluster, witness, 0, next);
    let mut copy = |node| {
        let log = format!("{TOPIC}-0/00000000000000000000.log");
        std::fs::read(cluster.node(node).data().join(log)).unwrap()
    };
    let copied = copy(wiped);
    assert!(copied.len() > 10 && copied == copy(witness), "two copies differ");
}

#[test]
fn clients_lose_double_and_reorder_nothing_while_nodes_go() {
    let Some(python) = survivors::python() else {
        return skipped("DRAVE_PYTHON does not name a Python with Kafka clients");
    };
    let mut cluster = Cluster::start(3, &[]);
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let survivors = Survivors::start(&python, &cluster.bootstrap());
    for (name, mishap) in MISHAPS {
        survivors.endure(name, || mishap(&mut cluster));
    }
    survivors.end();
}

type Mishap = (&'static str, fn(&mut Cluster));

const MISHAPS: &[Mishap] = &[
    ("a leader dies", |cluster| {
        let leads = leader(cluster, 1, 0);
        cluster.node(leads).kill9();
        leader(cluster, other(leads), leads);
        cluster.node(leads).restart();
        whole_isr(cluster, leads);
    }),
    ("the controller dies", |cluster| {
        let decides = controller(cluster, 1, 0);
        cluster.node(decides).kill9();
        controller(cluster, other(decides), decides);
        cluster.node(decides).restart();
        whole_isr(cluster, decides);
    }),
    ("a leader stands still until it is replaced", |cluster| {
        let leads = leader(cluster, 1, 0);
        cluster.node(leads).signal(Signal::STOP);
        leader(cluster, other(leads), leads);
        cluster.node(leads).signal(Signal::CONT);
        whole_isr(cluster, other(leads));
    }),
    ("each is restarted in turn", |cluster| {
        for node in 1..=3 {
            assert!(cluster.node(node).terminate().success());
            cluster.node(node).restart();
            whole_isr(cluster, node);
        }
    }),
    ("two die at once", |cluster| {
        [1, 2].into_iter().for_each(|node| cluster.node(node).kill9());
        [1, 2].into_iter().for_each(|node| cluster.node(node).begin());
        [1, 2].into_iter().for_each(|node| cluster.node(node).await_ready());
        whole_isr(cluster, 3);
    }),
    ("all die at once", |cluster| {
        (1..=3).for_each(|node| cluster.node(node).kill9());
        (1..=3).for_each(|node| cluster.node(node).begin());
        (1..=3).for_each(|node| cluster.node(node).await_ready());
    }),
];

/// Two log directories of each node, on disks of their own. The first holds its metadata too.
struct Disks {
    first: Vec<SmallDisk>,
    second: Vec<SmallDisk>,
    folder: TempDir,
}

impl Disks {
    fn mount() -> io::Result<Disks> {
        let folder = tempfile::tempdir()?;
        let mount = |name: &str| -> io::Result<Vec<SmallDisk>> {
            (1..=3).map(|id| SmallDisk::mount(folder.path().join(format!("{id}/{name}")))).collect()
        };
        Ok(Disks { first: mount("first")?, second: mount("second")?, folder })
    }

    /// For `log.dirs`.
    fn dirs(&self) -> String {
        let dir = |name| format!("{}/{{id}}/{name}/data", self.folder.path().display());
        [dir("first"), dir("second")].join(",")
    }

    fn first(&self, node: i32) -> &SmallDisk {
        &self.first[node as usize - 1]
    }

    fn second(&self, node: i32) -> &SmallDisk {
        &self.second[node as usize - 1]
    }
}

#[test]
fn clients_lose_double_and_reorder_nothing_while_disks_are_full() {
    let Some(python) = survivors::python() else {
        return skipped("DRAVE_PYTHON does not name a Python with Kafka clients");
    };
    let disks = match Disks::mount() {
        Ok(disks) => disks,
        Err(error) => return skipped(&format!("this process may not mount disks that it can fill: {error}")),
    };
    let mut cluster = Cluster::start(3, &[("log.dirs", &disks.dirs())]);
    Wire::connect(&cluster.node(1).address()).create_topic(TOPIC, 1);
    let full = leader(&cluster, 1, 0);
    let survivors = Survivors::start(&python, &cluster.bootstrap());
    survivors.endure("nothing", || cluster.until_whole());
    survivors.endure("one of two disks is full", || {
        disks.second(full).fill();
        cluster.until_all(other(full), "others lead what was there", |all| are_led_elsewhere(all, full));
        assert!(cluster.node(full).log().contains("log directory goes offline"));
        cluster.until_all(full, "the rest is in sync", |all| all.iter().any(|one| in_sync(one, full)));
    });
    survivors.endure("it has room again, and the node is restarted", || {
        disks.second(full).make_room();
        assert!(cluster.node(full).terminate().success());
        cluster.node(full).restart();
        cluster.until_whole();
    });
    survivors.endure("both disks are full", || {
        disks.first(full).fill();
        disks.second(full).fill();
        ends_by_itself(&mut cluster, full);
    });
    survivors.endure("the node is started while they are", || {
        cluster.node(full).begin();
        ends_by_itself(&mut cluster, full);
    });
    survivors.endure("they have room again", || {
        disks.first(full).make_room();
        disks.second(full).make_room();
        cluster.node(full).restart();
        cluster.until_whole();
    });
    survivors.end();
}

fn in_sync(partition: &MetadataResponsePartition, node: i32) -> bool {
    partition.isr_nodes.contains(&BrokerId(node))
}

/// Some partitions cannot be used on `node`, and others lead them.
fn are_led_elsewhere(partitions: &[&MetadataResponsePartition], node: i32) -> bool {
    let mut offline =
        partitions.iter().filter(|one| one.offline_replicas.contains(&BrokerId(node))).peekable();
    let serve_on = |leader: BrokerId| leader.0 > 0 && leader.0 != node;
    offline.peek().is_some() && offline.all(|one| serve_on(one.leader_id) && !in_sync(one, node))
}

/// It says why, in one line: which of its disks it noticed first.
fn ends_by_itself(cluster: &mut Cluster, node: i32) {
    assert!(!cluster.node(node).await_end().success());
    let log = cluster.node(node).log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("drave: "), "{last}");
}
