//! A quorum of one: what it acknowledged is there again, and what fails is seen.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Diary, lead, propose, settings, sole, start, until};
use bytes::Bytes;
use raft::{InitializeError, Lane, MAX_COMMAND, ProposeError, Settings, StartError, State};
use storage::disk::fault::{Errno, Fault, FaultDisk, Op, Rng, When};
use storage::disk::{Disk, RealDisk};

#[tokio::test]
async fn commands_are_applied_in_order_and_survive_a_restart() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(RealDisk));
    let settings = Settings::new(1, dir.path().join("meta"));
    let diary = Diary::default();
    let quorum = lead(settings.clone(), disk.clone(), &diary).await;
    for i in 0..10 {
        let committed = propose(&quorum, &format!("command {i}")).await;
        assert_eq!(committed.answer, (i + 1).to_string());
        assert_eq!(committed.at.term, 1);
    }
    quorum.shutdown().await;

    let again = Diary::default();
    let began = Instant::now();
    let quorum = lead(settings, disk, &again).await;
    println!("leads after {:?}", began.elapsed());
    assert_eq!(again.commands(), diary.commands());
    let status = quorum.status().borrow().clone();
    assert_eq!((status.term, status.leader, status.voters), (2, Some(1), sole()));
    quorum.shutdown().await;
}

/// Power is lost after any number of disk writes, again and again: what was acknowledged is there, in its order, and
/// nothing else that was not at least proposed.
#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_power_loss() {
    for seed in 0..60 {
        let disk = FaultDisk::new(seed);
        let mut rng = Rng::new(seed);
        let (mut acknowledged, mut proposed) = (Vec::new(), Vec::new());
        for life in 0..4 {
            let diary = Diary::default();
            live(&disk, &mut rng, life, &diary, &mut acknowledged, &mut proposed).await;
            disk.crash();
        }
        let diary = Diary::default();
        lead(small(), Arc::new(disk), &diary).await.shutdown().await;
        let kept = diary.commands();
        let mut rest = kept.iter();
        assert!(acknowledged.iter().all(|command| rest.any(|kept| kept == command)), "seed {seed}: lost");
        let mut rest = proposed.iter();
        assert!(kept.iter().all(|command| rest.any(|proposed| proposed == command)), "seed {seed}: invented");
    }
}

/// One life of a member, until the power goes.
async fn live(
    disk: &FaultDisk,
    rng: &mut Rng,
    life: u64,
    diary: &Diary,
    acknowledged: &mut Vec<Vec<u8>>,
    proposed: &mut Vec<Vec<u8>>,
) {
    disk.power_off_after(rng.below(60) as u64);
    let Ok(quorum) = start(small(), Arc::new(disk.clone()), diary).await else { return };
    if quorum.is_empty() {
        // Fails if the power is already gone.
        let _gone = quorum.initialize(sole()).await;
    }
    until(&quorum, |status| status.leader_ready || status.state != State::Running).await;
    for i in 0..40 {
        let command = format!("{life}/{i}/{}", "x".repeat(rng.below(900))).into_bytes();
        proposed.push(command.clone());
        match quorum.propose(command.clone().into()).await {
            Ok(_) => acknowledged.push(command),
            Err(_) => break,
        }
    }
    quorum.shutdown().await;
}

/// Files and snapshots so small that everything happens within a few commands.
fn small() -> Settings {
    Settings { segment_bytes: 2000, snapshot_entries: 10, keep_entries: 5, ..settings(Lane::Inline) }
}

#[tokio::test(start_paused = true)]
async fn old_files_go_once_a_snapshot_holds_what_they_say() {
    let by_entries = small();
    let by_bytes = Settings { snapshot_entries: 1_000_000, snapshot_bytes: 2000, ..small() };
    let by_kept_bytes = Settings { keep_entries: 1_000_000, keep_bytes: 500, ..small() };
    for (settings, commands) in [(by_entries, 200), (by_bytes, 200), (by_kept_bytes, 1000)] {
        let disk = Arc::new(FaultDisk::new(1));
        let diary = Diary::default();
        let quorum = lead(settings.clone(), disk.clone(), &diary).await;
        for i in 0..commands {
            propose(&quorum, &format!("command {i}")).await;
        }
        quorum.shutdown().await;
        let (logs, snapshots) = files(&disk);
        assert!((1..10).contains(&logs) && snapshots == 1, "{logs} log files, {snapshots} snapshots");
        let again = Diary::default();
        lead(settings, disk, &again).await.shutdown().await;
        assert_eq!(again.lines.lock().unwrap()[..], diary.lines.lock().unwrap()[..]);
    }
}

/// How many log files and snapshots there are.
fn files(disk: &FaultDisk) -> (usize, usize) {
    let names: Vec<String> = disk.list(Path::new("/meta")).unwrap().into_iter().map(|e| e.name).collect();
    let count = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count();
    (count(".wal"), count(".snapshot"))
}

#[tokio::test(start_paused = true)]
async fn an_idle_sole_voter_leaves_the_disk_alone() {
    let disk = FaultDisk::new(1);
    let quorum = lead(settings(Lane::Inline), Arc::new(disk.clone()), &Diary::default()).await;
    propose(&quorum, "the last one").await;
    let (changes, status) = (disk.changes(), quorum.status().borrow().clone());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((disk.changes(), quorum.status().borrow().clone()), (changes, status));
    propose(&quorum, "one more").await;
}

#[tokio::test]
async fn a_failing_disk_stops_the_member_and_is_seen() {
    for op in [Op::Write, Op::Sync] {
        for lane in [Lane::Inline, Lane::Threads] {
            let disk = FaultDisk::new(1);
            let quorum = lead(settings(lane), Arc::new(disk.clone()), &Diary::default()).await;
            propose(&quorum, "good").await;
            // The fault strikes once: what comes after must fail too.
            disk.inject(Fault { op, under: "/meta".into(), when: When::Nth(1), errno: Errno::IO });
            let stopped = Err(ProposeError::Stopped);
            assert_eq!(quorum.propose(Bytes::from_static(b"bad")).await, stopped);
            assert_eq!(quorum.propose(Bytes::from_static(b"after")).await, stopped);
            let status = until(&quorum, |status| status.state != State::Running).await;
            assert!(matches!(status.state, State::Failed(_)) && !status.leader_ready, "{status:?}");
        }
    }
}

/// Neither a new log file nor a snapshot is worth stopping for: both come later.
#[tokio::test(start_paused = true)]
async fn a_shortage_of_descriptors_stops_nothing() {
    let disk = Arc::new(FaultDisk::new(1));
    let diary = Diary::default();
    let quorum = lead(small(), disk.clone(), &diary).await;
    disk.set_max_open(0);
    for i in 0..100 {
        propose(&quorum, &format!("short {i}")).await;
    }
    disk.heal();
    assert_eq!(files(&disk), (1, 0));
    for i in 0..100 {
        propose(&quorum, &format!("enough {i}")).await;
    }
    assert_eq!(quorum.status().borrow().state, State::Running);
    quorum.shutdown().await;
    assert!(files(&disk).1 == 1 && files(&disk).0 > 1);
    let again = Diary::default();
    lead(small(), disk, &again).await.shutdown().await;
    assert_eq!(again.commands(), diary.commands());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_machine_is_seen() {
    let quorum = lead(settings(Lane::Inline), Arc::new(FaultDisk::new(1)), &Diary::default()).await;
    let proposing = quorum.propose(Bytes::from_static(b"panic"));
    assert_eq!(proposing.await, Err(ProposeError::Stopped));
    let status = until(&quorum, |status| status.state != State::Running).await;
    assert!(matches!(status.state, State::Failed(_)), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_is_initialised_once_and_only_with_oneself() {
    let disk = Arc::new(FaultDisk::new(1));
    let quorum = start(settings(Lane::Inline), disk.clone(), &Diary::default()).await.unwrap();
    assert!(quorum.is_empty());
    let early = quorum.propose(Bytes::from_static(b"early")).await;
    assert_eq!(early, Err(ProposeError::NotLeader { leader: None }));
    let others = [(2, String::new())].into();
    assert_eq!(quorum.initialize(others).await, Err(InitializeError::NotAVoter(1)));
    quorum.initialize(sole()).await.unwrap();
    assert_eq!(quorum.initialize(sole()).await, Err(InitializeError::NotEmpty));
    assert!(!quorum.is_empty());
    let large = Bytes::from(vec![0; MAX_COMMAND + 1]);
    assert_eq!(quorum.propose(large).await, Err(ProposeError::TooLarge(MAX_COMMAND + 1)));
    quorum.shutdown().await;

    let other = Settings { node_id: 2, ..settings(Lane::Inline) };
    let refused = start(other, disk, &Diary::default()).await.err().expect("another node's log");
    assert!(
        matches!(&refused, StartError::Disk(e) if e.to_string().contains("belongs to node 1")),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_says_so() {
    let quorum = lead(settings(Lane::Inline), Arc::new(FaultDisk::new(1)), &Diary::default()).await;
    let left = quorum.clone();
    quorum.shutdown().await;
    assert_eq!(until(&left, |status| status.state != State::Running).await.state, State::Stopped);
    assert_eq!(left.propose(Bytes::new()).await, Err(ProposeError::Stopped));
    assert_eq!(left.initialize(sole()).await, Err(InitializeError::Stopped));
}
