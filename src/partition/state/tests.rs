//! What a leader concludes from what its followers and the controller say.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const LAG: Duration = Duration::from_millis(1000);

fn assigned(
    leader: BrokerId,
    epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    isr: &[BrokerId],
) -> Assignment {
    Assignment {
        leader: Some(leader),
        leader_epoch: epoch,
        partition_epoch,
        replicas: vec![1, 2, 3],
        isr: isr.to_vec(),
        epochs: [(1, 11), (2, 12), (3, 13)].into(),
    }
}

/// Broker 1 leads in epoch 0, with an empty log.
fn leader(isr: &[BrokerId]) -> State {
    let mut state = State::new(1, 0, Extent::default());
    assert_eq!(state.assume(assigned(1, 0, 0, isr), Mono(0)), Turn::Leads);
    state
}

fn append_to(state: &mut State, log_end: Offset) -> bool {
    state.promise(Extent { log_start: 0, log_end, promised_end: log_end })
}

fn fetch(state: &mut State, from: BrokerId, offset: Offset, at: u64) -> Moved {
    let fetch = FollowerFetch { broker_epoch: i64::from(from) + 10, offset, log_start: 0 };
    state.follower_fetched(from, fetch, Mono(at)).unwrap()
}

fn members(change: &IsrChange) -> Vec<BrokerId> {
    change.members().collect()
}

#[test]
fn a_sole_member_moves_the_watermark_alone() {
    let mut state = leader(&[1]);
    assert!(append_to(&mut state, 5));
    assert_eq!(state.high_watermark(), 5);
    assert!(!append_to(&mut state, 5));
}

/// Its log failed, and whoever leads here next does not know whom it asked to have in sync.
#[test]
fn who_resigns_is_still_told_what_became_of_its_last_change() {
    let mut state = leader(&[1]);
    let change = fetch(&mut state, 2, 0, 0).wants.unwrap();
    state.resign();
    assert!(state.is_undecided() && !state.leads() && !state.follows());
    for code in [ErrorCode::RequestTimedOut, ErrorCode::IneligibleReplica] {
        assert_eq!(state.isr_answered(&change, Err(code)).wants, Some(change.clone()), "{code:?}");
    }
    assert_eq!(state.assume(assigned(1, 0, 0, &[1]), Mono(1)), Turn::Stale);
    assert!(state.is_undecided());
    assert_eq!(state.assume(assigned(1, 0, 1, &[1, 2]), Mono(1)), Turn::Stale);
    assert!(!state.is_undecided());
}

#[test]
fn the_slowest_member_holds_the_watermark() {
    let mut state = leader(&[1, 2, 3]);
    assert!(!append_to(&mut state, 9));
    assert!(!fetch(&mut state, 2, 9, 0).high_watermark, "3 has not been heard of");
    assert!(fetch(&mut state, 3, 4, 0).high_watermark);
    assert_eq!(state.high_watermark(), 4);
}

#[test]
fn only_what_the_leader_itself_promises_counts() {
    let mut state = leader(&[1, 2]);
    state.promise(Extent { log_start: 0, log_end: 9, promised_end: 3 });
    let _ = fetch(&mut state, 2, 9, 0);
    assert_eq!(state.high_watermark(), 3);
}

#[test]
fn below_min_insync_it_stands_still() {
    let mut state = leader(&[1]);
    state.set_min_insync(2);
    assert!(!append_to(&mut state, 9));
    assert_eq!(state.check_in_sync(), Err(ErrorCode::NotEnoughReplicas));
}

#[test]
fn min_insync_beyond_the_replicas_is_capped() {
    let mut state = State::new(1, 0, Extent::default());
    state.set_min_insync(2);
    state.assume(Assignment { replicas: vec![1], ..assigned(1, 0, 0, &[1]) }, Mono(0));
    assert!(append_to(&mut state, 9));
}

#[test]
fn epochs_fence_clients_and_stale_news() {
    let mut state = leader(&[1]);
    state.assume(assigned(1, 4, 4, &[1]), Mono(0));
    assert_eq!(state.check_leader(3), Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(state.check_leader(5), Err(ErrorCode::UnknownLeaderEpoch));
    assert_eq!(state.check_leader(-1), Ok(()));
    assert_eq!(state.assume(assigned(2, 3, 3, &[2]), Mono(0)), Turn::Stale);
    assert_eq!(state.assume(assigned(2, 5, 5, &[2]), Mono(0)), Turn::Follows);
    assert_eq!(state.check_leader(-1), Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(state.check_follower(5), Ok(()));
    assert_eq!(state.check_follower(4), Err(ErrorCode::FencedLeaderEpoch));
}

#[test]
fn a_follower_moves_the_watermark_only_as_its_leader_says() {
    let mut state = State::new(1, 0, Extent::default());
    state.assume(assigned(2, 0, 0, &[1, 2]), Mono(0));
    assert!(!append_to(&mut state, 9));
    assert!(state.leader_said(20));
    assert_eq!(state.high_watermark(), 9);
    assert!(!state.leader_said(5), "it never goes back");
}

#[test]
fn who_has_all_joins_and_counts_from_the_proposal_on() {
    let mut state = leader(&[1, 2]);
    append_to(&mut state, 9);
    let _ = fetch(&mut state, 2, 9, 0);
    assert_eq!(fetch(&mut state, 3, 8, 0).wants, None);
    let change = fetch(&mut state, 3, 9, 1).wants.unwrap();
    assert_eq!(change.isr, [(1, 11), (2, 12), (3, 13)]);
    append_to(&mut state, 10);
    assert!(!fetch(&mut state, 2, 10, 2).high_watermark, "3 may already be what a new leader is chosen from");
    assert!(!state.isr_answered(&change, Ok(1)).high_watermark);
    assert_eq!(state.assignment().isr, [1, 2, 3]);
    assert!(fetch(&mut state, 3, 10, 3).high_watermark);
}

#[test]
fn nobody_joins_below_the_epoch_of_the_leader() {
    let mut state = State::new(1, 3, Extent { log_start: 0, log_end: 9, promised_end: 9 });
    state.set_min_insync(2);
    state.assume(assigned(1, 2, 2, &[1]), Mono(0));
    assert_eq!(
        fetch(&mut state, 2, 8, 0).wants,
        None,
        "above the watermark, but not at the start of the epoch"
    );
    assert!(fetch(&mut state, 2, 9, 0).wants.is_some());
}

#[test]
fn the_watermark_waits_for_who_is_about_to_join() {
    let mut state = leader(&[1]);
    append_to(&mut state, 10);
    let _ = fetch(&mut state, 2, 5, 0);
    append_to(&mut state, 20);
    assert_eq!(state.high_watermark(), 20);
    let _ = fetch(&mut state, 2, 10, 1);
    append_to(&mut state, 30);
    assert_eq!(state.high_watermark(), 20, "2 keeps up: it would never catch a watermark that runs ahead");
    assert!(fetch(&mut state, 2, 20, 2).wants.is_some());
    let _ = state.isr_tick(Mono(5000), LAG);
    assert_eq!(state.high_watermark(), 20, "proposed, it counts although it lags");
}

#[test]
fn who_lags_counts_until_the_controller_has_removed_it() {
    let mut state = leader(&[1, 2, 3]);
    append_to(&mut state, 9);
    let _ = fetch(&mut state, 2, 9, 900);
    assert_eq!(state.isr_tick(Mono(1000), LAG).wants, None);
    let change = state.isr_tick(Mono(1001), LAG).wants.unwrap();
    assert_eq!(members(&change), [1, 2]);
    assert_eq!(state.isr_tick(Mono(1500), LAG), Moved::default(), "one change at a time");
    assert_eq!(state.high_watermark(), 0);
    assert!(state.isr_answered(&change, Ok(1)).high_watermark);
    assert_eq!(state.high_watermark(), 9);
}

#[test]
fn an_idle_follower_stays() {
    let mut state = leader(&[1, 2]);
    let _ = fetch(&mut state, 2, 0, 0);
    assert_eq!(state.isr_tick(Mono(1_000_000), LAG).wants, None);
}

#[test]
fn a_lost_reply_is_resolved_by_the_image() {
    let mut state = leader(&[1]);
    let change = fetch(&mut state, 2, 0, 0).wants.unwrap();
    assert_eq!(state.isr_answered(&change, Err(ErrorCode::RequestTimedOut)).wants, Some(change.clone()));
    assert_eq!(state.isr_answered(&change, Err(ErrorCode::InvalidUpdateVersion)).wants, None);
    assert!(state.is_pending(&change), "accepted or overtaken: the image knows");
    state.assume(assigned(1, 0, 1, &[1, 2]), Mono(0));
    assert!(!state.is_pending(&change));
    assert_eq!(state.isr_answered(&change, Ok(1)), Moved::default());
    assert_eq!(state.assignment().isr, [1, 2]);
}

#[test]
fn a_reply_that_comes_first_is_not_undone_by_an_older_image() {
    let mut state = leader(&[1]);
    let change = fetch(&mut state, 2, 0, 0).wants.unwrap();
    let _ = state.isr_answered(&change, Ok(1));
    assert_eq!(state.assume(assigned(1, 0, 0, &[1]), Mono(0)), Turn::Stale);
    assert_eq!(state.assignment().isr, [1, 2]);
}

#[test]
fn what_was_refused_is_proposed_again_by_the_next_fetch() {
    let mut state = leader(&[1]);
    let change = fetch(&mut state, 2, 0, 0).wants.unwrap();
    assert_eq!(state.isr_answered(&change, Err(ErrorCode::IneligibleReplica)).wants, None);
    assert_eq!(fetch(&mut state, 2, 0, 1).wants, Some(change));
}

#[test]
fn a_refusal_after_a_lost_attempt_is_sealed_by_a_new_partition_epoch() {
    let mut state = leader(&[1]);
    let change = fetch(&mut state, 2, 0, 0).wants.unwrap();
    let _ = state.isr_answered(&change, Err(ErrorCode::RequestTimedOut));
    state.assume(Assignment { epochs: [(1, 11)].into(), ..assigned(1, 0, 0, &[1]) }, Mono(0));
    let withdrawal = state.isr_answered(&change, Err(ErrorCode::IneligibleReplica)).wants.unwrap();
    assert_eq!(members(&withdrawal), [1]);
    assert!(!append_to(&mut state, 5), "the lost attempt may still be accepted");
    assert!(state.isr_answered(&withdrawal, Ok(1)).high_watermark);
}

#[test]
fn a_registered_broker_is_heard_under_its_own_epoch_alone() {
    let mut state = leader(&[1]);
    let refused = Err(ErrorCode::NotLeaderOrFollower);
    let of = |broker_epoch| FollowerFetch { broker_epoch, offset: 0, log_start: 0 };
    for broker_epoch in [-1, 11, 99, i64::MAX] {
        assert_eq!(state.follower_fetched(2, of(broker_epoch), Mono(0)), refused, "{broker_epoch}");
    }
    assert_eq!(state.follower_fetched(2, of(12), Mono(0)).unwrap().wants.unwrap().isr, [(1, 11), (2, 12)]);
}

#[test]
fn what_was_said_under_an_epoch_that_was_never_registered_shuts_nobody_out() {
    let mut state = leader(&[1]);
    let fenced = Assignment { epochs: [(1, 11)].into(), ..assigned(1, 0, 0, &[1]) };
    assert_eq!(state.assume(fenced, Mono(0)), Turn::Stays);
    let of = |broker_epoch| FollowerFetch { broker_epoch, offset: 0, log_start: 0 };
    assert_eq!(state.follower_fetched(2, of(i64::MAX), Mono(0)).unwrap().wants, None, "2 is fenced");
    let active = Assignment { epochs: [(1, 11), (2, 99)].into(), ..assigned(1, 0, 0, &[1]) };
    assert_eq!(state.assume(active, Mono(0)), Turn::Stays);
    assert_eq!(state.follower_fetched(2, of(99), Mono(1)).unwrap().wants.unwrap().isr, [(1, 11), (2, 99)]);
}

#[test]
fn a_broker_without_a_replica_is_refused() {
    let fetch = FollowerFetch { broker_epoch: 14, offset: 0, log_start: 0 };
    assert_eq!(leader(&[1]).follower_fetched(4, fetch, Mono(0)), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn what_a_broker_promised_does_not_bind_its_next_process() {
    let mut state = leader(&[1, 2]);
    append_to(&mut state, 5);
    state.set_min_insync(2);
    let _ = fetch(&mut state, 2, 5, 0);
    append_to(&mut state, 9);
    let restarted = Assignment { epochs: [(1, 11), (2, 99)].into(), ..assigned(1, 0, 1, &[1, 2]) };
    state.assume(restarted, Mono(0));
    assert!(!append_to(&mut state, 10));
    assert_eq!(state.high_watermark(), 5);
}

#[test]
fn the_low_watermark_waits_for_every_living_replica() {
    let mut state = leader(&[1, 2]);
    state.promise(Extent { log_start: 7, log_end: 9, promised_end: 9 });
    assert_eq!(state.low_watermark(), -1);
    for (from, log_start) in [(2, 8), (3, 4)] {
        let fetch = FollowerFetch { broker_epoch: i64::from(from) + 10, offset: 9, log_start };
        let _ = state.follower_fetched(from, fetch, Mono(0));
    }
    assert_eq!(state.low_watermark(), 4);
    state.assume(Assignment { epochs: [(1, 11), (2, 12)].into(), ..assigned(1, 0, 1, &[1, 2]) }, Mono(0));
    assert_eq!(state.low_watermark(), 7);
}

/// What can happen to a leader. Numbers pick among what is possible, modulo its count.
#[derive(Clone, Debug)]
enum Event {
    Append(Offset),
    Fetch {
        from: BrokerId,
        gets: Offset,
    },
    Tick {
        after: u64,
    },
    /// The proposal arrives, or not (yet); the reply comes back, or not.
    Propose {
        arrives: bool,
        is_answered: bool,
    },
    /// A proposal that was given up arrives after all.
    ArrivesLate(usize),
    Fence(BrokerId),
    Unfence(BrokerId),
    Image,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1i64..5).prop_map(Event::Append),
        6 => (2..=3, 0i64..6).prop_map(|(from, gets)| Event::Fetch { from, gets }),
        1 => (1u64..1500).prop_map(|after| Event::Tick { after }),
        4 => (any::<bool>(), any::<bool>())
            .prop_map(|(arrives, is_answered)| Event::Propose { arrives, is_answered }),
        1 => (0usize..4).prop_map(Event::ArrivesLate),
        1 => (2..=3).prop_map(Event::Fence),
        1 => (2..=3).prop_map(Event::Unfence),
        2 => Just(Event::Image),
    ]
}

/// A leader with two followers, and the controller that it hears of late.
struct World {
    state: State,
    log_end: Offset,
    /// What each follower really has.
    held: BTreeMap<BrokerId, Offset>,
    now: u64,
    truth: Assignment,
    images: Vec<Assignment>,
    wanted: Option<IsrChange>,
    given_up: Vec<IsrChange>,
}

impl World {
    fn new() -> World {
        let mut state = leader(&[1, 2, 3]);
        state.set_min_insync(2);
        World {
            state,
            log_end: 0,
            held: [(2, 0), (3, 0)].into(),
            now: 0,
            truth: assigned(1, 0, 0, &[1, 2, 3]),
            images: vec![],
            wanted: None,
            given_up: vec![],
        }
    }

    fn decide(&mut self, change: &IsrChange) -> Result<PartitionEpoch, ErrorCode> {
        if change.partition_epoch != self.truth.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        if change.isr.iter().any(|(member, epoch)| self.truth.epochs.get(member) != Some(epoch)) {
            return Err(ErrorCode::IneligibleReplica);
        }
        self.truth.isr = members(change);
        self.truth.partition_epoch += 1;
        self.images.push(self.truth.clone());
        Ok(self.truth.partition_epoch)
    }

    fn note(&mut self, moved: Moved) {
        self.wanted = moved.wants.or(self.wanted.take());
    }

    fn propose(&mut self, arrives: bool, is_answered: bool) {
        let Some(change) = self.wanted.take().filter(|change| self.state.is_pending(change)) else { return };
        let decided = arrives.then(|| self.decide(&change));
        if !arrives {
            self.given_up.push(change.clone());
        }
        let answer = decided.filter(|_| is_answered).unwrap_or(Err(ErrorCode::RequestTimedOut));
        let moved = self.state.isr_answered(&change, answer);
        self.note(moved);
    }

    fn fence(&mut self, broker: BrokerId) {
        self.truth.epochs.remove(&broker);
        if self.truth.isr.contains(&broker) {
            self.truth.isr.retain(|member| *member != broker);
            self.truth.partition_epoch += 1;
        }
        self.images.push(self.truth.clone());
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Append(records) => {
                self.log_end += records;
                append_to(&mut self.state, self.log_end);
            }
            Event::Fetch { from, gets } => {
                let held = self.held.entry(from).or_default();
                let moved = fetch(&mut self.state, from, *held, self.now);
                *held = (*held + gets).min(self.log_end);
                self.note(moved);
            }
            Event::Tick { after } => {
                self.now += after;
                let moved = self.state.isr_tick(Mono(self.now), LAG);
                self.note(moved);
            }
            Event::Propose { arrives, is_answered } => self.propose(arrives, is_answered),
            Event::ArrivesLate(nth) if nth < self.given_up.len() => {
                let change = self.given_up.remove(nth);
                let _ = self.decide(&change);
            }
            Event::ArrivesLate(_) => {}
            Event::Fence(broker) => self.fence(broker),
            Event::Unfence(broker) => {
                self.truth.epochs.insert(broker, i64::from(broker) + 10);
                self.images.push(self.truth.clone());
            }
            Event::Image if !self.images.is_empty() => {
                self.state.assume(self.images.remove(0), Mono(self.now));
                self.state.promise(self.state.extent);
            }
            Event::Image => {}
        }
    }

    /// Whoever the controller may choose as the next leader has everything that was committed.
    fn check(&self) -> Result<(), TestCaseError> {
        let members: BTreeSet<_> = self.truth.isr.iter().filter(|member| **member != 1).collect();
        for member in members {
            prop_assert!(
                self.held[member] >= self.state.high_watermark(),
                "{member} lacks what is committed"
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_watermark_never_passes_a_member_and_never_goes_back(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::new();
        let mut reached = 0;
        for event in events {
            world.happens(event);
            world.check()?;
            prop_assert!(world.state.high_watermark() >= reached);
            reached = world.state.high_watermark();
        }
    }
}
