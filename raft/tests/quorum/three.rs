//! Three voters over a network in memory, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{propose, settings, until};
use crate::net::{Trio, hasty};
use bytes::Bytes;
use raft::{Lane, Pace, ProposeError, Settings};
use storage::disk::Disk;
use storage::disk::fault::Rng;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn another_member_takes_over_and_the_old_leader_follows() {
    let mut trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    let first = trio.leader(0).await;
    for i in 0..20 {
        propose(&trio.up[&first].0, &format!("before {i}")).await;
    }
    let follower = &trio.up.iter().find(|(id, _)| **id != first).unwrap().1.0;
    let refused = follower.propose(Bytes::new()).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(first) }));
    trio.crash(first).await;
    let second = trio.leader(0).await;
    propose(&trio.up[&second].0, "between").await;
    trio.boot(first).await;
    let follows = until(&trio.up[&first].0, |status| status.leader == Some(second)).await;
    assert!(follows.term > 1 && follows.voters.len() == 3, "{follows:?}");
    propose(&trio.up[&second].0, "after").await;
    assert_eq!(trio.agree(b"after").await.len(), 22);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_promises_nothing() {
    let trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    let first = trio.leader(0).await;
    propose(&trio.up[&first].0, "before").await;
    trio.net.cut(first, true, true);
    let lost = trio.up[&first].0.clone();
    let (stranded, second) = tokio::join!(lost.propose(Bytes::from_static(b"stranded")), async {
        let second = trio.leader(first).await;
        propose(&trio.up[&second].0, "meanwhile").await;
        trio.net.heal();
        second
    });
    assert_eq!(stranded, Err(ProposeError::Unknown));
    propose(&trio.up[&second].0, "after").await;
    assert_eq!(trio.agree(b"after").await, [&b"before"[..], b"meanwhile", b"after"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_does_not_wait_until_it_is_told() {
    let trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    let first = trio.leader(0).await;
    trio.net.cut(first, true, true);
    let (lost, began) = (trio.up[&first].0.clone(), Instant::now());
    assert_eq!(lost.propose(Bytes::from_static(b"stranded")).await, Err(ProposeError::Unknown));
    assert!(began.elapsed() <= Duration::from_millis(5100), "{:?}", began.elapsed());
    assert!(lost.status().borrow().is_leader(), "it does not know yet");
}

#[tokio::test(start_paused = true)]
async fn a_majority_whose_disks_stall_for_a_while_is_waited_for() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = is_slow.clone();
    let pace = Pace::new(move || {
        let turn = if slow.load(Ordering::Relaxed) { Duration::from_secs(2) } else { Duration::ZERO };
        Box::pin(tokio::time::sleep(turn))
    });
    let trio = Trio::start(1, 0, settings(Lane::Paced(pace))).await;
    let first = trio.leader(0).await;
    is_slow.store(true, Ordering::Relaxed);
    let began = Instant::now();
    propose(&trio.up[&first].0, "late").await;
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn only_who_leads_a_majority_in_this_term_is_confirmed() {
    let trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    let first = trio.leader(0).await;
    let (lost, follower) = (trio.up[&first].0.clone(), trio.up[&(first % 3 + 1)].0.clone());
    let term = lost.status().borrow().term;
    let unconfirmed = Err(ProposeError::NotLeader { leader: None });
    assert_eq!(lost.confirm(term).await, Ok(()));
    assert_eq!(lost.confirm(term + 1).await, unconfirmed);
    assert_eq!(follower.confirm(term).await, unconfirmed);
    trio.net.cut(first, true, true);
    assert_eq!(lost.confirm(term).await, unconfirmed);
    assert!(lost.status().borrow().is_leader(), "it does not know yet");
    trio.net.heal();
    let second = trio.up[&trio.leader(0).await].0.clone();
    let term = second.status().borrow().term;
    assert_eq!(second.confirm(term).await, Ok(()));
    second.clone().shutdown().await;
    assert_eq!(second.confirm(term).await, Err(ProposeError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_lags_too_far_gets_a_snapshot() {
    let mut trio = Trio::start(1, 0, hasty()).await;
    let leader = trio.leader(0).await;
    let lagging = leader % 3 + 1;
    trio.crash(lagging).await;
    // More than one part on the way.
    for i in 0..60 {
        propose(&trio.up[&leader].0, &format!("{i} {}", "x".repeat(50_000))).await;
    }
    trio.boot(lagging).await;
    let leader = trio.leader(0).await;
    propose(&trio.up[&leader].0, "last").await;
    assert_eq!(trio.agree(b"last").await.len(), 61);
    let names = trio.disks[&lagging].list("/meta".as_ref()).unwrap();
    assert!(names.iter().any(|entry| entry.name.ends_with(".snapshot")), "{names:?}");
    // It stands on its own now.
    trio.crash(lagging).await;
    trio.boot(lagging).await;
    assert_eq!(trio.agree(b"last").await.len(), 61);
}

/// Crashes, cuts and losses at random; after all is healed everyone has the same history, with all that was
/// acknowledged in it, in order and once.
#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_whatever_happens() {
    for seed in 0..12 {
        let settings = if seed % 2 == 0 { hasty() } else { settings(Lane::Inline) };
        let mut trio = Trio::start(seed, 30, settings).await;
        let mut rng = Rng::new(seed);
        let mut acknowledged = Vec::new();
        for round in 0..20 {
            disturb(&mut trio, &mut rng).await;
            acknowledged.extend(work(&trio, round, &mut rng).await);
        }
        trio.net.heal();
        for id in 1..=3 {
            if !trio.up.contains_key(&id) {
                trio.boot(id).await;
            }
        }
        while propose_somewhere(&trio, b"last".to_vec()).await.is_none() {}
        let history = trio.agree(b"last").await;
        let mut rest = history.iter();
        assert!(acknowledged.iter().all(|command| rest.any(|kept| kept == command)), "seed {seed}: lost");
        assert!(!acknowledged.is_empty());
        for id in 1..=3 {
            trio.crash(id).await;
        }
    }
}

async fn disturb(trio: &mut Trio, rng: &mut Rng) {
    let node = 1 + rng.below(3) as u64;
    match rng.below(8) {
        0 if trio.up.contains_key(&node) => trio.crash(node).await,
        0..3 if !trio.up.contains_key(&node) => trio.boot(node).await,
        3 => trio.net.cut(node, true, false),
        4 => trio.net.cut(node, false, true),
        5 => trio.net.cut(node, true, true),
        _ => trio.net.heal(),
    }
    tokio::time::sleep(Duration::from_millis(rng.below(2500) as u64)).await;
}

/// Proposes a few commands, one after the other; returns those that were acknowledged.
async fn work(trio: &Trio, round: u64, rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    for i in 0..rng.below(8) {
        let command = format!("{round}/{i}").into_bytes();
        acknowledged.extend(propose_somewhere(trio, command).await);
    }
    acknowledged
}

/// Asks whoever thinks that it leads, as a client would: gives up after a while.
async fn propose_somewhere(trio: &Trio, command: Vec<u8>) -> Option<Vec<u8>> {
    let leader = trio.up.values().find(|(quorum, _)| quorum.status().borrow().is_leader());
    if let Some((quorum, _)) = leader {
        let proposed = quorum.propose(command.clone().into());
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(5), proposed).await {
            return Some(command);
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    None
}

#[tokio::test(start_paused = true)]
async fn a_message_that_makes_no_sense_is_not_answered() {
    let trio = Trio::start(1, 0, Settings { keep_entries: 10, ..settings(Lane::Inline) }).await;
    let quorum = &trio.up[&1].0;
    for bytes in [&b""[..], b"\x01", b"\x09\x01", b"\x01\x09", b"\x01\x01", b"\x01\x02\xff\xff", &[1; 5000]] {
        assert_eq!(quorum.answer(Bytes::from_static(b"\x01").slice(..0)).await, None);
        assert_eq!(quorum.answer(Bytes::copy_from_slice(bytes)).await, None, "{bytes:?}");
    }
}

/// The lease of a leader that is known to be dead is not waited for.
#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_replaced_before_its_lease_ends() {
    let mut trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    let first = trio.leader(0).await;
    propose(&trio.up[&first].0, "before").await;
    let term = trio.up[&first].0.status().borrow().term;
    trio.crash(first).await;
    let died = tokio::time::Instant::now();
    let second = &trio.up.values().next().unwrap().0.clone();
    second.overrule(term).await;
    until(second, |status| status.leader_ready).await;
    assert!(died.elapsed() < Duration::from_millis(500), "{:?}", died.elapsed());
    // What was meant for an older term disturbs nobody.
    second.overrule(term).await;
    propose(second, "after").await;
    assert_eq!(second.status().borrow().term, term + 1);
    trio.boot(first).await;
    assert_eq!(trio.agree(b"after").await, [&b"before"[..], b"after"]);
}

/// A node without a vote is told all the same; one more or less of them changes no majority.
#[tokio::test(start_paused = true)]
async fn a_learner_follows_and_does_not_vote() {
    let mut trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    let leader = trio.leader(0).await;
    propose(&trio.up[&leader].0, "before").await;
    trio.disks.insert(4, storage::disk::fault::FaultDisk::new(4));
    trio.boot(4).await;
    let learner = trio.up[&4].0.clone();
    let refused = learner.add_learner(5, "node 5".into()).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }.into()));
    trio.up[&leader].0.add_learner(4, "node 4".into()).await.unwrap();
    propose(&trio.up[&leader].0, "after").await;
    assert_eq!(trio.agree(b"after").await, [&b"before"[..], b"after"]);
    let status = until(&learner, |status| status.learners.contains_key(&4)).await;
    assert!(!status.voters.contains_key(&4) && status.leader == Some(leader));
    learner.overrule(status.term).await;
    assert_eq!(learner.status().borrow().term, status.term);
}
