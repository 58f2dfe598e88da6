//! Fetchers and the keeper of ISRs at work on three brokers, whose network is a function call.

use super::*;
use crate::cluster::change::{Change, ConfigSet, PartitionChanged};
use crate::cluster::image::{ConfigResource, PartitionImage};
use crate::partition::progress::Interest;
use crate::partition::replica::{Acks, Append, Fetched, FollowerRead, Replica, Wanted};
use crate::partition::state::IsrChange;
use crate::partition::tests::trio::Truth;
use crate::partition::tests::{Life, NOW, TOPIC, append, record};
use crate::seam::Clock;
use crate::types::{BrokerId, ErrorCode, Offset, TopicPartition};
use crate::wire::fetch_response::{FetchReply, PartitionReply, TopicReply};
use crate::wire::outgoing::Chunk;
use crate::wire::replica_fetch::VERSION;
use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::Decodable;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use storage::disk::fault::FaultDisk;

/// Bytes before the body of a response frame: length, correlation id, no tags.
const HEADER: usize = 9;

/// Broker 1, as the others reach it.
#[derive(Clone)]
struct Leader {
    replica: Arc<Replica>,
    isr: Proposals,
    clock: Clock,
    contact: Arc<Contact>,
    /// Does not answer.
    silent: Arc<AtomicBool>,
}

impl Leaders for Leader {
    type Line = Leader;
    fn line(&self, _to: BrokerId) -> Option<Leader> {
        Some(self.clone())
    }
}

impl Line for Leader {
    async fn call(&mut self, _key: i16, _version: i16, mut body: Bytes, _limit: Duration) -> Option<Bytes> {
        if self.silent.load(Ordering::Relaxed) {
            return None;
        }
        let request = FetchRequest::decode(&mut body, VERSION).unwrap();
        let mut part = self.answer(&request);
        let waits = part.records.is_empty() && part.error == 0 && part.diverging_epoch.is_none();
        if waits && request.max_wait_ms > 0 {
            let (marks, bell) = (self.replica.marks(), Arc::default());
            let interest = Interest { appended: true, committed: false, noted: false };
            let _listening = self.replica.progress().listen(&marks, interest, &bell, 0);
            let wait = Duration::from_millis(request.max_wait_ms as u64);
            let _ = tokio::time::timeout(wait, bell.heard()).await;
            part = self.answer(&request);
        }
        let topics = vec![TopicReply { id: TOPIC, partitions: vec![part], ..TopicReply::default() }];
        let chunks = FetchReply { topics, ..FetchReply::default() }.encode(0, VERSION);
        let mut frame = vec![];
        for chunk in chunks.0 {
            match chunk {
                Chunk::Bytes(bytes) => frame.extend_from_slice(&bytes),
                Chunk::File(slice) => frame.extend(slice.read().unwrap()),
            }
        }
        Some(Bytes::from(frame).slice(HEADER..))
    }
}

impl Leader {
    fn answer(&self, request: &FetchRequest) -> PartitionReply {
        let asked = &request.topics[0].partitions[0];
        let read = FollowerRead {
            from: request.replica_state.replica_id.0,
            broker_epoch: request.replica_state.replica_epoch,
            wanted: Wanted {
                offset: asked.fetch_offset,
                current_epoch: asked.current_leader_epoch,
                last_epoch: asked.last_fetched_epoch,
            },
            log_start: asked.log_start_offset,
            max_bytes: asked.partition_max_bytes as usize,
            at_least_one: true,
            is_held_back: false,
        };
        let Fetched { found, wants } = self.replica.read_as_follower(read, self.clock.mono());
        if let Some(change) = wants {
            self.isr.propose(self.replica.clone(), change);
        }
        match found {
            Ok(found) => PartitionReply {
                high_watermark: found.high_watermark,
                log_start_offset: found.log_start,
                diverging_epoch: found.diverging_epoch,
                records: found.slices.into_iter().map(Chunk::File).collect(),
                ..PartitionReply::default()
            },
            Err(code) => PartitionReply {
                error: code.code(),
                log_start_offset: self.replica.marks().log_start,
                ..PartitionReply::default()
            },
        }
    }
}

/// Accepts everything, as of an image that nobody has acted on.
struct Ahead(Arc<Mutex<Vec<IsrChange>>>, u64);

impl AlterIsr for Ahead {
    async fn alter(&self, changes: Vec<(TopicPartition, IsrChange)>) -> Result<isr::Answered, ErrorCode> {
        self.0.lock().extend(changes.iter().map(|(_, change)| change.clone()));
        Ok(accepted(&changes, self.1))
    }
}

fn accepted(changes: &[(TopicPartition, IsrChange)], as_of: u64) -> isr::Answered {
    let answers = changes.iter().map(|(_, change)| Ok(change.partition_epoch + 1)).collect();
    isr::Answered { answers, as_of }
}

/// Accepts everything, but loses its first reply.
struct Forgetful(Arc<Mutex<Vec<IsrChange>>>);

impl AlterIsr for Forgetful {
    async fn alter(&self, changes: Vec<(TopicPartition, IsrChange)>) -> Result<isr::Answered, ErrorCode> {
        let mut seen = self.0.lock();
        seen.extend(changes.iter().map(|(_, change)| change.clone()));
        if seen.len() == 1 {
            return Err(ErrorCode::RequestTimedOut);
        }
        Ok(accepted(&changes, 0))
    }
}

fn truth(leader: BrokerId, epoch: i32, isr: &[BrokerId]) -> Truth {
    Truth {
        leader: Some(leader),
        leader_epoch: epoch,
        partition_epoch: epoch,
        isr: isr.to_vec(),
        brokers: [(1, (1, false)), (2, (2, false)), (3, (3, false))].into(),
        flush: false,
    }
}

/// A broker that has heard `truths`, in this order.
fn broker(id: BrokerId, truths: &[Truth]) -> Life {
    let mut life = Life::of(id, &Arc::new(FaultDisk::new(id as u64)), &["/data"], || {});
    for (index, truth) in truths.iter().enumerate() {
        life.reconciler.reconcile(truth.image(index), NOW);
    }
    life
}

/// Has broker `id` follow as it was told so far.
fn follow(id: BrokerId, life: &mut Life, leader: &Leader) -> Fetchers<Leader> {
    follow_by(leader.clone(), leader.contact.clone(), leader.clock, id, life)
}

fn follow_by<L: Leaders>(
    leaders: L,
    contact: Arc<Contact>,
    clock: Clock,
    id: BrokerId,
    life: &mut Life,
) -> Fetchers<L> {
    let settings = Settings {
        fetchers: 1,
        max_wait: Duration::from_millis(500),
        min_bytes: 1,
        max_bytes: 1 << 20,
        partition_max_bytes: 100,
        longest_pause: Duration::from_millis(100),
    };
    let table = life.table.clone();
    let mut fetchers =
        Fetchers::new(Site { me: id, broker_epoch: id.into(), leaders, contact, table, clock, settings });
    while let Ok(change) = life.roles.try_recv() {
        fetchers.role_changed(&change);
    }
    fetchers
}

fn lead(life: &Life) -> (Leader, Inbox) {
    let (isr, inbox) = Proposals::channel();
    let (contact, silent) = Default::default();
    (Leader { replica: life.replica(TOPIC), isr, clock: Clock::start(), contact, silent }, inbox)
}

/// Waits until the log of `life` ends at `end`.
async fn reaches(life: &Life, end: Offset) {
    while life.replica(TOPIC).marks().log_end != end {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_every_member_has_fetched_is_acknowledged() {
    let truths = [truth(1, 0, &[1, 2, 3])];
    let mut lives = [1, 2, 3].map(|id| broker(id, &truths));
    let (leader, _inbox) = lead(&lives[0]);
    let _fetchers = [(2, follow(2, &mut lives[1], &leader)), (3, follow(3, &mut lives[2], &leader))];
    for offset in 0..20 {
        let records = Append { records: record("value"), acks: Acks::All };
        let appended = leader.replica.append(records, NOW).unwrap();
        assert_eq!(appended.base_offset, offset);
        appended.pending.unwrap().await.unwrap();
    }
    assert!(lives[1..].iter().all(|life| life.replica(TOPIC).marks().log_end == 20));
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_told_of_until_it_answers() {
    let truths = [truth(1, 0, &[1, 2])];
    let mut lives = [1, 2].map(|id| broker(id, &truths));
    let (leader, _inbox) = lead(&lives[0]);
    leader.silent.store(true, Ordering::Relaxed);
    let _fetchers = follow(2, &mut lives[1], &leader);
    while leader.contact.lost() != [1] {
        tokio::task::yield_now().await;
    }
    leader.silent.store(false, Ordering::Relaxed);
    leader.replica.append_own(batch("a"), 0, NOW).unwrap();
    reaches(&lives[1], 1).await;
    assert!(leader.contact.lost().is_empty());
}

#[tokio::test]
async fn a_log_that_diverges_is_cut_and_goes_on_as_the_leaders() {
    let mut follower = broker(2, &[truth(2, 0, &[2, 3])]);
    append(&follower.replica(TOPIC), "of an earlier leader").unwrap();
    let life = broker(1, &[truth(1, 1, &[1, 3])]);
    let (leader, _inbox) = lead(&life);
    leader.replica.append_own(batch("a"), 1, NOW).unwrap();
    leader.replica.append_own(batch("b"), 1, NOW).unwrap();
    follower.reconciler.reconcile(truth(1, 1, &[1, 3]).image(1), NOW);
    let _fetchers = follow(2, &mut follower, &leader);
    reaches(&follower, 2).await;
    assert_eq!(follower.replica(TOPIC).position(1).unwrap().last_epoch, 1);
}

#[tokio::test]
async fn who_is_behind_the_log_start_goes_on_there() {
    let life = broker(1, &[truth(1, 0, &[1, 2, 3])]);
    let (leader, _inbox) = lead(&life);
    for _ in 0..5 {
        append(&leader.replica, "value").unwrap();
    }
    let truths = [truth(1, 0, &[1, 2, 3])];
    let mut others = [2, 3].map(|id| broker(id, &truths));
    let _first = follow(3, &mut others[1], &leader);
    let second = follow(2, &mut others[0], &leader);
    reaches(&others[0], 5).await;
    drop(second);
    reaches(&others[1], 5).await;
    while leader.replica.marks().high_watermark < 5 {
        tokio::task::yield_now().await;
    }
    leader.replica.delete_records(4).unwrap();
    let mut late = broker(2, &truths);
    let _late = follow(2, &mut late, &leader);
    reaches(&late, 5).await;
    assert_eq!(late.replica(TOPIC).marks().log_start, 4);
}

#[tokio::test]
async fn who_caught_up_joins_although_a_reply_is_lost() {
    let truths = [truth(1, 0, &[1, 2])];
    let mut lives = [1, 2, 3].map(|id| broker(id, &truths));
    let (leader, inbox) = lead(&lives[0]);
    let seen = Arc::default();
    let (table, lag) = (lives[0].table.clone(), Duration::from_secs(30));
    let keeper = IsrKeeper::new(Forgetful(Arc::clone(&seen)), inbox, table, leader.clock, lag);
    let keeper = tokio::spawn(keeper.run());
    let _fetchers = [follow(2, &mut lives[1], &leader), follow(3, &mut lives[2], &leader)];
    while seen.lock().len() < 2 {
        tokio::task::yield_now().await;
    }
    let asked = seen.lock().clone();
    assert_eq!(asked[0].isr, [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(asked[0], asked[1]);
    keeper.abort();
}

/// At 100 bytes a second, of which one second's are there at the beginning.
#[tokio::test(start_paused = true)]
async fn a_throttled_follower_fetches_no_faster_than_its_rate() {
    let mut image = (*truth(1, 0, &[1]).image(0)).clone();
    let set = |(key, value): (&str, &str)| {
        let (resource, key, value) = (ConfigResource::topic("orders"), key.into(), value.into());
        Change::ConfigSet(ConfigSet { resource, key, value })
    };
    let keys = [("follower.replication.throttled.replicas", "*"), ("min.insync.replicas", "1")];
    image.apply_all(&keys.map(set)).unwrap();
    let image = Arc::new(image);
    let [mut life, mut follower] = [1, 2].map(|id| broker(id, &[]));
    life.reconciler.reconcile(image.clone(), NOW);
    follower.reconciler.reconcile(image, NOW);
    let (leader, _inbox) = lead(&life);
    for _ in 0..20 {
        leader.replica.append_own(batch("value"), 0, NOW).unwrap();
    }
    let size = leader.replica.size();
    follower.table.throttles().follower.set_rate(100, leader.clock.mono());
    let begun = tokio::time::Instant::now();
    let _fetchers = follow(2, &mut follower, &leader);
    while follower.replica(TOPIC).marks().log_end != 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The last fetch may take more than there is: what it owes is not waited for.
    let least = Duration::from_millis((size - 100 - 100) * 1000 / 100);
    let took = begun.elapsed();
    assert!(took >= least, "{size} bytes took {took:?}");
    assert!(took < least * 2, "{size} bytes took {took:?}");
}

/// A leader whose answers take their time on the way.
#[derive(Clone)]
struct FarAway(Leader);

impl Leaders for FarAway {
    type Line = FarAway;
    fn line(&self, _to: BrokerId) -> Option<FarAway> {
        Some(self.clone())
    }
}

impl Line for FarAway {
    async fn call(&mut self, key: i16, version: i16, body: Bytes, limit: Duration) -> Option<Bytes> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.0.call(key, version, body, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_follow_again_and_again_gets_on() {
    let leading = broker(1, &[truth(1, 0, &[1])]);
    let (leader, _inbox) = lead(&leading);
    leader.replica.append(Append { records: record("a"), acks: Acks::Leader }, NOW).unwrap();
    let mut follower = broker(2, &[truth(1, 0, &[1])]);
    let change = follower.roles.try_recv().unwrap();
    let mut fetchers = follow_by(FarAway(leader.clone()), Arc::default(), leader.clock, 2, &mut follower);
    for _ in 0..20 {
        fetchers.role_changed(&change);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(follower.replica(TOPIC).marks().log_end, 1);
}

/// Broker 1, and the way to it while there is one.
#[derive(Clone)]
struct Dialled(Leader, Arc<Mutex<Weak<Leader>>>);

impl Leaders for Dialled {
    type Line = Arc<Leader>;
    fn line(&self, to: BrokerId) -> Option<Arc<Leader>> {
        let line = (to == 1).then(|| Arc::new(self.0.clone()))?;
        *self.1.lock() = Arc::downgrade(&line);
        Some(line)
    }
}

impl Line for Arc<Leader> {
    async fn call(&mut self, key: i16, version: i16, body: Bytes, limit: Duration) -> Option<Bytes> {
        Leader::clone(self).call(key, version, body, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_nothing_of_a_leader_any_more_hangs_up() {
    let truths = [truth(1, 0, &[1, 2]), truth(2, 1, &[1, 2])];
    let [life, mut follower] = [1, 2].map(|id| broker(id, &truths[..1]));
    let (leader, _inbox) = lead(&life);
    let leaders = Dialled(leader.clone(), Arc::default());
    leader.replica.append_own(batch("a"), 0, NOW).unwrap();
    let mut fetchers = follow_by(leaders.clone(), leader.contact.clone(), leader.clock, 2, &mut follower);
    reaches(&follower, 1).await;
    assert!(leaders.1.lock().upgrade().is_some());
    follower.reconciler.reconcile(truths[1].image(1), NOW);
    while let Ok(change) = follower.roles.try_recv() {
        fetchers.role_changed(&change);
    }
    let hung_up = async {
        while leaders.1.lock().upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), hung_up).await.expect("the way is given up");
}

/// A leader of several partitions with a record each, whose answers are full with one. What its session asks for.
#[derive(Clone, Default)]
struct OneAtATime(Arc<Mutex<BTreeMap<i32, Offset>>>);

impl Leaders for OneAtATime {
    type Line = OneAtATime;
    fn line(&self, _to: BrokerId) -> Option<OneAtATime> {
        Some(self.clone())
    }
}

impl Line for OneAtATime {
    async fn call(&mut self, _key: i16, _version: i16, mut body: Bytes, _limit: Duration) -> Option<Bytes> {
        let request = FetchRequest::decode(&mut body, VERSION).unwrap();
        let next = {
            let mut asked = self.0.lock();
            let named = request.topics.iter().flat_map(|topic| &topic.partitions);
            asked.extend(named.map(|named| (named.partition, named.fetch_offset)));
            for left in request.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions) {
                asked.remove(left);
            }
            asked.iter().find(|(_, offset)| **offset == 0).map(|(partition, _)| *partition)
        };
        if next.is_none() {
            tokio::time::sleep(Duration::from_millis(request.max_wait_ms as u64)).await;
        }
        let part = |index| PartitionReply {
            index,
            high_watermark: 1,
            log_start_offset: 0,
            records: vec![Chunk::Bytes(record("value"))],
            ..PartitionReply::default()
        };
        let partitions = next.into_iter().map(part).collect();
        let topics = vec![TopicReply { id: TOPIC, partitions, ..TopicReply::default() }];
        let reply = FetchReply { session_id: 9, topics, ..FetchReply::default() };
        let frame = reply.encode(0, VERSION).0.into_iter().flat_map(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.to_vec(),
            Chunk::File(slice) => slice.read().unwrap(),
        });
        Some(frame.collect::<Bytes>().slice(HEADER..))
    }
}

/// What one of them takes more than there is, the others wait for: also those that were asked for before.
#[tokio::test(start_paused = true)]
async fn a_throttle_is_of_all_partitions_together() {
    const PARTITIONS: i32 = 4;
    let mut image = (*truth(1, 0, &[1]).image(0)).clone();
    let first = image.topics.partition(TopicPartition { topic: TOPIC, partition: 0 }).unwrap().clone();
    let (resource, value) = (ConfigResource::topic("orders"), "*".into());
    let key = "follower.replication.throttled.replicas".into();
    let mut changes = vec![Change::ConfigSet(ConfigSet { resource, key, value })];
    changes.extend((1..PARTITIONS).map(|index| {
        let partition = PartitionImage { index, ..PartitionImage::clone(&first) };
        Change::PartitionChanged(PartitionChanged { topic: TOPIC, partition })
    }));
    image.apply_all(&changes).unwrap();
    let mut follower = broker(2, &[]);
    follower.reconciler.reconcile(Arc::new(image), NOW);
    let (rate, size, clock) = (10, record("value").len(), Clock::start());
    follower.table.throttles().follower.set_rate(rate, clock.mono());
    let begun = tokio::time::Instant::now();
    let _fetchers = follow_by(OneAtATime::default(), Arc::default(), clock, 2, &mut follower);
    let has_record = |partition| {
        let replica = follower.table.get(TopicPartition { topic: TOPIC, partition });
        replica.unwrap().marks().log_end == 1
    };
    while !(0..PARTITIONS).all(has_record) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let least = Duration::from_secs((PARTITIONS as u64 - 1) * size as u64 / rate as u64 - 1);
    let took = begun.elapsed();
    assert!(took >= least, "{size} bytes of each took {took:?}");
}

/// The partitions follow an image of which an answer is part before it counts. One that they do not follow soon is asked again.
#[tokio::test(start_paused = true)]
async fn an_answer_counts_once_the_partitions_are_as_its_image_says() {
    let told = truth(1, 0, &[1]);
    let mut lives = [1, 2].map(|id| broker(id, std::slice::from_ref(&told)));
    let (leader, inbox) = lead(&lives[0]);
    let (asked, newer) = (Arc::default(), told.image(7));
    let controller = Ahead(Arc::clone(&asked), newer.applied.index);
    let lag = Duration::from_secs(30);
    let keeper = IsrKeeper::new(controller, inbox, lives[0].table.clone(), leader.clock, lag);
    let keeper = tokio::spawn(keeper.run());
    let _fetchers = follow(2, &mut lives[1], &leader);
    let again = async {
        while asked.lock().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("it is asked again");
    let change = asked.lock()[0].clone();
    assert!(leader.replica.is_isr_pending(&change), "no answer counts yet");
    lives[0].reconciler.reconcile(newer, NOW);
    let counted = async {
        while leader.replica.is_isr_pending(&change) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counted).await.expect("the answer counts");
    keeper.abort();
}

fn batch(value: &str) -> storage::batch::Prepared {
    let mut batch = storage::batch::BatchBuilder::new(storage::compress::Compression::NONE);
    batch.push(NOW.wall.0, None, Some(value.as_bytes()), &[]);
    batch.finish().unwrap()
}
