//! What holds whatever is asked: random commands, and what must be true of every image they lead to.

use super::*;
use crate::cluster::change::Entry;
use crate::cluster::image::{ConfigResource, PartitionImage, Position, Replica};
use crate::types::BrokerId;
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Register { id: BrokerId, crashed: bool, dirs: Range<u8> },
    Fence { id: BrokerId },
    Unfence { id: BrokerId },
    Leave { id: BrokerId },
    Fail { id: BrokerId, dir: u8 },
    Unregister { id: BrokerId },
    Create { name: u8, partitions: i32, rf: i16 },
    Delete { name: u8 },
    Grow { name: u8, count: i32 },
    Elect { unclean: bool },
    Reassign { name: u8, index: i32, to: Option<Vec<BrokerId>> },
    MinIsr { name: u8, value: u8 },
    Unclean { name: u8, on: bool },
    Confirm { id: BrokerId },
    Alter { id: BrokerId, members: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (id, name) = (1..5i32, 0..3u8);
    prop_oneof![
        2 => (id.clone(), any::<bool>(), 0..3u8, 1..4u8)
            .prop_map(|(id, crashed, first, count)| Step::Register { id, crashed, dirs: first..first + count }),
        2 => id.clone().prop_map(|id| Step::Fence { id }),
        4 => id.clone().prop_map(|id| Step::Unfence { id }),
        2 => id.clone().prop_map(|id| Step::Leave { id }),
        1 => (id.clone(), 0..5u8).prop_map(|(id, dir)| Step::Fail { id, dir }),
        1 => id.clone().prop_map(|id| Step::Unregister { id }),
        3 => (name.clone(), 1..5i32, 1..4i16).prop_map(|(name, partitions, rf)| Step::Create { name, partitions, rf }),
        1 => name.clone().prop_map(|name| Step::Delete { name }),
        1 => (name.clone(), 1..8i32).prop_map(|(name, count)| Step::Grow { name, count }),
        3 => (name.clone(), 1..4u8).prop_map(|(name, value)| Step::MinIsr { name, value }),
        1 => (name, any::<bool>()).prop_map(|(name, on)| Step::Unclean { name, on }),
        1 => any::<bool>().prop_map(|unclean| Step::Elect { unclean }),
        3 => (0..4u8, 0..4i32, prop::option::weighted(0.8, target()))
            .prop_map(|(name, index, to)| Step::Reassign { name, index, to }),
        1 => id.clone().prop_map(|id| Step::Confirm { id }),
        6 => (id, any::<u8>()).prop_map(|(id, members)| Step::Alter { id, members }),
    ]
}

fn target() -> impl Strategy<Value = Vec<BrokerId>> {
    prop::sample::subsequence(vec![1, 2, 3, 4], 1..4).prop_shuffle()
}

struct Cluster {
    image: Image,
    policy: Policy,
    made: u128,
}

impl Cluster {
    fn submit<C: Command>(&mut self, command: C) {
        let predecessor = self.image.last_entry;
        let mut made = self.made;
        let mut fresh_id = || {
            made += 1;
            Uuid::from_u128(made)
        };
        let (now, index, seed, policy) = (Now::default(), predecessor + 1, predecessor, &self.policy);
        let mut inputs = Inputs { now, index, seed, fresh_id: &mut fresh_id, policy };
        let decision = command.decide(&self.image, &mut inputs);
        self.made = made;
        if let Ok((changes, _)) = decision {
            let entry = Entry { term: 1, predecessor, changes };
            let read = Entry::decode(&entry.encode()).expect("what was encoded");
            assert_eq!(self.image.apply_entry(Position { index, term: 1 }, &read), Ok(Ok(())));
        }
    }

    fn run(&mut self, step: Step) {
        let epoch = |id| self.image.brokers.get(id).map_or(-1, |broker| broker.epoch);
        let topic = |name: u8| format!("t{name}");
        match step {
            Step::Register { id, crashed, dirs } => self.submit(RegisterBroker {
                id,
                incarnation: Uuid::from_u128(u128::from(self.image.last_entry)),
                listeners: Vec::new(),
                rack: (id > 2).then(|| "far".into()),
                directories: dirs.map(|dir| directory(id, dir)).collect(),
                features: Vec::new(),
                boot_id: "boot".into(),
                clean_start: !crashed,
            }),
            Step::Fence { id } => self.submit(FenceBroker { id, epoch: epoch(id) }),
            Step::Unfence { id } => self.submit(UnfenceBroker { id, epoch: epoch(id) }),
            Step::Leave { id } => self.submit(BeginShutdown { id, epoch: epoch(id) }),
            Step::Fail { id, dir } => {
                let directories = vec![directory(id, dir)];
                self.submit(DirectoriesFailed { id, epoch: epoch(id), directories });
            }
            Step::Unregister { id } => self.submit(UnregisterBroker { id }),
            Step::Create { name, partitions, rf } => {
                let new =
                    NewTopic { name: topic(name), partitions, replication_factor: rf, ..NewTopic::default() };
                self.submit(CreateTopics { topics: vec![new], validate_only: false });
            }
            Step::Delete { name } => self.submit(DeleteTopics { topics: vec![TopicRef::Name(topic(name))] }),
            Step::Grow { name, count } => {
                let new = NewPartitions { topic: topic(name), count, assignments: None };
                self.submit(CreatePartitions { topics: vec![new], validate_only: false });
            }
            Step::MinIsr { name, value } => {
                let values = vec![("min.insync.replicas".into(), Some(value.to_string()))];
                let resources = vec![ResourceValues { resource: ConfigResource::topic(topic(name)), values }];
                self.submit(ReplaceConfigs { resources, validate_only: false });
            }
            Step::Unclean { name, on } => {
                let change = KeyChange {
                    key: "unclean.leader.election.enable".into(),
                    operation: ConfigOperation::Set,
                    value: Some(on.to_string()),
                };
                let resource = ConfigResource::topic(topic(name));
                let resources = vec![ResourceChanges { resource, changes: vec![change] }];
                self.submit(AlterConfigs { resources, validate_only: false });
            }
            Step::Elect { unclean } => self.submit(ElectLeaders { unclean, partitions: None }),
            Step::Reassign { name, index, to } => {
                let asked = Reassignment { topic: topic(name), partition: index, target: to };
                let partitions = vec![asked];
                self.submit(AlterReassignments { partitions, allow_replication_factor_change: true });
            }
            Step::Confirm { id } => {
                let topics = self.image.topics.deletions_of(id).collect();
                self.submit(ConfirmDeletions { broker: id, broker_epoch: epoch(id), topics });
            }
            Step::Alter { id, members } => {
                let partitions = proposals(&self.image, id, members);
                self.submit(AlterPartition { broker: id, epoch: epoch(id), partitions });
            }
        }
    }
}

fn directory(broker: BrokerId, number: u8) -> Uuid {
    Uuid::from_u128(1000 * broker as u128 + u128::from(number))
}

/// What `leader` may find: some of those alive are in sync with it. A bit of `members` is a broker.
fn proposals(image: &Image, leader: BrokerId, members: u8) -> Vec<IsrProposal> {
    let led = partitions(image).filter(|(_, partition)| partition.leader == Some(leader));
    let proposal = |(topic, partition): (Uuid, &Arc<PartitionImage>)| {
        let found =
            |id: &BrokerId| *id == leader || (members & (1 << id) > 0 && image.brokers.is_active(*id));
        let epoch = |id| image.brokers.get(id).map_or(-1, |broker| broker.epoch);
        IsrProposal {
            topic,
            partition: partition.index,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: partition.replica_brokers().filter(found).map(|id| (id, epoch(id))).collect(),
        }
    };
    led.map(proposal).collect()
}

fn partitions(image: &Image) -> impl Iterator<Item = (Uuid, &Arc<PartitionImage>)> {
    image.topics.iter().flat_map(|topic| topic.partitions().map(|partition| (topic.id, partition)))
}

/// Nobody is eligible for what others acknowledge without it.
fn check_eligible(image: &Image, policy: &Policy) {
    let defaults = rules::Defaults::new(image, policy);
    for topic in image.topics.iter() {
        let rules = defaults.rules(image, &topic.name);
        for partition in topic.partitions() {
            let enough = partition.isr.len() >= rules.needed(partition.replicas.len());
            assert!(!enough || partition.elr.is_empty(), "{partition:?}");
        }
    }
}

/// Every partition is led by someone alive and in sync, or by nobody because nobody can.
fn check_partitions(image: &Image) {
    for (_, partition) in partitions(image) {
        let on = |id: &BrokerId| partition.replica_on(*id).is_some();
        assert!(partition.isr.iter().all(on) && partition.elr.iter().all(on), "{partition:?}");
        assert!(partition.isr.iter().all(|id| !partition.elr.contains(id)), "{partition:?}");
        let goes_on_alone = |id: &BrokerId| {
            image.brokers.is_alive(*id) && partition.leader == Some(*id) && partition.isr == [*id]
        };
        let serves = |id: &BrokerId| image.brokers.is_active(*id) || goes_on_alone(id);
        assert!(partition.isr.iter().all(serves), "{partition:?}");
        assert!(partition.leader.is_none_or(|id| partition.isr.contains(&id)), "{partition:?}");
        assert_eq!(partition.leader.is_none(), partition.isr.is_empty(), "{partition:?}");
        assert_eq!(partition.leader.is_none(), partition.last_known_leader.is_some(), "{partition:?}");
        if partition.leader.is_none() {
            assert!(!partition.elr.iter().any(|id| image.brokers.is_active(*id)), "{partition:?}");
        }
    }
}

/// Whether the broker is known, and cannot use the directory that its replica is in. Nil: it never was in one.
fn is_away(image: &Image, replica: &Replica) -> bool {
    let known = image.brokers.get(replica.broker).filter(|_| !replica.directory.is_nil());
    known.is_some_and(|broker| !broker.directories.contains(&replica.directory))
}

/// Whether its directory was away when the broker started, which has others.
fn is_lost(image: &Image, replica: &Replica) -> bool {
    image.brokers.get(replica.broker).is_some_and(|broker| broker.has_lost(replica.directory))
}

/// Whether what the replica on `broker` holds may be all there is.
fn is_needed(partition: &PartitionImage, broker: BrokerId) -> bool {
    let mut held = partition.isr.iter().chain(&partition.elr);
    partition.last_known_leader == Some(broker) || held.next().is_none()
}

/// A replica without its directory holds nothing. It gets another one as soon as others hold everything, and only if its
/// broker started without that directory: one that failed later is not given up before the next start.
fn check_directories(before: &Image, after: &Image) {
    for (topic, new) in partitions(after) {
        let old = before.topics.by_id(topic).and_then(|topic| topic.partition(new.index));
        for replica in &new.replicas {
            let id = replica.broker;
            let claims = || new.isr.contains(&id) || new.elr.contains(&id);
            assert!(!is_away(after, replica) || !claims(), "{new:?}");
            assert!(!is_lost(after, replica) || claims() || is_needed(new, id), "{new:?}");
            let from = old.and_then(|old| old.replica_on(id)).filter(|from| *from != replica);
            if let Some(from) = from {
                assert!(is_lost(after, from) && !is_away(after, replica), "{old:?} {new:?}");
                assert!(new.blank.contains(&id) && !claims() && !is_needed(new, id), "{old:?} {new:?}");
            }
        }
    }
}

/// Those who come and go are replicas, and those released are none.
fn check_moves(image: &Image) {
    for (_, partition) in partitions(image) {
        let on = |id: &BrokerId| partition.replica_on(*id).is_some();
        assert!(partition.adding.iter().chain(&partition.removing).all(on), "{partition:?}");
        assert!(!partition.adding.iter().any(|id| partition.removing.contains(id)), "{partition:?}");
        assert!(!partition.released.iter().any(|old| on(&old.broker)), "{partition:?}");
        let holds = |id: &BrokerId| partition.isr.contains(id) || partition.elr.contains(id);
        assert!(partition.blank.iter().all(|id| on(id) && !holds(id)), "{partition:?}");
    }
}

/// Epochs tell every change.
fn check_epochs(before: &Image, after: &Image) {
    for (topic, new) in partitions(after) {
        let Some(old) = before.topics.by_id(topic).and_then(|topic| topic.partition(new.index)) else {
            continue;
        };
        assert_eq!(new.partition_epoch, old.partition_epoch + i32::from(new != old), "{old:?} {new:?}");
        let loses_replica = old.replicas.iter().any(|replica| !new.replicas.contains(replica));
        let begins_anew = new.leader != old.leader || loses_replica;
        assert_eq!(new.leader_epoch, old.leader_epoch + i32::from(begins_anew), "{old:?} {new:?}");
    }
}

/// The difference names exactly the topics that differ.
fn check_delta(before: &Image, after: &Image) {
    let delta = after.topics.delta_since(&before.topics);
    let mut changed: Vec<_> = delta.changed.iter().map(|topic| topic.id).collect();
    changed.sort();
    let mut differing: Vec<_> = after
        .topics
        .iter()
        .filter(|topic| before.topics.by_id(topic.id) != Some(topic))
        .map(|topic| topic.id)
        .collect();
    differing.sort();
    assert_eq!(changed, differing);
    let gone: Vec<_> = before.topics.iter().filter(|topic| after.topics.by_id(topic.id).is_none()).collect();
    assert_eq!(delta.gone.len(), gone.len());
    assert!(gone.iter().all(|topic| delta.gone.contains(&topic.id)));
}

fn check_snapshot(image: &Image) {
    let mut bytes = Vec::new();
    image.write_snapshot(&mut bytes).expect("memory");
    assert_eq!(&Image::read_snapshot(&bytes).expect("what was written"), image);
    assert_eq!(image.topics.partition_count(), partitions(image).count());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_asked(steps in prop::collection::vec(step(), 1..100)) {
        let policy = Policy { config: BrokerConfig::default(), max_partitions_per_request: 100 };
        let mut cluster = Cluster { image: Image::default(), policy, made: 0 };
        let joining = (1..4).flat_map(|id| [Step::Register { id, crashed: false, dirs: 0..1 }, Step::Unfence { id }]);
        for step in joining.chain(steps) {
            let before = cluster.image.clone();
            cluster.run(step);
            check_partitions(&cluster.image);
            check_eligible(&cluster.image, &cluster.policy);
            check_moves(&cluster.image);
            check_directories(&before, &cluster.image);
            check_epochs(&before, &cluster.image);
            check_delta(&before, &cluster.image);
        }
        check_snapshot(&cluster.image);
    }
}
