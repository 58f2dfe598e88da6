//! The runtime around a group machine, on a log that lives in memory, under a clock that stands still when nobody works.

use crate::cluster::Image;
use crate::cluster::change::{Change, TopicCreated};
use crate::cluster::image::Topics;
use crate::coordinator::group::command::*;
use crate::coordinator::group::config::GroupConfig;
use crate::coordinator::group::groups::Groups;
use crate::coordinator::group::records::{Event, OffsetCommit, OffsetKey};
use crate::coordinator::log::ShardLog;
use crate::coordinator::machine::{Record, Replayed};
use crate::seam::Clock;
use crate::types::{ErrorCode, LeaderEpoch, Now, Offset, Uuid, Wall};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::watch;

/// A partition: `state` is what the broker would publish of it.
struct MemoryLog {
    records: Mutex<Vec<Record>>,
    refuse: Mutex<Option<ErrorCode>>,
    state: watch::Sender<(LeaderEpoch, Offset)>,
    /// Loading waits for a word on this, if there is one.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    /// Loading fails like this.
    broken: Mutex<Option<ErrorCode>>,
}

impl MemoryLog {
    fn new() -> Arc<Self> {
        let state = watch::Sender::new((1, 0));
        Arc::new(MemoryLog {
            records: Mutex::default(),
            refuse: Mutex::default(),
            state,
            gate: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    fn commit_all(&self) {
        let end = self.records.lock().len() as Offset;
        self.state.send_modify(|state| state.1 = end);
    }

    fn lead(&self, epoch: LeaderEpoch) {
        self.state.send_modify(|state| state.0 = epoch);
    }
}

impl ShardLog for MemoryLog {
    fn append(&self, records: Vec<Record>, epoch: LeaderEpoch, _now: Now) -> Result<Offset, ErrorCode> {
        if let Some(error) = self.refuse.lock().take() {
            // The disk failed after it had written.
            let kept = if error == ErrorCode::KafkaStorageError { records } else { Vec::new() };
            self.records.lock().extend(kept);
            return Err(error);
        }
        if self.state.borrow().0 != epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let mut log = self.records.lock();
        log.extend(records);
        Ok(log.len() as Offset)
    }

    fn load(&self, epoch: LeaderEpoch, replay: &mut dyn FnMut(Replayed)) -> Result<Offset, ErrorCode> {
        if let Some(gate) = self.gate.lock().take() {
            gate.recv().map_err(|_| ErrorCode::NotLeaderOrFollower)?;
        }
        if self.state.borrow().0 != epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if let Some(error) = *self.broken.lock() {
            return Err(error);
        }
        let records = self.records.lock().clone();
        let end = records.len() as Offset;
        records.into_iter().for_each(|record| replay(Replayed::Record { producer_id: -1, record }));
        Ok(end)
    }

    fn committed(&self, end: Offset, epoch: LeaderEpoch) -> BoxFuture<'static, Result<(), ErrorCode>> {
        let mut state = self.state.subscribe();
        async move {
            let decided = state.wait_for(|(now, watermark)| *now != epoch || *watermark >= end).await;
            match decided.map(|state| state.0 == epoch) {
                Ok(true) => Ok(()),
                _ => Err(ErrorCode::NotLeaderOrFollower),
            }
        }
        .boxed()
    }
}

/// Topic `t`, as the tests commit for it.
fn known() -> Topics {
    let mut image = Image::default();
    let created = TopicCreated { id: Uuid::from_u128(1), name: "t".to_owned() };
    image.apply_all(&[Change::TopicCreated(created)]).unwrap();
    image.topics
}

fn groups() -> Groups {
    groups_where(known)
}

fn groups_where(topics: impl Fn() -> Topics + Send + std::marker::Sync + 'static) -> Groups {
    let config = GroupConfig {
        partitions: 1,
        min_session_timeout: Duration::ZERO,
        max_session_timeout: Duration::from_secs(60),
        initial_rebalance_delay: Duration::ZERO,
        max_size: 10,
        held_max_bytes: usize::MAX,
        offset_metadata_max_bytes: 100,
        offsets_retention: Duration::from_secs(3600),
        offsets_retention_check_interval: Duration::from_secs(3600),
        commit_timeout: Duration::from_secs(5),
    };
    Groups::new(config, Clock::start(), topics)
}

/// One shard, loaded.
async fn loaded(log: &Arc<MemoryLog>) -> Groups {
    let groups = groups();
    groups.elected(0, 1, log.clone());
    until_loaded(&groups).await;
    groups
}

async fn until_loaded(groups: &Groups) {
    while groups.list(ListGroups::default()).await == Err(ErrorCode::CoordinatorLoadInProgress) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn commit(offset: i64) -> CommitOffsets {
    let partition = CommitPartition { partition: 0, offset, leader_epoch: -1, metadata: None };
    CommitOffsets {
        group: "g".to_owned(),
        member: String::new(),
        instance: None,
        generation: -1,
        knows_group_not_found: true,
        retention: None,
        topics: vec![CommitTopic { name: "t".to_owned(), id: Uuid::nil(), partitions: vec![partition] }],
    }
}

fn fetch() -> FetchOffsets {
    FetchOffsets {
        group: "g".to_owned(),
        topics: Some(vec![("t".to_owned(), vec![0])]),
        require_stable: false,
    }
}

async fn fetched(groups: &Groups) -> i64 {
    groups.fetch(fetch()).await.unwrap()[0].partitions[0].offset
}

fn join(member: &str, session: Duration) -> Join {
    Join {
        group: "g".to_owned(),
        member: member.to_owned(),
        instance: None,
        client_id: "c".to_owned(),
        client_host: "/10.0.0.1".to_owned(),
        session_timeout: session,
        rebalance_timeout: Duration::from_secs(10),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::new())],
        needs_member_id: false,
        can_skip_assignment: true,
        reason: None,
    }
}

/// The sole member of a stable group.
async fn settle(groups: &Groups, session: Duration) -> Joined {
    let joined = groups.join(join("", session)).await.unwrap();
    let sync = Sync {
        group: "g".to_owned(),
        member: joined.member.clone(),
        instance: None,
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(joined.member.clone(), Bytes::from_static(b"A"))],
    };
    assert_eq!(groups.sync(sync).await.unwrap().assignment, "A");
    joined
}

/// From a member that is not there.
fn nobody() -> Heartbeat {
    Heartbeat { group: "g".to_owned(), member: "m".to_owned(), instance: None, generation: 1 }
}

fn heartbeat(joined: &Joined) -> Heartbeat {
    let (member, generation) = (joined.member.clone(), joined.generation);
    Heartbeat { group: "g".to_owned(), member, instance: None, generation }
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_of_its_partition_coordinates_a_group() {
    let groups = groups();
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::NotCoordinator));
    let log = MemoryLog::new();
    groups.elected(0, 1, log.clone());
    until_loaded(&groups).await;
    assert_eq!(fetched(&groups).await, -1);
    groups.resigned(0, 0);
    assert_eq!(fetched(&groups).await, -1, "an older resignation is none");
    groups.resigned(0, 1);
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::NotCoordinator));
    assert_eq!(groups.list(ListGroups::default()).await, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn while_it_loads_it_says_so_and_remembers_what_it_is_told() {
    let log = MemoryLog::new();
    let before = loaded(&log).await;
    let answer = before.commit(commit(7));
    log.commit_all();
    tokio::join!(answer, async { log.commit_all() }).0.unwrap();
    let (open, gate) = mpsc::channel();
    *log.gate.lock() = Some(gate);
    log.lead(2);
    let groups = groups();
    groups.elected(0, 2, log.clone());
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(groups.heartbeat(nobody()).await, Ok(()), "nobody shall rejoin for this");
    groups.topics_deleted(TopicsDeleted { topics: vec![("t".to_owned(), Uuid::nil())] });
    open.send(()).unwrap();
    until_loaded(&groups).await;
    while log.records.lock().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    log.commit_all();
    assert_eq!(fetched(&groups).await, -1, "the topic is gone, and so is its offset");
}

#[tokio::test]
async fn who_comes_before_the_election_waits_until_the_log_is_loaded() {
    let (groups, log) = (groups(), MemoryLog::new());
    let (open, gate) = mpsc::channel();
    *log.gate.lock() = Some(gate);
    let mut settled = Box::pin(groups.settled("g", Duration::from_secs(60)));
    assert!((&mut settled).now_or_never().is_none(), "nobody is elected");
    groups.elected(0, 1, log.clone());
    assert!((&mut settled).now_or_never().is_none(), "it loads");
    open.send(()).unwrap();
    settled.await;
    assert_eq!(fetched(&groups).await, -1);
    groups.settled("g", Duration::MAX).await;
    groups.resigned(0, 1);
    groups.settled("g", Duration::from_millis(1)).await;
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::NotCoordinator), "and not for ever");
}

/// Something committed for `t` long enough ago for the topic to be known, and not for it to expire.
fn committed_before() -> Record {
    let now = Clock::start().now().wall;
    let commit = OffsetCommit {
        offset: 7,
        leader_epoch: -1,
        metadata: String::new(),
        committed_at: Wall(now.0 - 120_000),
        expires_at: None,
        topic_id: Uuid::nil(),
    };
    let key = OffsetKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 0 };
    Event::Offset { key, value: Some(commit) }.encode()
}

async fn until_gone(log: &MemoryLog, limit: Duration) {
    let gone = async {
        while log.records.lock().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(limit, gone).await.expect("a tombstone");
    log.commit_all();
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_for_a_topic_that_went_meanwhile_goes_when_it_is_loaded() {
    let log = MemoryLog::new();
    log.records.lock().push(committed_before());
    let groups = groups_where(Topics::default);
    groups.elected(0, 1, log.clone());
    until_gone(&log, Duration::from_secs(60)).await;
    assert_eq!(fetched(&groups).await, -1);
}

#[tokio::test(start_paused = true)]
async fn or_a_while_later_if_that_could_not_be_told_yet() {
    let log = MemoryLog::new();
    log.records.lock().push(committed_before());
    let looks = AtomicUsize::new(0);
    let groups = groups_where(move || match looks.fetch_add(1, Ordering::Relaxed) {
        0 => known(),
        _ => Topics::default(),
    });
    groups.elected(0, 1, log.clone());
    until_loaded(&groups).await;
    log.commit_all();
    assert_eq!(fetched(&groups).await, 7);
    until_gone(&log, Duration::from_secs(300)).await;
    assert_eq!(fetched(&groups).await, -1);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_cannot_load_stands_in_nobodys_way_and_is_tried_again() {
    let (healthy, broken) = (MemoryLog::new(), MemoryLog::new());
    let groups = loaded(&broken).await;
    groups.elected(1, 1, healthy.clone());
    until_loaded(&groups).await;
    broken.lead(2);
    *broken.broken.lock() = Some(ErrorCode::KafkaStorageError);
    groups.elected(0, 2, broken.clone());
    while groups.heartbeat(nobody()).await == Ok(()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(groups.heartbeat(nobody()).await, Err(ErrorCode::NotCoordinator));
    assert_eq!(groups.list(ListGroups::default()).await, Ok(Vec::new()), "of the other shard");
    *broken.broken.lock() = None;
    while groups.fetch(fetch()).await == Err(ErrorCode::NotCoordinator) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(fetched(&groups).await, -1);
}

#[tokio::test(start_paused = true)]
async fn loading_ends_with_its_epoch() {
    let log = MemoryLog::new();
    *log.broken.lock() = Some(ErrorCode::NotLeaderOrFollower);
    let groups = groups();
    groups.elected(0, 1, log.clone());
    while groups.heartbeat(nobody()).await == Ok(()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    *log.broken.lock() = None;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(groups.heartbeat(nobody()).await, Err(ErrorCode::NotCoordinator), "it is not led any more");
    groups.elected(0, 2, log.clone());
    log.lead(2);
    until_loaded(&groups).await;
    assert_eq!(fetched(&groups).await, -1);
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_the_watermark_reads_included() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    let mut committing = Box::pin(groups.commit(commit(7)));
    assert!(committing.as_mut().now_or_never().is_none());
    let mut reading = Box::pin(fetched(&groups));
    assert!(reading.as_mut().now_or_never().is_none(), "what is not committed must not be shown");
    log.commit_all();
    assert!(committing.await.is_ok());
    assert_eq!(reading.await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_epoch_it_began_in() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    let mut committing = Box::pin(groups.commit(commit(7)));
    assert!(committing.as_mut().now_or_never().is_none());
    log.lead(2);
    log.commit_all();
    assert_eq!(committing.await, Err(ErrorCode::NotCoordinator), "another record may stand there now");
    assert_eq!(
        groups.commit(commit(8)).await,
        Err(ErrorCode::NotCoordinator),
        "the log refuses the old epoch"
    );
    groups.elected(0, 2, log.clone());
    until_loaded(&groups).await;
    assert_eq!(fetched(&groups).await, 7, "loaded again, it knows what the log kept");
}

#[tokio::test(start_paused = true)]
async fn losing_the_lead_fails_those_who_wait_for_other_members() {
    let memory = MemoryLog::new();
    let groups = loaded(&memory).await;
    let log = memory.clone();
    let committer = tokio::spawn(async move {
        loop {
            log.commit_all();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    settle(&groups, Duration::from_secs(30)).await;
    let mut joining = Box::pin(groups.join(join("", Duration::from_secs(30))));
    assert!(joining.as_mut().now_or_never().is_none());
    groups.elected(0, 1, memory.clone());
    assert!(joining.as_mut().now_or_never().is_none(), "it was elected already");
    memory.lead(2);
    let lost = tokio::time::Instant::now();
    groups.elected(0, 2, memory.clone());
    assert_eq!(joining.await.unwrap_err().error, ErrorCode::NotCoordinator);
    assert!(lost.elapsed() < Duration::from_secs(1), "at once, not when some session ends");
    until_loaded(&groups).await;
    let mut joining = Box::pin(groups.join(join("", Duration::from_secs(30))));
    assert!(joining.as_mut().now_or_never().is_none());
    groups.resigned(0, 2);
    assert_eq!(joining.await.unwrap_err().error, ErrorCode::NotCoordinator);
    committer.abort();
}

#[tokio::test(start_paused = true)]
async fn members_go_on_with_their_generation_where_the_lead_went() {
    let memory = MemoryLog::new();
    let (here, there) = (loaded(&memory).await, groups());
    let log = memory.clone();
    let committer = tokio::spawn(async move {
        loop {
            log.commit_all();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let joined = settle(&here, Duration::from_secs(30)).await;
    assert_eq!(there.heartbeat(heartbeat(&joined)).await, Err(ErrorCode::NotCoordinator));
    memory.lead(2);
    here.resigned(0, 2);
    there.elected(0, 2, memory.clone());
    until_loaded(&there).await;
    assert_eq!(here.heartbeat(heartbeat(&joined)).await, Err(ErrorCode::NotCoordinator));
    assert_eq!(there.heartbeat(heartbeat(&joined)).await, Ok(()));
    let member = joined.member.clone();
    let commit = CommitOffsets { member, generation: joined.generation, ..commit(7) };
    assert_eq!(there.commit(commit).await.unwrap()[0].partitions, [(0, None)]);
    committer.abort();
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_partition_is_led_elsewhere_is_not_answered_for() {
    let groups = loaded(&MemoryLog::new()).await;
    assert_eq!(fetched(&groups).await, -1);
    // "g" hashes to 103, and partition 0 alone is here.
    groups.set_partitions(2);
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::NotCoordinator));
    assert_eq!(groups.heartbeat(nobody()).await, Err(ErrorCode::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_changes_nothing() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    *log.refuse.lock() = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(groups.commit(commit(7)).await, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(fetched(&groups).await, -1);
    *log.refuse.lock() = Some(ErrorCode::MessageTooLarge);
    assert_eq!(groups.commit(commit(7)).await, Err(ErrorCode::UnknownServerError));
    assert_eq!(fetched(&groups).await, -1);
}

#[tokio::test(start_paused = true)]
async fn an_append_of_unknown_outcome_is_looked_up_in_the_log() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    *log.refuse.lock() = Some(ErrorCode::KafkaStorageError);
    assert_eq!(groups.commit(commit(7)).await, Err(ErrorCode::NotCoordinator));
    until_loaded(&groups).await;
    log.commit_all();
    assert_eq!(fetched(&groups).await, 7, "it was written after all");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_led_any_more_is_not_loaded_without_end() {
    let log = MemoryLog::new();
    log.lead(2);
    let groups = loaded(&log).await;
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::NotCoordinator));
    groups.elected(0, 2, log.clone());
    until_loaded(&groups).await;
    assert_eq!(fetched(&groups).await, -1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gave_up_harms_nobody() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    let mut committing = Box::pin(groups.commit(commit(7)));
    assert!(committing.as_mut().now_or_never().is_none());
    drop(committing);
    log.commit_all();
    assert_eq!(fetched(&groups).await, 7, "the decision stands");
    let mut joining = Box::pin(groups.join(join("", Duration::from_secs(30))));
    assert!(joining.as_mut().now_or_never().is_none());
    drop(joining);
    assert_eq!(fetched(&groups).await, 7);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_ever() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    assert_eq!(groups.commit(commit(7)).await, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(groups.fetch(fetch()).await, Err(ErrorCode::NotCoordinator), "old consumers know only this");
}

#[tokio::test(start_paused = true)]
async fn sessions_end_on_time_and_the_log_is_tried_until_it_takes_it() {
    let log = MemoryLog::new();
    let groups = loaded(&log).await;
    let committer = log.clone();
    tokio::spawn(async move {
        loop {
            committer.commit_all();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let joined = settle(&groups, Duration::from_secs(30)).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(groups.heartbeat(heartbeat(&joined)).await, Ok(()));
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(groups.heartbeat(heartbeat(&joined)).await, Ok(()));
    *log.refuse.lock() = Some(ErrorCode::NotEnoughReplicas);
    tokio::time::sleep(Duration::from_millis(30_500)).await;
    assert_eq!(groups.heartbeat(heartbeat(&joined)).await, Err(ErrorCode::UnknownMemberId));
    let described = DescribeGroup { group: "g".to_owned() };
    assert_eq!(groups.describe(described.clone()).await.unwrap().state, "PreparingRebalance");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(groups.describe(described).await.unwrap().state, "Empty");
}
