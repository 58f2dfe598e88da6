//! One partition on three brokers, without a network: they crash, lose power, hear of the metadata late and of each other in
//! any order. Nothing that was acknowledged is lost, and logs agree below their watermarks.

use super::*;
use crate::cluster::change::ConfigSet;
use crate::cluster::image::Broker;
use crate::partition::cut;
use crate::partition::replica::{Asked, Fetched, FollowerRead, LeaderMarks, Position};
use crate::partition::state::IsrChange;
use crate::types::{LeaderEpoch, PartitionEpoch};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use storage::batch::{batches, records};
use storage::disk::fault::Rng;

const BROKERS: [BrokerId; 3] = [1, 2, 3];
const LAG: Duration = Duration::from_millis(500);

/// What is decided, as the controller would.
#[derive(Clone)]
pub(crate) struct Truth {
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<BrokerId>,
    /// Broker epoch of each, and whether it is fenced.
    pub brokers: BTreeMap<BrokerId, (i64, bool)>,
    pub flush: bool,
}

/// An answer that is on its way to a follower.
struct Answer {
    to: BrokerId,
    life: u64,
    asked: Asked,
    fetched: Result<Sent, (ErrorCode, Offset)>,
}

/// The leader's marks, where the logs diverge, and records.
type Sent = (LeaderMarks, Option<(LeaderEpoch, Offset)>, Bytes);

struct Waiting {
    offset: Offset,
    value: String,
    outcome: BoxFuture<'static, Result<(), ErrorCode>>,
}

struct Node {
    disk: Arc<FaultDisk>,
    life: Option<Life>,
    /// Counts its lives.
    lives: u64,
    /// How many decisions it has heard of.
    heard: usize,
}

struct Trio {
    rng: Rng,
    now: Now,
    nodes: BTreeMap<BrokerId, Node>,
    decisions: Vec<Truth>,
    answers: Vec<Answer>,
    proposals: Vec<(BrokerId, u64, IsrChange)>,
    waiting: Vec<Waiting>,
    acknowledged: BTreeMap<Offset, String>,
    produced: u64,
    next_broker_epoch: i64,
    /// Who lost power and is not yet back in the ISR.
    weakened: Option<BrokerId>,
}

impl Truth {
    pub fn image(&self, index: usize) -> Arc<Image> {
        let mut changes: Vec<Change> = vec![];
        for (id, (epoch, fenced)) in &self.brokers {
            changes.push(Change::BrokerRegistered(Broker {
                id: *id,
                incarnation: Uuid::from_u128(*epoch as u128),
                epoch: *epoch,
                listeners: vec![],
                rack: None,
                directories: vec![Uuid::from_u128(1)],
                features: vec![],
                fenced: *fenced,
                shutting_down: false,
                boot_id: String::new(),
                failed: vec![],
            }));
        }
        let replica = |broker| image::Replica { broker, directory: Uuid::from_u128(1) };
        let partition = PartitionImage {
            index: 0,
            replicas: BROKERS.map(replica).to_vec(),
            isr: self.isr.clone(),
            elr: vec![],
            leader: self.leader,
            last_known_leader: None,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            adding: vec![],
            removing: vec![],
            released: vec![],
            blank: vec![],
        };
        changes.push(Change::TopicCreated(TopicCreated { id: TOPIC, name: "orders".into() }));
        changes.push(Change::PartitionChanged(PartitionChanged { topic: TOPIC, partition }));
        let configs =
            [("min.insync.replicas", "2"), ("flush.messages", if self.flush { "1" } else { "100000" })];
        for (key, value) in configs {
            let resource = image::ConfigResource::topic("orders");
            changes.push(Change::ConfigSet(ConfigSet { resource, key: key.into(), value: value.into() }));
        }
        super::image(index as u64 + 1, &changes)
    }

    fn is_active(&self, broker: BrokerId) -> bool {
        !self.brokers[&broker].1
    }

    /// Another member leads, if there is one; of several, the nth.
    fn elect(&mut self, nth: usize) {
        let able: Vec<_> = self.isr.iter().copied().filter(|member| self.is_active(*member)).collect();
        let others: Vec<_> = able.iter().copied().filter(|member| Some(*member) != self.leader).collect();
        self.leader = others.get(nth % others.len().max(1)).or(able.first()).copied();
        self.leader_epoch += 1;
        self.partition_epoch += 1;
    }

    fn fence(&mut self, broker: BrokerId, nth: usize) {
        self.brokers.entry(broker).and_modify(|(_, fenced)| *fenced = true);
        if self.isr != [broker] && self.isr.contains(&broker) {
            self.isr.retain(|member| *member != broker);
            self.partition_epoch += 1;
        }
        if self.leader == Some(broker) {
            self.elect(nth);
        }
    }

    fn decide(&mut self, change: &IsrChange) -> Result<PartitionEpoch, ErrorCode> {
        if change.leader_epoch != self.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if change.partition_epoch != self.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        if change.isr.iter().any(|(member, epoch)| self.brokers[member] != (*epoch, false)) {
            return Err(ErrorCode::IneligibleReplica);
        }
        self.isr = change.isr.iter().map(|(member, _)| *member).collect();
        self.partition_epoch += 1;
        Ok(self.partition_epoch)
    }
}

impl Trio {
    fn begin(seed: u64, flush: bool) -> Trio {
        let truth = Truth {
            leader: Some(1),
            leader_epoch: 0,
            partition_epoch: 0,
            isr: BROKERS.to_vec(),
            brokers: BROKERS.map(|id| (id, (i64::from(id), false))).into(),
            flush,
        };
        let node = |id: BrokerId| {
            let disk = Arc::new(FaultDisk::new(seed * 3 + id as u64));
            (id, Node { disk, life: None, lives: 0, heard: 0 })
        };
        let mut trio = Trio {
            rng: Rng::new(seed + 1),
            now: NOW,
            nodes: BROKERS.map(node).into(),
            decisions: vec![truth],
            answers: vec![],
            proposals: vec![],
            waiting: vec![],
            acknowledged: BTreeMap::new(),
            produced: 0,
            next_broker_epoch: 10,
            weakened: None,
        };
        BROKERS.iter().for_each(|id| trio.start(*id));
        trio
    }

    fn truth(&self) -> &Truth {
        self.decisions.last().unwrap()
    }

    fn decide<T>(&mut self, decision: impl FnOnce(&mut Truth) -> T) -> T {
        let mut truth = self.truth().clone();
        let answer = decision(&mut truth);
        self.weakened = self.weakened.filter(|broker| !truth.isr.contains(broker));
        self.decisions.push(truth);
        answer
    }

    fn replica(&self, id: BrokerId) -> Option<Arc<Replica>> {
        Some(self.nodes[&id].life.as_ref()?.replica(TOPIC))
    }

    /// What `id` believes.
    fn belief(&self, id: BrokerId) -> &Truth {
        &self.decisions[self.nodes[&id].heard]
    }

    fn start(&mut self, id: BrokerId) {
        let newest = self.decisions.len() - 1;
        let node = self.nodes.get_mut(&id).unwrap();
        node.life = Some(Life::of(id, &node.disk, &["/data"], || {}));
        node.lives += 1;
        self.hear(id, newest);
        self.await_first_sync(id);
        // From here on each sync is one of this test's steps.
        self.replica(id).unwrap().ask_flush();
    }

    /// A leader syncs at once what it found, on another thread, which holds the replica as long as it works.
    fn await_first_sync(&mut self, id: BrokerId) {
        let replica = self.replica(id).unwrap();
        let roles = &mut self.nodes.get_mut(&id).unwrap().life.as_mut().unwrap().roles;
        while roles.try_recv().is_ok() {}
        while Arc::strong_count(&replica) > 2 {
            std::thread::yield_now();
        }
    }

    fn hear(&mut self, id: BrokerId, heard: usize) {
        let image = self.decisions[heard].image(heard);
        let node = self.nodes.get_mut(&id).unwrap();
        node.heard = heard;
        node.life.as_mut().unwrap().reconciler.reconcile(image, self.now);
    }

    fn crash(&mut self, id: BrokerId, loses_power: bool) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.life = None;
        if loses_power {
            node.disk.crash();
        }
        let nth = self.rng.below(2);
        self.decide(|truth| truth.fence(id, nth));
        if loses_power && !self.truth().flush {
            self.weakened = Some(id);
        }
    }

    /// Comes back under a new epoch; the last member of an ISR leads again.
    fn revive(&mut self, id: BrokerId) {
        self.next_broker_epoch += 1;
        let epoch = self.next_broker_epoch;
        self.decide(|truth| {
            truth.brokers.insert(id, (epoch, false));
            if truth.leader.is_none() {
                truth.elect(0);
            }
        });
        self.start(id);
    }

    /// Without a promise of synced records, one may lose power at a time, and not the last that has everything.
    fn may_lose_power(&self, id: BrokerId) -> bool {
        let others =
            self.truth().isr.iter().filter(|member| **member != id && self.nodes[member].life.is_some());
        self.truth().flush || (self.weakened.is_none() && others.count() > 0)
    }

    fn produce(&mut self) {
        let believed: Vec<_> = BROKERS.into_iter().filter_map(|id| self.replica(id)).collect();
        let Some(leader) = believed.iter().find(|replica| replica.marks().leads) else { return };
        self.produce_to(leader);
    }

    fn produce_to(&mut self, leader: &Arc<Replica>) {
        let value = format!("v{}", self.produced);
        self.produced += 1;
        let Ok(appended) = leader.append(Append { records: record(&value), acks: Acks::All }, self.now)
        else {
            return;
        };
        let outcome = appended.pending.unwrap_or_else(|| Box::pin(async { Ok(()) }));
        self.waiting.push(Waiting { offset: appended.base_offset, value, outcome });
        self.settle_waits();
    }

    /// `id` leads, and those of `hearing` know it, in this order.
    fn appoint(&mut self, id: BrokerId, hearing: &[BrokerId]) {
        self.decide(|truth| {
            truth.leader = Some(id);
            truth.leader_epoch += 1;
            truth.partition_epoch += 1;
        });
        hearing.iter().for_each(|id| self.hear(*id, self.decisions.len() - 1));
    }

    fn fetch(&mut self, id: BrokerId) {
        self.ask(id);
        self.deliver(self.answers.len() - 1);
    }

    fn settle_waits(&mut self) {
        for mut wait in std::mem::take(&mut self.waiting) {
            match wait.outcome.as_mut().now_or_never() {
                Some(Ok(())) => {
                    let before = self.acknowledged.insert(wait.offset, wait.value.clone());
                    assert_eq!(before, None, "{} was acknowledged before at its offset", wait.value);
                }
                Some(Err(_)) => {}
                None => self.waiting.push(wait),
            }
        }
    }

    fn sync(&self, id: BrokerId) {
        if let Some(replica) = self.replica(id) {
            replica.flush();
            replica.ask_flush();
        }
    }

    /// A follower asks whom it believes to lead; the answer is left on its way.
    fn ask(&mut self, id: BrokerId) {
        let (Some(replica), belief) = (self.replica(id), self.belief(id).clone()) else { return };
        let Some(leader) = belief.leader.and_then(|leader| self.replica(leader)) else { return };
        let Ok(position) = replica.position(belief.leader_epoch) else { return };
        if !position.is_promised {
            replica.sync().unwrap();
        }
        let read = FollowerRead {
            from: id,
            broker_epoch: self.truth().brokers[&id].0,
            wanted: wanted(position, belief.leader_epoch),
            log_start: position.log_start,
            max_bytes: 200,
            at_least_one: true,
            is_held_back: false,
        };
        let Fetched { found, wants } = leader.read_as_follower(read, self.now.mono);
        let asked = (belief.leader.unwrap(), self.nodes[&belief.leader.unwrap()].lives);
        self.proposals.extend(wants.map(|change| (asked.0, asked.1, change)));
        let fetched = found.map_err(|code| (code, leader.marks().log_start)).map(|found| {
            let bytes: Vec<u8> = found.slices.iter().flat_map(|slice| slice.read().unwrap()).collect();
            let marks = LeaderMarks { high_watermark: found.high_watermark, log_start: found.log_start };
            (marks, found.diverging_epoch, Bytes::from(bytes))
        });
        let life = self.nodes[&id].lives;
        self.answers.push(Answer {
            to: id,
            life,
            asked: Asked { epoch: belief.leader_epoch, offset: position.offset },
            fetched,
        });
        self.settle_waits();
    }

    fn deliver(&mut self, nth: usize) {
        let Answer { to, life, asked, fetched } = self.answers.remove(nth);
        let Some(replica) = self.replica(to).filter(|_| self.nodes[&to].lives == life) else { return };
        let table = self.nodes[&to].life.as_ref().unwrap().table.clone();
        let acted = match fetched {
            Ok((_, Some(diverging), _)) => {
                cut::truncate_by_epoch(&table, &replica, asked, diverging, self.now)
            }
            Ok((marks, None, records)) => replica.append_fetched(asked, &records, marks, self.now),
            Err((ErrorCode::OffsetOutOfRange, start)) if start > replica.marks().log_end => {
                cut::restart_at(&table, &replica, asked, start, self.now)
            }
            Err(_) => return,
        };
        // An answer that was overtaken, by another one or by a leader, is refused; nothing else may be.
        let overtaken = [ErrorCode::FencedLeaderEpoch, ErrorCode::OffsetOutOfRange];
        assert!(acted.is_ok() || acted.is_err_and(|code| overtaken.contains(&code)), "{acted:?}");
    }

    fn propose(&mut self, arrives: bool, is_answered: bool) {
        let Some((leader, life, change)) = self.proposals.pop() else { return };
        let decided = if arrives {
            self.decide(|truth| truth.decide(&change))
        } else {
            Err(ErrorCode::RequestTimedOut)
        };
        let Some(replica) = self.replica(leader).filter(|_| self.nodes[&leader].lives == life) else {
            return;
        };
        let answer = if is_answered { decided } else { Err(ErrorCode::RequestTimedOut) };
        let again = replica.isr_answered(&change, answer);
        self.proposals.extend(again.map(|change| (leader, life, change)));
        self.settle_waits();
    }

    fn tick(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus(Duration::from_millis(ms));
        for id in BROKERS {
            let Some(replica) = self.replica(id) else { continue };
            let life = self.nodes[&id].lives;
            self.proposals.extend(replica.isr_tick(self.now.mono, LAG).map(|change| (id, life, change)));
        }
        self.settle_waits();
    }

    fn step(&mut self) {
        let id = BROKERS[self.rng.below(3)];
        match self.rng.below(60) {
            0..10 => self.produce(),
            10..26 => self.ask(id),
            26..40 if !self.answers.is_empty() => {
                let nth = self.rng.below(self.answers.len());
                self.deliver(nth);
            }
            40..43 => self.sync(id),
            43 => self.tick(300),
            44..47 => {
                let (arrives, is_answered) = (!self.rng.one_in(4), !self.rng.one_in(4));
                self.propose(arrives, is_answered);
            }
            47..56 if self.nodes[&id].life.is_some() => {
                let (newest, heard) = (self.decisions.len() - 1, self.nodes[&id].heard);
                let next = heard + self.rng.below(newest - heard + 1);
                let heard = if self.rng.one_in(2) { next } else { newest };
                self.hear(id, heard);
            }
            56 | 58 | 59 if self.nodes[&id].life.is_none() => self.revive(id),
            56 => {
                let loses_power = self.rng.one_in(2) && self.may_lose_power(id);
                self.crash(id, loses_power);
            }
            57 => {
                let nth = self.rng.below(2);
                self.decide(|truth| truth.elect(nth));
            }
            _ => {}
        }
    }

    /// All live again, hear everything, and have the time they need.
    fn heal(&mut self) {
        self.answers.clear();
        for id in BROKERS {
            if self.nodes[&id].life.is_none() {
                self.revive(id);
            }
        }
        for _ in 0..200 {
            let newest = self.decisions.len() - 1;
            BROKERS.iter().for_each(|id| self.hear(*id, newest));
            BROKERS.iter().for_each(|id| self.sync(*id));
            BROKERS.iter().for_each(|id| self.ask(*id));
            while !self.answers.is_empty() {
                self.deliver(0);
            }
            while !self.proposals.is_empty() {
                self.propose(true, true);
            }
            self.tick(20);
        }
    }

    fn check(&self) {
        let live: Vec<_> = BROKERS.into_iter().filter_map(|id| self.replica(id)).collect();
        let logs: Vec<_> =
            live.iter().map(|replica| log_of(replica, replica.marks().high_watermark)).collect();
        for (a, b) in logs.iter().flat_map(|a| logs.iter().map(move |b| (a, b))) {
            let shared = a.len().min(b.len());
            assert_eq!(a[..shared], b[..shared], "logs differ below their watermarks");
        }
    }

    fn check_healed(&self) {
        assert_eq!(self.truth().isr.len(), 3, "everyone is in sync again");
        let end = self.replica(1).unwrap().marks().log_end;
        for id in BROKERS {
            let replica = self.replica(id).unwrap();
            assert_eq!((replica.marks().log_end, replica.marks().high_watermark), (end, end));
            let log = log_of(&replica, end);
            for (offset, value) in &self.acknowledged {
                let found = log.iter().find(|(at, _)| at == offset).map(|(_, value)| value);
                assert_eq!(found, Some(value), "acknowledged at {offset}, on broker {id}");
            }
        }
    }
}

pub(super) fn wanted(position: Position, epoch: LeaderEpoch) -> Wanted {
    Wanted { offset: position.offset, current_epoch: epoch, last_epoch: position.last_epoch }
}

/// Offset and value of each record below `below`.
pub(super) fn log_of(replica: &Replica, below: Offset) -> Vec<(Offset, String)> {
    let mut found = vec![];
    let mut next = replica.marks().log_start;
    while let Some(slice) = (next < below).then(|| replica.read_own(next, below, 1 << 20).unwrap()).flatten()
    {
        for batch in batches(&Bytes::from(slice.read().unwrap())) {
            let batch = batch.unwrap();
            for record in &records(&batch, 1 << 20).unwrap() {
                let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
                found.push((batch.header.base_offset, value));
            }
            next = batch.header.next_offset();
        }
    }
    found
}

fn run(seed: u64, flush: bool) -> usize {
    let mut trio = Trio::begin(seed, flush);
    for _ in 0..60 {
        (0..10).for_each(|_| trio.step());
        trio.check();
    }
    trio.heal();
    trio.check();
    trio.check_healed();
    trio.acknowledged.len()
}

/// Syncs that a start asks for run on the threads of a runtime; all others are steps of the test.
fn run_seeds(seeds: std::ops::Range<u64>, flush: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let mut acknowledged = 0;
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed, flush));
        acknowledged += ran.unwrap_or_else(|_| panic!("seed {seed}, flush {flush}"));
    }
    assert!(acknowledged > 0, "a test in which nothing is acknowledged shows nothing");
}

/// ```text
///   broker 1   0 0 0        its last two were never committed, and it hears of nothing
///   broker 2   0 1 1 1      leads in epochs 1 and 3
///   broker 3   0 1 1        leads in epoch 2 and writes nothing; then takes the last of epoch 1 from broker 2
/// ```
#[test]
fn a_leader_that_wrote_nothing_still_knows_where_older_epochs_began() {
    let mut trio = Trio::begin(0, false);
    trio.produce();
    [2, 3].into_iter().for_each(|id| trio.fetch(id));
    (0..2).for_each(|_| trio.produce());
    trio.appoint(2, &[2, 3]);
    let leader = trio.replica(2).unwrap();
    (0..2).for_each(|_| trio.produce_to(&leader));
    trio.fetch(3);
    trio.produce_to(&leader);
    drop(leader);
    trio.appoint(3, &[3]);
    trio.appoint(2, &[2, 3]);
    trio.fetch(3);
    trio.appoint(3, &[3, 1]);
    trio.heal();
    trio.check();
    trio.check_healed();
}

/// What is below its leader's end of an epoch stays, whether or not this follower has heard that it is committed (KIP-101).
///
/// ```text
///   broker 1   0 0 0        the second is acknowledged, the third only broker 2 has taken
///   broker 2   0 0 0        has heard that the first is committed; leads in epoch 2, after broker 3
///   broker 3   0 0 1        leads in epoch 1
/// ```
#[test]
fn what_was_acknowledged_is_not_cut_by_who_has_not_heard_of_it() {
    let mut trio = Trio::begin(0, false);
    trio.produce();
    [2, 3].into_iter().for_each(|id| trio.fetch(id));
    trio.produce();
    [2, 3].into_iter().for_each(|id| trio.fetch(id));
    trio.produce();
    trio.fetch(2);
    trio.ask(3);
    trio.answers.clear();
    let ends = |id| trio.replica(id).map(|replica| (replica.marks().high_watermark, replica.marks().log_end));
    assert_eq!((ends(2), ends(3)), (Some((1, 3)), Some((1, 2))));
    assert_eq!(trio.acknowledged.len(), 2);
    trio.appoint(3, &[3, 2]);
    let leader = trio.replica(3).unwrap();
    trio.produce_to(&leader);
    drop(leader);
    trio.fetch(2);
    trio.appoint(2, &[2, 3]);
    trio.heal();
    trio.check();
    trio.check_healed();
}

#[test]
fn nothing_acknowledged_is_lost_while_one_loses_power() {
    run_seeds(0..25, false);
}

#[test]
fn nothing_synced_is_lost_whoever_loses_power() {
    run_seeds(0..25, true);
}
