//! Votes given and taken while the quorum works, on paused time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{lead, propose, settings, until};
use crate::net::Trio;
use raft::{Lane, ProposeError, Quorum, VotersError};
use storage::disk::fault::FaultDisk;

const PATIENCE: Duration = Duration::from_secs(10);
/// Less than an election takes.
const SETTLED: Duration = Duration::from_millis(900);

fn quorum(trio: &Trio, id: u64) -> Quorum {
    trio.up[&id].0.clone()
}

/// Node 4 starts empty and follows.
async fn with_learner() -> (Trio, u64) {
    let mut trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    trio.disks.insert(4, FaultDisk::new(4));
    trio.boot(4).await;
    let leader = trio.leader(0).await;
    quorum(&trio, leader).add_learner(4, "node 4".into()).await.unwrap();
    (trio, leader)
}

async fn until_voters(quorum: &Quorum, wanted: &[u64]) {
    until(quorum, |status| status.voters.keys().eq(wanted)).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_identity_takes_the_place_of_one_that_was_lost() {
    let (mut trio, leader) = with_learner().await;
    let lost = leader % 3 + 1;
    trio.crash(lost).await;
    tokio::time::sleep(Duration::from_millis(5000)).await;
    quorum(&trio, leader).add_voter(4, PATIENCE).await.unwrap();
    quorum(&trio, leader).remove_voter(lost).await.unwrap();
    let voters: Vec<u64> = (1..=4).filter(|id| *id != lost).collect();
    for id in &voters {
        until_voters(&quorum(&trio, *id), &voters).await;
    }
    let status = quorum(&trio, 4).status().borrow().clone();
    assert!(status.learners.is_empty(), "nobody remembers one that is gone: {status:?}");
    // Two of the three are a majority, the new one among them.
    trio.crash(leader).await;
    let next = trio.leader(0).await;
    propose(&quorum(&trio, next), "after").await;
    assert_eq!(trio.agree(b"after").await, [b"after"]);
}

#[tokio::test(start_paused = true)]
async fn who_lives_without_its_vote_follows_on() {
    let (mut trio, leader) = with_learner().await;
    let removed = leader % 3 + 1;
    quorum(&trio, leader).remove_voter(removed).await.unwrap();
    until(&quorum(&trio, removed), |status| status.learners.contains_key(&removed)).await;
    propose(&quorum(&trio, leader), "after").await;
    assert_eq!(trio.agree(b"after").await, [b"after"]);
    // It may have it back.
    quorum(&trio, leader).add_voter(removed, PATIENCE).await.unwrap();
    trio.crash(leader).await;
    assert_ne!(trio.leader(0).await, leader);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_to_go_lets_another_lead_first() {
    let (trio, leader) = with_learner().await;
    let refused = quorum(&trio, leader).remove_voter(leader).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }.into()));
    let next = trio.leader(leader).await;
    quorum(&trio, next).remove_voter(leader).await.unwrap();
    let rest: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    until_voters(&quorum(&trio, leader), &rest).await;
}

#[tokio::test(start_paused = true)]
async fn a_vote_is_for_members_that_follow() {
    let (mut trio, leader) = with_learner().await;
    let follower = leader % 3 + 1;
    let refused = quorum(&trio, follower).add_voter(4, PATIENCE).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(leader) }.into()));
    let quorum = quorum(&trio, leader);
    assert_eq!(quorum.add_voter(5, PATIENCE).await, Err(VotersError::NotAMember));
    assert_eq!(quorum.remove_voter(5).await, Err(VotersError::NotAMember));
    assert_eq!(quorum.remove_voter(4).await, Err(VotersError::NoVote));
    assert_eq!(quorum.add_voter(leader, PATIENCE).await, Err(VotersError::Votes));
    trio.crash(4).await;
    propose(&quorum, "more").await;
    assert_eq!(quorum.add_voter(4, PATIENCE).await, Err(VotersError::Lags));
    assert_eq!(quorum.status().borrow().voters.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_only_voter_stays() {
    let disk = std::sync::Arc::new(FaultDisk::new(1));
    let quorum = lead(settings(Lane::Inline), disk, &Default::default()).await;
    assert_eq!(quorum.remove_voter(1).await, Err(VotersError::OnlyVoter));
    let progress = quorum.progress().unwrap();
    assert_eq!((progress.members.len(), progress.members[0].votes), (1, true));
}

/// Who is left has to be able to decide: else nobody could give the vote back.
#[tokio::test(start_paused = true)]
async fn no_change_leaves_too_few_that_answer() {
    let (mut trio, leader) = with_learner().await;
    let dead = leader % 3 + 1;
    let alive = 6 - leader - dead;
    trio.crash(dead).await;
    tokio::time::sleep(Duration::from_millis(5000)).await;
    let leads = quorum(&trio, leader);
    assert_eq!(leads.remove_voter(alive).await, Err(VotersError::NoMajority));
    trio.crash(alive).await;
    tokio::time::sleep(Duration::from_millis(5000)).await;
    assert_eq!(leads.add_voter(4, PATIENCE).await, Err(VotersError::NoMajority));
    assert_eq!(leads.remove_voter(dead).await, Err(VotersError::NoMajority));
    trio.boot(alive).await;
    while quorum(&trio, trio.leader(0).await).propose("after".into()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = quorum(&trio, alive).status().borrow().clone();
    assert_eq!(status.voters.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
}

/// By the members that it has reached already, and by a leader that comes later.
#[tokio::test(start_paused = true)]
async fn a_member_that_moved_is_called_at_its_new_address() {
    let (mut trio, leader) = with_learner().await;
    let moved = leader % 3 + 1;
    let other = 6 - leader - moved;
    let leads = quorum(&trio, leader);
    while leads.progress().unwrap().members.iter().any(|member| member.heard.is_none()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    leads.note_address(moved, "elsewhere".into());
    let copied = leads.add_learner(moved, "elsewhere".into()).await;
    assert_eq!(copied, Err(VotersError::IsElsewhere), "it answers where it is");
    trio.net.relocate(moved, "elsewhere");
    tokio::time::sleep(Duration::from_millis(5000)).await;
    leads.add_learner(moved, "elsewhere".into()).await.unwrap();
    let known = until(&quorum(&trio, other), |status| status.voters[&moved] == "elsewhere").await;
    assert_eq!(known.voters.len(), 3, "it votes as before");
    trio.crash(other).await;
    propose(&quorum(&trio, leader), "two").await;
    assert_eq!(trio.agree(b"two").await, [b"two"]);
    trio.boot(other).await;
    trio.crash(leader).await;
    let next = trio.leader(leader).await;
    propose(&quorum(&trio, next), "three").await;
    assert_eq!(trio.agree(b"three").await, [&b"two"[..], b"three"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_members_are_called_where_they_say() {
    let mut trio = Trio::start(1, 0, settings(Lane::Inline)).await;
    propose(&quorum(&trio, trio.leader(0).await), "before").await;
    for id in 1..=3 {
        trio.crash(id).await;
        trio.net.relocate(id, &format!("new {id}"));
    }
    for id in 1..=3 {
        trio.boot(id).await;
    }
    tokio::time::sleep(Duration::from_millis(5000)).await;
    for id in 1..=3 {
        let lonely = quorum(&trio, id);
        let silence = lonely.silence();
        // Some of the sleep may pass before the last one is up.
        assert!(silence >= Duration::from_millis(4000), "{silence:?} {:?}", lonely.status().borrow());
        (1..=4).filter(|other| *other != id).for_each(|other| {
            lonely.note_address(other, format!("new {other}"));
        });
    }
    let leader = trio.leader(0).await;
    propose(&quorum(&trio, leader), "after").await;
    assert_eq!(trio.agree(b"after").await, [&b"before"[..], b"after"]);
    assert_eq!(quorum(&trio, leader).silence(), Duration::ZERO);
    assert!(quorum(&trio, leader % 3 + 1).silence() < Duration::from_millis(1000));
}

#[tokio::test(start_paused = true)]
async fn who_is_forgotten_may_come_back() {
    let (mut trio, leader) = with_learner().await;
    propose(&quorum(&trio, leader), "before").await;
    trio.agree(b"before").await;
    trio.crash(4).await;
    let leads = quorum(&trio, leader);
    assert_eq!(leads.forget_learner(leader).await, Err(VotersError::Votes));
    leads.forget_learner(4).await.unwrap();
    assert!(leads.status().borrow().learners.is_empty());
    propose(&leads, "between").await;
    trio.boot(4).await;
    leads.add_learner(4, "node 4".into()).await.unwrap();
    assert_eq!(trio.agree(b"between").await, [&b"before"[..], b"between"]);
}

#[tokio::test(start_paused = true)]
async fn the_leader_knows_how_far_each_is() {
    let (mut trio, leader) = with_learner().await;
    let dead = leader % 3 + 1;
    propose(&quorum(&trio, leader), "before").await;
    trio.agree(b"before").await;
    trio.crash(dead).await;
    let begun = tokio::time::Instant::now();
    propose(&quorum(&trio, leader), "after").await;
    trio.agree(b"after").await;
    tokio::time::sleep(Duration::from_millis(2000)).await;
    let progress = quorum(&trio, leader).progress().unwrap();
    assert!(
        (1..=4)
            .filter(|id| *id != leader)
            .all(|id| { trio.up.get(&id).is_none_or(|(follower, _)| follower.progress().is_none()) })
    );
    let of = |id| progress.members.iter().find(|member| member.id == id).unwrap();
    let newest = progress.committed;
    let silent = begun.elapsed();
    for id in (1..=4).filter(|id| *id != dead) {
        let member = of(id);
        assert_eq!((member.votes, member.last), (id != 4, newest), "{member:?}");
        assert!(member.heard.unwrap() < silent && member.caught_up.unwrap() < silent, "{member:?}");
    }
    let dead = of(dead);
    assert!(dead.last < newest && dead.heard.unwrap() >= silent, "{dead:?}");
    assert!(dead.caught_up.unwrap() >= silent, "{dead:?}");
}

/// Who is told that this is not the leader may ask the next one as if nothing had been.
#[tokio::test(start_paused = true)]
async fn whoever_begins_a_change_says_so() {
    let mut said = vec![];
    for moment in 0..40 {
        let (mut trio, leader) = with_learner().await;
        let changing = quorum(&trio, leader);
        let change = tokio::spawn(async move { changing.add_voter(4, PATIENCE).await });
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let next = leader % 3 + 1;
        quorum(&trio, leader).transfer(next).await;
        let changed = change.await.unwrap();
        let next = quorum(&trio, next);
        until(&next, |status| status.leader_ready && !status.is_changing).await;
        let votes = next.status().borrow().voters.contains_key(&4);
        match &changed {
            Ok(()) | Err(VotersError::Begun) => assert!(votes, "{changed:?} at {moment} ms"),
            Err(VotersError::Refused(ProposeError::NotLeader { .. })) => {
                assert!(!votes, "{changed:?} at {moment} ms");
            }
            Err(_) => {}
        }
        said.push(changed);
        for id in 1..=4 {
            trio.crash(id).await;
        }
    }
    assert!(said.contains(&Err(VotersError::Begun)), "no moment is between the two steps: {said:?}");
}

/// Whenever the leader falls, the next one leaves no half of a change.
#[tokio::test(start_paused = true)]
async fn a_change_is_finished_or_has_not_begun() {
    let mut finished = BTreeSet::new();
    for moment in 0..40 {
        let (mut trio, leader) = with_learner().await;
        let changing = quorum(&trio, leader);
        let change = tokio::spawn(async move { changing.add_voter(4, PATIENCE).await });
        tokio::time::sleep(Duration::from_millis(moment)).await;
        trio.crash(leader).await;
        drop(change);
        let next = trio.leader(leader).await;
        propose(&quorum(&trio, next), "after").await;
        until(&quorum(&trio, next), |status| !status.is_changing).await;
        finished.insert(quorum(&trio, next).status().borrow().voters.len());
        for id in 1..=4 {
            trio.crash(id).await;
        }
    }
    assert_eq!(finished, BTreeSet::from([3, 4]));
}

/// Whoever is to lose its vote may be the one that finishes the change.
#[tokio::test(start_paused = true)]
async fn nobody_leads_on_without_a_vote() {
    let mut last = BTreeSet::new();
    for moment in 0..40 {
        let (mut trio, leader) = with_learner().await;
        let (changing, to_go) = (quorum(&trio, leader), leader % 3 + 1);
        let change = tokio::spawn(async move { changing.remove_voter(to_go).await });
        tokio::time::sleep(Duration::from_millis(moment)).await;
        quorum(&trio, leader).transfer(to_go).await;
        let _by_whomever_it_is_finished = change.await.unwrap();
        let leads_by_right = |status: &raft::Status| {
            !status.is_changing && status.leader.is_some_and(|leads| status.voters.contains_key(&leads))
        };
        let stays = quorum(&trio, leader);
        // Nobody is elected meanwhile, unless the one that is asked to lead does not.
        let settled = tokio::time::timeout(SETTLED, until(&stays, leads_by_right)).await;
        let settled = settled.unwrap_or_else(|_| panic!("{:?} at {moment} ms", stays.status().borrow()));
        last.insert((settled.voters.contains_key(&to_go), settled.term));
        for id in 1..=4 {
            trio.crash(id).await;
        }
    }
    assert!(
        last.iter().any(|(votes, term)| !votes && *term > 2),
        "no moment is between the two steps: {last:?}"
    );
}
