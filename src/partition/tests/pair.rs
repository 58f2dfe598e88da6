//! A leader and a follower of it, of which one is under test.

use super::trio::Truth;
use super::*;
use crate::cluster::change::BrokerFencingChanged;
use crate::cluster::image::Broker;
use crate::partition::cut;
use crate::partition::replica::{Asked, Fetched, FollowerRead, LeaderMarks};

/// Broker 1, where `leader` leads and is alone in sync.
fn begin(disk: &Arc<FaultDisk>, leader: BrokerId, configs: &[(&str, &str)]) -> Life {
    let mut life = Life::begin(disk);
    life.reconciler.reconcile(led_by(leader, 0, configs), NOW);
    life
}

fn truth(leader: BrokerId, epoch: i32, isr: &[BrokerId]) -> Truth {
    let brokers = [1, 2, 3].map(|id| (id, (i64::from(id), false))).into();
    let (leader, leader_epoch, partition_epoch) = (Some(leader), epoch, epoch);
    Truth { leader, leader_epoch, partition_epoch, isr: isr.to_vec(), brokers, flush: false }
}

fn led_by(leader: BrokerId, epoch: i32, configs: &[(&str, &str)]) -> Arc<Image> {
    let mut image = (*truth(leader, epoch, &[leader]).image(epoch as usize)).clone();
    image.apply_all(&configs.iter().copied().map(set).collect::<Vec<_>>()).unwrap();
    Arc::new(image)
}

/// A record as the leader of epoch 0 has it.
fn located(offset: Offset) -> Bytes {
    let mut batch = BatchBuilder::new(Compression::NONE);
    batch.push(NOW.wall.0, None, Some(b"a"), &[]);
    let mut batch = batch.finish().unwrap();
    batch.assign(offset, 0);
    batch.to_bytes()
}

#[test]
fn a_follower_is_admitted_though_its_read_fails() {
    let disk = Arc::new(FaultDisk::new(20));
    let life = begin(&disk, 1, &[]);
    let replica = life.replica(TOPIC);
    for value in ["a", "b", "c"] {
        replica.append(Append { records: record(value), acks: Acks::Leader }, NOW).unwrap();
    }
    disk.inject(breaks(Op::Read, "/data", Errno::IO));
    let Fetched { found, wants } = replica.read_as_follower(first_read(), NOW.mono);
    assert_eq!(found.unwrap_err(), ErrorCode::KafkaStorageError);
    assert_eq!(wants.unwrap().isr, [(1, 1), (2, 2)]);
}

/// Records are gone for good once every replica has told so: none may bring them back.
#[test]
fn a_follower_tells_of_a_log_start_once_a_crash_cannot_take_it_back() {
    let disk = Arc::new(FaultDisk::new(21));
    let life = begin(&disk, 2, &[]);
    let replica = life.replica(TOPIC);
    let fetched = |log_start| {
        let asked = Asked { epoch: 0, offset: replica.marks().log_end };
        let marks = LeaderMarks { high_watermark: asked.offset + 1, log_start };
        replica.append_fetched(asked, &located(asked.offset), marks, NOW).unwrap();
        let position = replica.position(0).unwrap();
        (position.log_start, position.is_start_written)
    };
    assert_eq!(fetched(0), (0, true));
    assert_eq!(fetched(2), (0, false));
    replica.sync().unwrap();
    checkpoint::write_starts(&life.table, std::slice::from_ref(&replica));
    let position = replica.position(0).unwrap();
    assert_eq!((position.log_start, position.is_start_written), (2, true));
    drop((replica, life));
    disk.crash();
    assert_eq!(begin(&disk, 2, &[]).replica(TOPIC).marks().log_start, 2);
}

/// What waits for its followers is to be synced from then on, too.
#[tokio::test]
async fn what_is_awaited_is_committed_though_each_record_is_to_be_synced_by_now() {
    let mut life = Life::begin(&Arc::new(FaultDisk::new(20)));
    life.reconciler.reconcile(truth(1, 0, &[1, 2]).image(0), NOW);
    let replica = life.replica(TOPIC);
    let append = Append { records: record("a"), acks: Acks::All };
    let pending = replica.append(append, NOW).unwrap().pending.expect("broker 2 lacks it");
    let synced = Truth { flush: true, partition_epoch: 1, ..truth(1, 0, &[1, 2]) };
    life.reconciler.reconcile(synced.image(1), NOW);
    let wanted = Wanted { offset: 1, ..first_read().wanted };
    replica.read_as_follower(FollowerRead { wanted, ..first_read() }, NOW.mono).found.unwrap();
    let committed = tokio::time::timeout(Duration::from_secs(10), pending).await;
    assert_eq!(committed, Ok(Ok(())), "nobody syncs it");
}

/// What is promised in an epoch may have been cut since another began.
#[test]
fn a_follower_is_heard_in_the_epoch_of_its_leader_alone() {
    let mut life = begin(&Arc::new(FaultDisk::new(20)), 1, &[]);
    life.reconciler.reconcile(led_by(1, 1, &[]), NOW);
    let replica = life.replica(TOPIC);
    replica.append(Append { records: record("a"), acks: Acks::Leader }, NOW).unwrap();
    let (fenced, unknown) = (ErrorCode::FencedLeaderEpoch, ErrorCode::UnknownLeaderEpoch);
    for (current_epoch, told) in [(-1, Err(fenced)), (0, Err(fenced)), (2, Err(unknown)), (1, Ok(1))] {
        let read = FollowerRead {
            from: 2,
            broker_epoch: 2,
            wanted: Wanted { offset: 1, current_epoch, last_epoch: 1 },
            log_start: 0,
            max_bytes: 100,
            at_least_one: true,
            is_held_back: false,
        };
        let Fetched { found, wants } = replica.read_as_follower(read, NOW.mono);
        assert_eq!(found.map(|found| found.seen.log_end), told, "{current_epoch}");
        assert_eq!(wants.is_some(), told.is_ok(), "{current_epoch}");
    }
}

/// The log ends where it ended then: only the epoch tells that the answer is late.
#[test]
fn an_answer_to_what_was_asked_in_an_older_epoch_is_not_acted_on() {
    let mut life = begin(&Arc::new(FaultDisk::new(22)), 2, &[]);
    let replica = life.replica(TOPIC);
    let marks = LeaderMarks { high_watermark: 0, log_start: 0 };
    let append = |asked: Asked| replica.append_fetched(asked, &located(asked.offset), marks, NOW);
    assert_eq!(append(Asked { epoch: 0, offset: 0 }), Ok(1));
    life.reconciler.reconcile(led_by(3, 1, &[]), NOW);
    let (late, fenced) = (Asked { epoch: 0, offset: 1 }, Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(append(late), fenced);
    assert_eq!(cut::truncate_by_epoch(&life.table, &replica, late, (-1, 0), NOW), fenced);
    assert_eq!(cut::restart_at(&life.table, &replica, late, 7, NOW), fenced);
    assert_eq!((replica.marks().log_start, replica.marks().log_end), (0, 1));
    assert_eq!(append(Asked { epoch: 1, offset: 1 }), Ok(2));
}

#[test]
fn a_follower_goes_on_behind_what_it_appended_before_an_error() {
    let disk = Arc::new(FaultDisk::new(21));
    let life = begin(&disk, 2, &[("segment.bytes", "1048576")]);
    let replica = life.replica(TOPIC);
    let sent = |offset| {
        let mut batch = BatchBuilder::new(Compression::NONE);
        batch.push(NOW.wall.0, None, Some(&[0; 700_000]), &[]);
        let mut batch = batch.finish().unwrap();
        batch.assign(offset, 0);
        batch.to_bytes()
    };
    let marks = LeaderMarks { high_watermark: 0, log_start: 0 };
    let append =
        |offset, records: &Bytes| replica.append_fetched(Asked { epoch: 0, offset }, records, marks, NOW);
    disk.inject(breaks(Op::Open, "/data", Errno::MFILE));
    append(0, &[sent(0), sent(1)].concat().into()).unwrap_err();
    disk.heal();
    assert_eq!(replica.position(0).unwrap().offset, 1);
    assert_eq!(append(1, &sent(1)), Ok(2));
}

#[test]
fn no_offset_is_found_by_time_before_the_watermark_reaches_the_epoch() {
    let disk = Arc::new(FaultDisk::new(23));
    let mut life = begin(&disk, 1, &[]);
    let replica = life.replica(TOPIC);
    replica.append(Append { records: record("a"), acks: Acks::Leader }, NOW).unwrap();
    life.reconciler.reconcile(led_by(1, 1, &[]), NOW);
    let found = replica.at_max_timestamp(Isolation::ReadUncommitted);
    assert_eq!(found, Err(ErrorCode::OffsetNotAvailable));
}

#[test]
fn a_leader_that_shuts_down_admits_who_is_to_take_over() {
    let mut life = begin(&Arc::new(FaultDisk::new(23)), 1, &[]);
    let mut image = (*led_by(1, 1, &[])).clone();
    let leaves = |broker| BrokerFencingChanged { broker, fenced: false, shutting_down: true };
    image.apply_all(&[Change::BrokerFencingChanged(leaves(1))]).unwrap();
    life.reconciler.reconcile(Arc::new(image), NOW);
    let read = FollowerRead {
        from: 2,
        broker_epoch: 2,
        wanted: Wanted { offset: 0, current_epoch: 1, last_epoch: -1 },
        log_start: 0,
        max_bytes: 100,
        at_least_one: true,
        is_held_back: false,
    };
    let wants = life.replica(TOPIC).read_as_follower(read, NOW.mono).wants;
    assert_eq!(wants.map(|change| change.isr), Some(vec![(1, 1), (2, 2)]));
}

/// It seems to keep up for a while, and to be about to come back: the watermark waits for those who are.
#[test]
fn a_follower_whose_log_directory_has_failed_is_not_waited_for() {
    let mut life = Life::begin(&Arc::new(FaultDisk::new(25)));
    life.reconciler.reconcile(truth(1, 0, &[1, 2, 3]).image(0), NOW);
    let replica = life.replica(TOPIC);
    let fetch = |from: BrokerId, offset| {
        let wanted = Wanted { offset, current_epoch: 0, last_epoch: -1 };
        let (broker_epoch, log_start, max_bytes) = (i64::from(from), 0, 100);
        let (at_least_one, is_held_back) = (true, false);
        replica.read_as_follower(
            FollowerRead { from, broker_epoch, wanted, log_start, max_bytes, at_least_one, is_held_back },
            NOW.mono,
        )
    };
    assert!([2, 3].map(|from| fetch(from, 0)).iter().all(|fetched| fetched.wants.is_none()));
    replica.append(Append { records: record("a"), acks: Acks::Leader }, NOW).unwrap();
    assert_eq!(fetch(2, 1).wants, None);
    assert_eq!(replica.marks().high_watermark, 0);
    let shrunk = Truth { partition_epoch: 1, ..truth(1, 0, &[1, 2]) };
    let mut image = (*shrunk.image(1)).clone();
    let mut broker = Broker::clone(image.brokers.get(3).unwrap());
    broker.failed.append(&mut broker.directories);
    image.apply_all(&[Change::BrokerRegistered(broker)]).unwrap();
    life.reconciler.reconcile(Arc::new(image), NOW);
    assert_eq!(replica.marks().high_watermark, 1);
    assert_eq!(fetch(3, 1).wants, None, "nor is it admitted");
}

#[test]
fn a_log_that_failed_in_a_sound_directory_is_opened_again() {
    let disk = Arc::new(FaultDisk::new(24));
    let mut life = begin(&disk, 2, &[]);
    let replica = life.replica(TOPIC);
    let mut batch = BatchBuilder::new(Compression::NONE);
    batch.push(NOW.wall.0, None, Some(b"a"), &[]);
    let records = batch.finish().unwrap().to_bytes();
    let marks = LeaderMarks { high_watermark: 0, log_start: 0 };
    assert_eq!(replica.append_fetched(Asked { epoch: 0, offset: 0 }, &records, marks, NOW), Ok(1));
    disk.inject(breaks(Op::Open, "/data", Errno::MFILE));
    let asked = Asked { epoch: 0, offset: 1 };
    cut::truncate_by_epoch(&life.table, &replica, asked, (-1, 0), NOW).unwrap_err();
    assert!(replica.position(0).is_err() && life.dirs.all()[0].is_online());
    assert!(life.reconciler.is_waiting());
    disk.heal();
    while life.roles.try_recv().is_ok() {}
    life.reconciler.reconcile(led_by(2, 0, &[]), NOW);
    assert!(matches!(life.roles.try_recv().unwrap().role, Role::Gone));
    assert!(matches!(life.roles.try_recv().unwrap().role, Role::Follows { .. }));
    assert!(!life.reconciler.is_waiting());
    let offset = life.replica(TOPIC).position(0).unwrap().offset;
    let asked = Asked { epoch: 0, offset };
    assert_eq!(cut::truncate_by_epoch(&life.table, &life.replica(TOPIC), asked, (-1, 0), NOW), Ok(0));
    assert_eq!(
        life.replica(TOPIC).append_fetched(Asked { epoch: 0, offset: 0 }, &records, marks, NOW),
        Ok(1)
    );
}

#[test]
fn a_deleted_topic_is_unlinked_after_its_own_delay() {
    let mut life = Life::begin(&Arc::new(FaultDisk::new(25)));
    let delayed = [created(TOPIC, 0), vec![set(("file.delete.delay.ms", "5"))]].concat();
    life.reconciler.reconcile(image(1, &delayed), NOW);
    life.reconciler.reconcile(image(2, &[created(TOPIC, 0), vec![deleted(TOPIC)]].concat()), NOW);
    assert_eq!(life.doomed.try_recv().unwrap().due, NOW.mono.plus(Duration::from_millis(5)));
}

#[test]
fn a_follower_shows_consumers_what_is_committed_and_nothing_above() {
    let mut life = begin(&Arc::new(FaultDisk::new(26)), 2, &[]);
    let replica = life.replica(TOPIC);
    let records: Vec<u8> = (0..3).flat_map(located).collect();
    let one = records.len() / 3;
    let marks = |high_watermark| LeaderMarks { high_watermark, log_start: 0 };
    let append = |offset, records: Vec<u8>, watermark| {
        replica.append_fetched(Asked { epoch: 0, offset }, &records.into(), marks(watermark), NOW).unwrap()
    };
    append(0, records, 2);
    let read = |offset, current_epoch, may_follow| {
        let wanted = Wanted { offset, current_epoch, last_epoch: -1 };
        let (max_bytes, isolation) = (1 << 20, Isolation::ReadUncommitted);
        let found = replica.read(Read { wanted, max_bytes, at_least_one: true, isolation, may_follow });
        found.map(|found| found.slices.iter().map(|slice| slice.len).sum::<usize>())
    };
    assert_eq!(read(0, 0, true), Ok(2 * one));
    assert_eq!(read(2, -1, true), Ok(0), "not committed, as far as is known here");
    assert_eq!(read(3, -1, true), Ok(0));
    assert_eq!(read(4, -1, true), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(read(0, -1, false), Err(ErrorCode::NotLeaderOrFollower));
    append(3, vec![], 3);
    assert_eq!(read(2, 0, true), Ok(one));
    life.reconciler.reconcile(led_by(2, 1, &[]), NOW);
    assert_eq!(read(0, 0, true), Err(ErrorCode::FencedLeaderEpoch));
    replica.step_down();
    assert_eq!(read(0, -1, true), Err(ErrorCode::NotLeaderOrFollower), "it follows nobody");
}

/// The watermark waits also for who has caught up and cannot have joined yet.
#[test]
fn who_is_held_back_is_heard_and_gets_nothing_unless_it_is_waited_for() {
    let keys = [("leader.replication.throttled.replicas", "0:1"), ("min.insync.replicas", "1")];
    let life = begin(&Arc::new(FaultDisk::new(27)), 1, &keys);
    let replica = life.replica(TOPIC);
    assert!(replica.is_throttled_leader() && !replica.is_throttled_follower());
    let add = |value| {
        replica.append(Append { records: record(value), acks: Acks::Leader }, NOW).unwrap();
        replica.marks().high_watermark
    };
    let fetch = |offset, is_held_back| {
        let read = FollowerRead {
            from: 2,
            broker_epoch: 2,
            wanted: Wanted { offset, current_epoch: 0, last_epoch: -1 },
            log_start: 0,
            max_bytes: 1000,
            at_least_one: true,
            is_held_back,
        };
        let Fetched { found, wants } = replica.read_as_follower(read, NOW.mono);
        (found.unwrap().slices.len(), wants)
    };
    assert_eq!(add("a"), 1);
    assert_eq!(fetch(0, true), (0, None), "it is behind");
    assert_eq!(fetch(0, false).0, 1);
    assert_eq!(add("b"), 2);
    assert_eq!(fetch(1, true), (1, None), "it keeps up");
    assert_eq!(add("c"), 2);
    let (slices, wants) = fetch(2, true);
    assert_eq!(slices, 1, "it is asked for");
    assert!(replica.isr_answered(&wants.expect("it has what is committed"), Ok(1)).is_none());
    assert_eq!(fetch(2, true).0, 1, "it is in sync");
    fetch(3, true);
    assert_eq!(replica.marks().high_watermark, 3);
}

#[test]
fn what_was_opened_is_given_its_role_though_the_checkpoints_had_to_wait() {
    let disk = Arc::new(FaultDisk::new(28));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &[]), NOW);
    let made = image(2, &created(TOPIC, 0));
    disk.set_max_open(0);
    life.reconciler.reconcile(made.clone(), NOW);
    disk.heal();
    disk.inject(breaks(Op::Open, "/data/recovery-point-offset-checkpoint.tmp", Errno::MFILE));
    life.reconciler.reconcile(made.clone(), NOW);
    assert_eq!(append(&life.replica(TOPIC), "early"), Err(ErrorCode::NotLeaderOrFollower));
    disk.heal();
    life.reconciler.reconcile(made.clone(), NOW);
    assert_eq!(append(&life.replica(TOPIC), "a"), Ok(0));
}
