//! A broker's partitions on a disk that loses power, fills up and fails.

mod driver;
mod pair;
pub(crate) mod trio;
#[cfg(feature = "shuttle")]
mod turns;

use super::reconcile::{Doomed, Parts, Reconciler, Role, RoleChange};
use super::replica::{Acks, Append, FollowerRead, Isolation, Read, Replica, Wanted};
use super::restless::By;
use super::table::Table;
use super::{checkpoint, keeper, reconcile};
use crate::cluster::Image;
use crate::cluster::change::{Change, ConfigSet, PartitionChanged, TopicCreated, TopicDeleted};
use crate::cluster::controller::Released;
use crate::cluster::image::{self, PartitionImage};
use crate::config::BrokerConfig;
use crate::seam::Clock;
use crate::types::{BrokerId, ErrorCode, Mono, Now, Offset, TopicPartition, Uuid, Wall};
use bytes::Bytes;
use futures_util::FutureExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::batch::{BatchBuilder, ProducerFields};
use storage::checkpoint::OffsetFile;
use storage::compress::Compression;
use storage::dirs::DirKind;
use storage::dirs::LogDirs;
use storage::disk::Disk;
use storage::disk::fault::{Errno, Fault, FaultDisk, Op, When};
use storage::files::FileCache;
use storage::log::LogEnv;
use tokio::sync::mpsc;

const ME: i32 = 1;
pub(crate) const TOPIC: Uuid = Uuid::from_u128(77);
pub(crate) const NOW: Now = Now { mono: Mono(1_000), wall: Wall(1_700_000_000_000) };

/// One life of a broker's partitions.
pub(crate) struct Life {
    pub reconciler: Reconciler,
    pub table: Arc<Table>,
    dirs: Arc<LogDirs>,
    pub roles: mpsc::UnboundedReceiver<RoleChange>,
    doomed: mpsc::UnboundedReceiver<Doomed>,
}

impl Life {
    fn begin(disk: &Arc<FaultDisk>) -> Life {
        Life::begin_in(disk, &["/data"])
    }

    fn begin_in(disk: &Arc<FaultDisk>, paths: &[&str]) -> Life {
        Life::begin_with(disk, paths, || {})
    }

    /// `meanwhile` happens when the directories are locked and looked at, but not what is in them.
    fn begin_with(disk: &Arc<FaultDisk>, paths: &[&str], meanwhile: impl FnOnce()) -> Life {
        Life::of(ME, disk, paths, meanwhile)
    }

    pub fn of(me: BrokerId, disk: &Arc<FaultDisk>, paths: &[&str], meanwhile: impl FnOnce()) -> Life {
        let disk: Arc<dyn Disk> = disk.clone();
        let mut ids = (1..).map(Uuid::from_u128);
        let mut mint = || ids.next().unwrap();
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let dirs = LogDirs::open(&disk, &paths, me, &mut mint, Arc::new(|_| {})).unwrap();
        meanwhile();
        let (dirs, table) = (Arc::new(dirs), Arc::<Table>::default());
        let (roles_out, roles) = mpsc::unbounded_channel();
        let (doomed_out, doomed) = mpsc::unbounded_channel();
        let files = Arc::new(FileCache::new(disk.clone(), 100));
        let reconciler = Reconciler::new(Parts {
            me,
            env: LogEnv { disk, files },
            dirs: dirs.clone(),
            table: table.clone(),
            config: Arc::new(BrokerConfig::default()),
            roles: roles_out,
            doomed: doomed_out,
        });
        Life { reconciler: reconciler.unwrap(), table, dirs, roles, doomed }
    }

    pub fn replica(&self, topic: Uuid) -> Arc<Replica> {
        self.table.get(TopicPartition { topic, partition: 0 }).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = self.dirs.all()[0].partitions().unwrap();
        names.into_iter().map(|dir| dir.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }
}

/// The metadata after `changes`, as some entry of the log left it.
fn image(index: u64, changes: &[Change]) -> Arc<Image> {
    let mut image = Image::default();
    image.apply_all(changes).unwrap();
    image.applied.index = index;
    Arc::new(image)
}

fn created(id: Uuid, leader_epoch: i32) -> Vec<Change> {
    placed(id, "orders", 1, leader_epoch)
}

/// A topic of one partition, in the directory that is the nth of the first life.
fn placed(id: Uuid, name: &str, nth: u128, leader_epoch: i32) -> Vec<Change> {
    let partition = PartitionImage {
        index: 0,
        replicas: vec![image::Replica { broker: ME, directory: Uuid::from_u128(nth) }],
        isr: vec![ME],
        elr: vec![],
        leader: Some(ME),
        last_known_leader: None,
        leader_epoch,
        partition_epoch: leader_epoch,
        adding: vec![],
        removing: vec![],
        released: vec![],
        blank: vec![],
    };
    vec![
        Change::TopicCreated(TopicCreated { id, name: name.into() }),
        Change::PartitionChanged(PartitionChanged { topic: id, partition }),
    ]
}

pub(crate) fn record(value: &str) -> Bytes {
    let mut batch = BatchBuilder::new(Compression::NONE);
    batch.push(NOW.wall.0, None, Some(value.as_bytes()), &[]);
    batch.finish().unwrap().to_bytes()
}

/// Broker 2 begins to follow, in epoch 0.
pub(crate) fn first_read() -> FollowerRead {
    FollowerRead {
        from: 2,
        broker_epoch: 2,
        wanted: Wanted { offset: 0, current_epoch: 0, last_epoch: -1 },
        log_start: 0,
        max_bytes: 100,
        at_least_one: true,
        is_held_back: false,
    }
}

pub(crate) fn append(replica: &Arc<Replica>, value: &str) -> Result<Offset, ErrorCode> {
    let appended = replica.append(Append { records: record(value), acks: Acks::All }, NOW);
    appended.map(|appended| appended.base_offset).map_err(|refused| refused.code)
}

fn read_all(replica: &Replica) -> Bytes {
    let wanted = Wanted { offset: 0, current_epoch: -1, last_epoch: -1 };
    let read = Read {
        wanted,
        max_bytes: 1 << 20,
        at_least_one: true,
        isolation: Isolation::ReadUncommitted,
        may_follow: false,
    };
    let found = replica.read(read).unwrap();
    found.slices.iter().flat_map(|slice| slice.read().unwrap()).collect::<Vec<u8>>().into()
}

#[test]
fn what_was_appended_is_read_again_by_the_next_life() {
    let disk = Arc::new(FaultDisk::new(1));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    assert!(matches!(life.roles.try_recv().unwrap().role, Role::Leads(_)));
    let replica = life.replica(TOPIC);
    assert_eq!((append(&replica, "a"), append(&replica, "b")), (Ok(0), Ok(1)));
    let before = read_all(&replica);
    keeper::close_all(&life.table, &life.dirs, 1);
    assert_eq!(append(&replica, "late"), Err(ErrorCode::NotLeaderOrFollower));
    drop((replica, life));

    let mut life = Life::begin(&disk);
    assert!(life.reconciler.found_clean());
    life.reconciler.reconcile(image(2, &created(TOPIC, 1)), NOW);
    assert_eq!(read_all(&life.replica(TOPIC)), before);
    assert_eq!(append(&life.replica(TOPIC), "c"), Ok(2));
}

#[test]
fn a_repetition_is_answered_with_the_time_of_the_first() {
    let disk = Arc::new(FaultDisk::new(5));
    let mut life = Life::begin(&disk);
    let stamps = crate::cluster::change::ConfigSet {
        resource: image::ConfigResource::topic("orders"),
        key: "message.timestamp.type".into(),
        value: "LogAppendTime".into(),
    };
    life.reconciler.reconcile(image(1, &[created(TOPIC, 0), vec![Change::ConfigSet(stamps)]].concat()), NOW);
    let producer = ProducerFields { id: 7, epoch: 0, base_sequence: 0 };
    let mut batch = BatchBuilder::new(Compression::NONE).producer(producer);
    batch.push(NOW.wall.0, None, Some(b"once"), &[]);
    let records = batch.finish().unwrap().to_bytes();
    let later = Now { wall: Wall(NOW.wall.0 + 5), ..NOW };
    for now in [NOW, later] {
        let append = Append { records: records.clone(), acks: Acks::Leader };
        let appended = life.replica(TOPIC).append(append, now).unwrap();
        assert_eq!((appended.base_offset, appended.log_append_time), (0, Some(NOW.wall)));
    }
}

#[test]
fn a_reader_of_an_unknown_epoch_is_out_of_range() {
    let disk = Arc::new(FaultDisk::new(6));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 3)), NOW);
    append(&life.replica(TOPIC), "a").unwrap();
    let read = |last_epoch| {
        let wanted = Wanted { offset: 1, current_epoch: -1, last_epoch };
        let isolation = Isolation::ReadUncommitted;
        let read = Read { wanted, max_bytes: 1 << 20, at_least_one: true, isolation, may_follow: false };
        life.replica(TOPIC).read(read).map(|found| found.diverging_epoch)
    };
    assert_eq!(read(3), Ok(None));
    assert_eq!(read(2), Ok(Some((2, 0))));
    assert_eq!(read(4), Err(ErrorCode::OffsetOutOfRange));
}

#[test]
fn who_names_another_leader_epoch_is_told_whether_it_is_an_older_or_a_newer_one() {
    let mut life = Life::begin(&Arc::new(FaultDisk::new(6)));
    life.reconciler.reconcile(image(1, &created(TOPIC, 3)), NOW);
    let replica = life.replica(TOPIC);
    append(&replica, "a").unwrap();
    let (fenced, unknown) = (Err(ErrorCode::FencedLeaderEpoch), Err(ErrorCode::UnknownLeaderEpoch));
    for (current_epoch, told) in [(-1, Ok(())), (3, Ok(())), (2, fenced), (4, unknown)] {
        let wanted = Wanted { offset: 0, current_epoch, last_epoch: -1 };
        for may_follow in [false, true] {
            let isolation = Isolation::ReadUncommitted;
            let read = Read { wanted, max_bytes: 1 << 20, at_least_one: true, isolation, may_follow };
            assert_eq!(replica.read(read).map(drop), told, "{current_epoch}, {may_follow}");
        }
        assert_eq!(replica.read_elsewhere(wanted).map(drop), told, "{current_epoch}");
        assert_eq!(replica.check_leader(current_epoch), told, "{current_epoch}");
    }
}

#[test]
fn a_topic_made_again_under_its_name_starts_empty() {
    let disk = Arc::new(FaultDisk::new(2));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    append(&life.replica(TOPIC), "old").unwrap();
    let again = Uuid::from_u128(78);
    let deleted = [
        created(TOPIC, 0),
        vec![Change::TopicDeleted(TopicDeleted { id: TOPIC, held_by: vec![ME] })],
        created(again, 0),
    ];
    let confirmed = life.reconciler.reconcile(image(2, &deleted.concat()), NOW);
    assert_eq!(confirmed.topics, [TOPIC]);
    assert_eq!(read_all(&life.replica(again)).len(), 0);
    assert!(life.names().iter().any(|name| name.ends_with("-delete")), "{:?}", life.names());
}

#[test]
fn what_the_cluster_does_not_know_is_kept_aside() {
    let disk = Arc::new(FaultDisk::new(3));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    append(&life.replica(TOPIC), "precious").unwrap();
    keeper::close_all(&life.table, &life.dirs, 1);
    drop(life);

    // The same name, another topic: neither its data nor its checkpoints are taken over.
    let mut life = Life::begin(&disk);
    let other = Uuid::from_u128(79);
    life.reconciler.reconcile(image(1, &created(other, 0)), NOW);
    assert_eq!(append(&life.replica(other), "fresh"), Ok(0));
    assert!(life.names().iter().any(|name| name.ends_with("-stray")), "{:?}", life.names());
}

/// A topic may be in one image and in the next neither there nor deleted: that it was is forgotten once every broker that held
/// it has said so.
#[test]
fn nor_is_what_a_later_image_does_not_know_deleted() {
    let mut life = Life::begin(&Arc::new(FaultDisk::new(4)));
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    append(&life.replica(TOPIC), "precious").unwrap();
    life.reconciler.reconcile(image(2, &[]), NOW);
    assert!(life.names().iter().all(|name| name.ends_with("-stray")), "{:?}", life.names());
    assert_eq!(life.names().len(), 1);
    assert!(life.doomed.try_recv().is_err(), "it is not to be unlinked");
}

fn deleted(id: Uuid) -> Change {
    Change::TopicDeleted(TopicDeleted { id, held_by: vec![ME] })
}

/// A topic whose first half is deleted, with all of that in the checkpoints.
fn half_deleted(disk: &Arc<FaultDisk>) -> Life {
    let mut life = Life::begin(disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    let replica = life.replica(TOPIC);
    (0..8).for_each(|_| _ = append(&replica, "old").unwrap());
    replica.delete_records(4).unwrap();
    assert!(replica.ask_flush());
    replica.flush();
    checkpoint::write(&life.table, &life.dirs.all()[0], checkpoint::ALL).unwrap();
    life
}

/// Another topic of the same name: what it is given must be there after a kill.
fn makes_it_again(mut life: Life, disk: &Arc<FaultDisk>) {
    let again = Uuid::from_u128(78);
    let changes = [created(TOPIC, 0), vec![deleted(TOPIC)], created(again, 0)].concat();
    life.reconciler.reconcile(image(2, &changes), NOW);
    assert_eq!(append(&life.replica(again), "new"), Ok(0));
    let before = read_all(&life.replica(again));
    drop(life);
    let mut life = Life::begin(disk);
    life.reconciler.reconcile(image(2, &changes), NOW);
    let replica = life.replica(again);
    assert_eq!((replica.marks().log_start, replica.marks().log_end), (0, 1));
    assert_eq!(read_all(&replica), before);
}

#[test]
fn a_topic_made_again_does_not_inherit_the_checkpoints_of_the_old_one() {
    let disk = Arc::new(FaultDisk::new(5));
    makes_it_again(half_deleted(&disk), &disk);
}

#[test]
fn nor_if_the_broker_was_away_meanwhile() {
    let disk = Arc::new(FaultDisk::new(6));
    drop(half_deleted(&disk));
    makes_it_again(Life::begin(&disk), &disk);
}

#[test]
fn nor_if_only_the_directory_had_gone_so_far() {
    let disk = Arc::new(FaultDisk::new(7));
    let life = half_deleted(&disk);
    life.replica(TOPIC).retire("/data/orders-0.0123456789abcdef0123456789abcdef-delete".as_ref()).unwrap();
    drop(life);
    makes_it_again(Life::begin(&disk), &disk);
}

#[test]
fn a_sync_that_comes_after_the_end_of_its_log_fails_no_directory() {
    let disk = Arc::new(FaultDisk::new(8));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    let replica = life.replica(TOPIC);
    append(&replica, "late").unwrap();
    assert!(replica.ask_flush());
    life.reconciler.reconcile(image(2, &[created(TOPIC, 0), vec![deleted(TOPIC)]].concat()), NOW);
    disk.remove(&replica.path()).unwrap();
    replica.flush();
    assert!(life.dirs.all()[0].is_online());
}

/// The metadata after the partition moved to another broker, out of this directory perhaps.
fn moved(released: Option<Uuid>) -> Vec<Change> {
    let mut changes = created(TOPIC, 1);
    let Some(Change::PartitionChanged(PartitionChanged { partition, .. })) = changes.last_mut() else {
        unreachable!("a partition comes last")
    };
    let old = std::mem::replace(&mut partition.replicas[0].broker, ME + 1);
    assert_eq!(old, ME);
    (partition.isr, partition.leader) = (vec![ME + 1], Some(ME + 1));
    let released = released.map(|directory| image::Replica { broker: ME, directory });
    partition.released = released.into_iter().collect();
    changes
}

#[test]
fn a_replica_that_moved_away_is_deleted_only_if_the_log_released_it() {
    for (released, restarts) in [(true, false), (true, true), (false, false), (false, true)] {
        let disk = Arc::new(FaultDisk::new(5));
        let mut life = Life::begin(&disk);
        life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
        append(&life.replica(TOPIC), "a").unwrap();
        if restarts {
            keeper::close_all(&life.table, &life.dirs, 1);
            drop(life);
            life = Life::begin(&disk);
        }
        let directory = Uuid::from_u128(1);
        let confirmed = life.reconciler.reconcile(image(2, &moved(released.then_some(directory))), NOW);
        let gone = Released { topic: TOPIC, partition: 0, directory };
        assert_eq!(confirmed.replicas, Vec::from_iter(released.then_some(gone)));
        let at = TopicPartition { topic: TOPIC, partition: 0 };
        assert_eq!(life.table.get(at).err(), Some(ErrorCode::NotLeaderOrFollower));
        let suffix = if released { "-delete" } else { "-stray" };
        assert!(life.names().iter().all(|name| name.ends_with(suffix)), "{:?}", life.names());
        assert_eq!(life.names().len(), 1);

        // Back again, it begins anew.
        life.reconciler.reconcile(image(3, &created(TOPIC, 2)), NOW);
        assert_eq!(append(&life.replica(TOPIC), "b"), Ok(0));
    }
}

#[test]
fn nothing_is_left_of_a_replica_in_a_directory_that_this_broker_does_not_have() {
    let confirmed = |life: &mut Life, nth| {
        let directory = Uuid::from_u128(nth);
        life.reconciler.reconcile(image(1, &placed(TOPIC, "orders", nth, 0)), NOW);
        let confirmed = life.reconciler.reconcile(image(2, &moved(Some(directory))), NOW);
        let gone = Released { topic: TOPIC, partition: 0, directory };
        assert!(confirmed.replicas.iter().all(|replica| *replica == gone));
        confirmed.replicas.len()
    };
    let disk = Arc::new(FaultDisk::new(6));
    for nth in [0, 99] {
        assert_eq!(confirmed(&mut Life::begin_in(&disk, &BOTH), nth), 1, "directory {nth}");
    }
    // Of one that does not work nobody can say.
    disk.inject(breaks(Op::Open, "/more", Errno::IO));
    assert_eq!(confirmed(&mut Life::begin_in(&disk, &BOTH), 2), 0);
}

#[test]
fn a_full_disk_refuses_and_takes_its_directory_offline() {
    let disk = Arc::new(FaultDisk::new(4));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    let replica = life.replica(TOPIC);
    append(&replica, "fits").unwrap();
    disk.set_capacity(disk.used());
    assert_eq!(append(&replica, "does not"), Err(ErrorCode::KafkaStorageError));
    assert!(!life.dirs.all()[0].is_online());
    assert_eq!(append(&replica, "nor this"), Err(ErrorCode::KafkaStorageError));
}

/// The topic, with `flush.messages=1`.
fn flush(epoch: i32) -> Vec<Change> {
    [created(TOPIC, epoch), vec![set(("flush.messages", "1"))]].concat()
}

/// A configuration of the topic.
fn set((key, value): (&str, &str)) -> Change {
    let resource = image::ConfigResource::topic("orders");
    Change::ConfigSet(ConfigSet { resource, key: key.into(), value: value.into() })
}

#[test]
fn out_of_descriptors_no_directory_goes_offline_and_all_is_made_up_for() {
    let disk = Arc::new(FaultDisk::new(12));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    let replica = life.replica(TOPIC);
    append(&replica, "unsynced").unwrap();
    disk.set_max_open(0);
    assert!(replica.ask_flush());
    replica.flush();
    let both = [created(TOPIC, 0), placed(OTHER, "others", 1, 0)].concat();
    life.reconciler.reconcile(image(2, &both), NOW);
    let other = TopicPartition { topic: OTHER, partition: 0 };
    assert_eq!(life.table.get(other).unwrap_err(), ErrorCode::KafkaStorageError);
    assert!(life.dirs.all()[0].is_online() && life.reconciler.is_waiting() && replica.is_flush_due(NOW));

    disk.heal();
    assert!(replica.ask_flush());
    replica.flush();
    assert_eq!(replica.marked().recovery_point, 1);
    life.reconciler.reconcile(image(2, &both), NOW);
    assert!(!life.reconciler.is_waiting());
    assert_eq!(append(&life.replica(OTHER), "late"), Ok(0));
}

/// What retention meets on the disk is judged like any other error, and nobody goes on waiting for a log that has failed.
#[tokio::test]
async fn a_log_that_retention_breaks_ends_what_waits_on_it() {
    for (errno, online) in [(Errno::IO, false), (Errno::BUSY, true)] {
        let disk = Arc::new(FaultDisk::new(14));
        let mut life = Life::begin(&disk);
        let small = ("internal.segment.bytes", "100");
        life.reconciler.reconcile(image(1, &[created(TOPIC, 0), vec![set(small)]].concat()), NOW);
        let replica = life.replica(TOPIC);
        (0..4).for_each(|_| _ = append(&replica, "a").unwrap());
        assert!(replica.ask_flush());
        replica.flush();
        replica.delete_records(4).unwrap();
        let mut wait = replica.progress().clone().committed(9, 0).boxed();
        assert!(wait.as_mut().now_or_never().is_none());
        disk.inject(breaks(Op::Rename, "/data/orders-0", errno));
        replica.retain(NOW).unwrap_err();
        assert_eq!(life.dirs.all()[0].is_online(), online);
        assert_eq!(wait.await, Err(ErrorCode::NotLeaderOrFollower));
    }
}

#[test]
fn a_start_writes_no_topic_id_that_is_there() {
    let disk = Arc::new(FaultDisk::new(15));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    drop(life);
    disk.inject(breaks(Op::Open, "/data/orders-0/partition.metadata.tmp", Errno::IO));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(2, &created(TOPIC, 1)), NOW);
    assert_eq!(append(&life.replica(TOPIC), "a"), Ok(0));
}

fn keeper_of(life: &Life) -> keeper::Keeper {
    let (_, doomed) = mpsc::unbounded_channel();
    let config = Arc::new(BrokerConfig::default());
    keeper::Keeper::new(life.table.clone(), life.dirs.clone(), config, Clock::start(), doomed)
}

/// Nobody looks at a partition at rest; what is due comes although nothing happens any more.
#[test]
fn the_keeper_looks_at_what_is_restless_and_at_what_is_due() {
    let disk = Arc::new(FaultDisk::new(16));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    let (mut keeper, replica) = (keeper_of(&life), life.replica(TOPIC));
    let restless = || life.table.restless().list(By::Keeper).len();
    assert_eq!(restless(), 1, "it is new");
    keeper.round(NOW);
    assert_eq!(restless(), 0);
    append(&replica, "a").unwrap();
    append(&replica, "b").unwrap();
    assert_eq!(restless(), 1);
    keeper.round(NOW);
    assert_eq!((restless(), replica.marked().recovery_point), (0, 0));
    let later = Now { mono: NOW.mono.plus(Duration::from_secs(61)), ..NOW };
    keeper.round(later);
    assert_eq!(replica.marked().recovery_point, 2);
    let points = life.dirs.all()[0].read_offsets(OffsetFile::RecoveryPoint).unwrap();
    assert_eq!(points.into_values().collect::<Vec<_>>(), [2]);
    keeper.round(later);
    assert_eq!(restless(), 0);
}

#[test]
fn recovery_points_follow_what_is_synced() {
    let disk = Arc::new(FaultDisk::new(16));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    let mut keeper = keeper_of(&life);
    keeper.round(NOW);
    let (replica, value) = (life.replica(TOPIC), "x".repeat(1_000_000));
    let written = || life.dirs.all()[0].read_offsets(OffsetFile::RecoveryPoint).unwrap();
    for nth in 0..68 {
        assert!(written().values().all(|point| *point == 0), "{nth}");
        append(&replica, &value).unwrap();
    }
    keeper.round(NOW);
    assert_eq!(written().into_values().collect::<Vec<_>>(), [68]);
}

#[test]
fn a_name_is_not_taken_while_checkpoints_cannot_be_struck() {
    let disk = Arc::new(FaultDisk::new(13));
    let mut life = half_deleted(&disk);
    let again = Uuid::from_u128(78);
    let changes = [created(TOPIC, 0), vec![deleted(TOPIC)], created(again, 0)].concat();
    disk.inject(breaks(Op::Open, "/data/recovery-point-offset-checkpoint.tmp", Errno::MFILE));
    life.reconciler.reconcile(image(2, &changes), NOW);
    assert!(life.table.get(TopicPartition { topic: again, partition: 0 }).is_err());
    disk.heal();
    makes_it_again(life, &disk);
}

const BOTH: [&str; 2] = ["/data", "/more"];
const OTHER: Uuid = Uuid::from_u128(88);

/// A topic in each of two directories.
fn in_both(epoch: i32) -> Vec<Change> {
    [created(TOPIC, epoch), placed(OTHER, "others", 2, epoch)].concat()
}

fn breaks(op: Op, under: &str, errno: Errno) -> Fault {
    Fault { op, under: under.into(), when: When::From(1), errno }
}

/// The first directory does not work; the second does all that one expects.
fn serves_on_in_the_second(life: &Life, offset: Offset) {
    let [first, second] = life.dirs.all() else { panic!("two directories") };
    assert!(!first.is_online() && second.is_online());
    let code = match life.table.get(TopicPartition { topic: TOPIC, partition: 0 }) {
        Ok(replica) => append(&replica, "lost").unwrap_err(),
        Err(code) => code,
    };
    assert_eq!(code, ErrorCode::KafkaStorageError);
    assert_eq!(append(&life.replica(OTHER), "kept"), Ok(offset));
    assert!(!read_all(&life.replica(OTHER)).is_empty());
}

#[test]
fn where_one_directory_fails_or_fills_up_the_other_serves_on() {
    for errno in [Errno::IO, Errno::NOSPC, Errno::ROFS] {
        let disk = Arc::new(FaultDisk::new(10));
        let mut life = Life::begin_in(&disk, &BOTH);
        life.reconciler.reconcile(image(1, &in_both(0)), NOW);
        disk.inject(breaks(Op::Write, "/data", errno));
        append(&life.replica(TOPIC), "refused").unwrap_err();
        serves_on_in_the_second(&life, 0);
        keeper::close_all(&life.table, &life.dirs, 1);
        drop(life);
        // The next start finds the one still broken.
        let mut life = Life::begin_in(&disk, &BOTH[1..]);
        life.reconciler.reconcile(image(2, &in_both(1)), NOW);
        assert_eq!(append(&life.replica(OTHER), "on"), Ok(1), "{errno:?}");
    }
}

/// A replica in a directory that this broker does not have waits for it, and begins anew in another as soon as it is
/// placed there.
#[test]
fn a_replica_of_a_lost_directory_begins_empty_where_it_is_placed_next() {
    let disk = Arc::new(FaultDisk::new(12));
    let mut life = Life::begin_in(&disk, &BOTH);
    life.reconciler.reconcile(image(1, &placed(TOPIC, "orders", 99, 0)), NOW);
    let at = TopicPartition { topic: TOPIC, partition: 0 };
    assert_eq!(life.table.get(at).err(), Some(ErrorCode::KafkaStorageError));
    life.reconciler.reconcile(image(2, &placed(TOPIC, "orders", 2, 1)), NOW);
    assert_eq!(append(&life.replica(TOPIC), "a"), Ok(0));
    assert_eq!(life.replica(TOPIC).dir().id(), Uuid::from_u128(2));
    // One that is open is let go, and what it held is kept aside.
    life.reconciler.reconcile(image(3, &placed(TOPIC, "orders", 1, 2)), NOW);
    assert_eq!(append(&life.replica(TOPIC), "b"), Ok(0));
    assert_eq!(life.names(), ["orders-0"]);
    let left = life.dirs.all()[1].partitions().unwrap();
    assert!(left.iter().all(|dir| dir.kind == DirKind::Stray) && left.len() == 1, "{left:?}");
}

#[test]
fn a_directory_that_breaks_during_the_start_does_not_stop_it() {
    for op in [Op::List, Op::Open] {
        let disk = Arc::new(FaultDisk::new(11));
        let mut life = Life::begin_in(&disk, &BOTH);
        life.reconciler.reconcile(image(1, &in_both(0)), NOW);
        drop(life);
        let mut life = Life::begin_with(&disk, &BOTH, || disk.inject(breaks(op, "/data", Errno::IO)));
        assert!(!life.reconciler.found_clean());
        life.reconciler.reconcile(image(2, &in_both(1)), NOW);
        serves_on_in_the_second(&life, 0);
    }
}

#[tokio::test]
async fn what_a_killed_process_left_unsynced_is_promised_soon_after_the_next_start() {
    let disk = Arc::new(FaultDisk::new(9));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 0)), NOW);
    append(&life.replica(TOPIC), "a").unwrap();
    drop(life);
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(2, &flush(1)), NOW);
    let shown = life.replica(TOPIC).progress().clone().committed(1, 1);
    tokio::time::timeout(Duration::from_secs(10), shown).await.expect("it is not synced").unwrap();
}

#[test]
fn a_directory_that_fails_takes_its_leaderships_with_it() {
    let disk = Arc::new(FaultDisk::new(5));
    let mut life = Life::begin(&disk);
    life.reconciler.reconcile(image(1, &created(TOPIC, 3)), NOW);
    let (roles, mut news) = mpsc::unbounded_channel();
    reconcile::step_down_offline(&life.table, &roles);
    assert!(news.try_recv().is_err() && life.replica(TOPIC).marks().leads, "all is well");
    life.dirs.all()[0].fail(&std::io::Error::other("broken"));
    reconcile::step_down_offline(&life.table, &roles);
    let told = news.try_recv().unwrap();
    assert_eq!((&*told.topic, told.id.partition, told.epoch), ("orders", 0, i32::MAX));
    assert!(matches!(told.role, Role::Gone) && !life.replica(TOPIC).marks().leads);
    life.roles.try_recv().unwrap();
    life.reconciler.reconcile(image(2, &created(TOPIC, 4)), NOW);
    assert!(life.roles.try_recv().is_err(), "it does not lead again");
}

#[tokio::test]
async fn with_flush_messages_1_an_acknowledged_record_survives_power_loss() {
    for seed in 0..50 {
        let disk = Arc::new(FaultDisk::new(seed));
        let mut life = Life::begin(&disk);
        life.reconciler.reconcile(image(1, &flush(0)), NOW);
        let replica = life.replica(TOPIC);
        let appended = replica.append(Append { records: record("a"), acks: Acks::All }, NOW).unwrap();
        // The sync may be quicker than this thread.
        if let Some(pending) = appended.pending {
            pending.await.unwrap();
        }
        assert_eq!(replica.marks().high_watermark, 1);
        drop((replica, life));
        disk.crash();
        let mut life = Life::begin(&disk);
        life.reconciler.reconcile(image(2, &flush(1)), NOW);
        assert_eq!(life.replica(TOPIC).marks().log_end, 1, "seed {seed}");
    }
}

#[test]
fn what_is_open_takes_its_role_before_others_are_opened() {
    let disk = Arc::new(FaultDisk::new(22));
    let mut life = Life::begin(&disk);
    let old = |epoch| placed(OTHER, "others", 1, epoch);
    life.reconciler.reconcile(image(1, &old(0)), NOW);
    life.roles.try_recv().unwrap();
    let new = (1..10).flat_map(|id| placed(Uuid::from_u128(id), &format!("new-{id}"), 1, 0));
    life.reconciler.reconcile(image(2, &new.chain(old(1)).collect::<Vec<_>>()), NOW);
    assert_eq!(life.roles.try_recv().unwrap().id.topic, OTHER);
}
