//! What a leader knows of one follower: how far it is, and since when it keeps up.

use crate::types::{Mono, Offset};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::sync::AtomicU64;

/// When a follower fetched last, of all partitions at once. Most of them rest, and are named in no request (KIP-227).
#[derive(Debug, Default)]
pub struct LastFetch(AtomicU64);

impl LastFetch {
    pub fn note(&self, now: Mono) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    fn at(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed))
    }
}

/// What a follower says of itself with a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The epoch its broker is registered under, or -1 if it does not say.
    pub broker_epoch: i64,
    /// All below is promised: appended, or synced where that is asked for.
    pub offset: Offset,
    pub log_start: Offset,
}

/// One follower, as seen by the leader in its epoch.
///
/// A follower that always has a little left to fetch still keeps up: it is caught up at the time of the fetch before, if
/// it reaches the end that the log had then.
///
/// ```text
///   log end         10             14             17
///   fetches     ────┼──────────────┼──────────────┼───►
///   offset           8             10             14
///   caught up        -     at the 1st fetch   at the 2nd
/// ```
#[derive(Clone, Debug)]
pub(super) struct Follower {
    pub broker_epoch: i64,
    /// `None` until it has fetched.
    pub promised: Option<FollowerFetch>,
    /// The last fetch, and where the log ended then.
    last_fetch: Option<(Mono, Offset)>,
    caught_up_at: Option<Mono>,
    /// It has everything, and says so with each of its fetches without naming this partition.
    rests: Option<Arc<LastFetch>>,
    /// It was caught up lately: the watermark waits for it even before it is in the ISR, or it would never get in under load.
    pub keeps_up: bool,
}

impl Follower {
    /// One that nothing is known of.
    pub fn new(broker_epoch: i64) -> Follower {
        Follower {
            broker_epoch,
            promised: None,
            last_fetch: None,
            caught_up_at: None,
            rests: None,
            keeps_up: false,
        }
    }

    /// A member of the ISR at the beginning of the leader's epoch: it has its time to come.
    pub fn trusted(broker_epoch: i64, log_end: Offset, now: Mono) -> Follower {
        let last_fetch = Some((now, log_end));
        Follower { last_fetch, caught_up_at: Some(now), keeps_up: true, ..Follower::new(broker_epoch) }
    }

    /// Notes a fetch made while the log ended at `log_end`. A broker that was started anew begins anew.
    pub fn fetched(&mut self, fetch: FollowerFetch, log_end: Offset, now: Mono) {
        if fetch.broker_epoch > self.broker_epoch {
            *self = Follower::new(fetch.broker_epoch);
        }
        let reached = match self.last_fetch {
            _ if fetch.offset >= log_end => Some(now),
            Some((at, end)) if fetch.offset >= end => Some(at),
            _ => None,
        };
        self.keeps_up |= reached.is_some();
        self.caught_up_at = self.caught_up_at.max(reached);
        self.promised = Some(fetch);
        self.last_fetch = Some((now, log_end));
        self.rests = None;
    }

    /// It has everything: from now on `last_fetch` speaks for it.
    pub fn rest(&mut self, last_fetch: Arc<LastFetch>) {
        self.rests = Some(last_fetch);
    }

    /// It rests no more: the log is about to go on from `log_end`, up to where it has it, or nothing speaks for it any more.
    pub fn wake(&mut self, log_end: Offset) {
        if let Some(rested) = self.rests.take().map(|last_fetch| last_fetch.at()) {
            self.caught_up_at = self.caught_up_at.max(Some(rested));
            self.last_fetch = Some((rested, log_end));
        }
    }

    /// When it was caught up last, as far as is known.
    pub fn caught_up_at(&self) -> Option<Mono> {
        self.caught_up_at.max(self.rests.as_ref().map(|last_fetch| last_fetch.at()))
    }

    pub fn is_at_end(&self, log_end: Offset) -> bool {
        self.promised.is_some_and(|promised| promised.offset >= log_end)
    }

    /// Looks whether it has been behind for longer than `lag_max`.
    pub fn check(&mut self, log_end: Offset, now: Mono, lag_max: Duration) {
        self.keeps_up =
            self.is_at_end(log_end) || self.caught_up_at.is_some_and(|at| now.since(at) <= lag_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_millis(100);

    fn fetch(offset: Offset) -> FollowerFetch {
        FollowerFetch { broker_epoch: 1, offset, log_start: 0 }
    }

    fn keeps_up(follower: &Follower, log_end: Offset, now: u64) -> bool {
        let mut follower = follower.clone();
        follower.check(log_end, Mono(now), LAG);
        follower.keeps_up
    }

    #[test]
    fn reaching_the_end_of_the_fetch_before_is_keeping_up() {
        let mut follower = Follower::new(1);
        follower.fetched(fetch(8), 10, Mono(0));
        assert!(!keeps_up(&follower, 10, 0));
        follower.fetched(fetch(10), 14, Mono(50));
        assert!(keeps_up(&follower, 14, 100));
        assert!(!keeps_up(&follower, 14, 101), "caught up at the first fetch, not at the second");
    }

    #[test]
    fn at_the_end_of_an_idle_log_it_keeps_up_for_ever() {
        let mut follower = Follower::new(1);
        follower.fetched(fetch(10), 10, Mono(0));
        assert!(keeps_up(&follower, 10, 1_000_000));
        assert!(!keeps_up(&follower, 11, 1_000_000));
    }

    /// It named the partition once, and went on fetching others until 500; then the log goes on.
    #[test]
    fn who_rests_is_caught_up_as_of_its_last_fetch() {
        let (mut follower, last_fetch) = (Follower::new(1), Arc::<LastFetch>::default());
        follower.fetched(fetch(10), 10, Mono(0));
        last_fetch.note(Mono(0));
        follower.rest(last_fetch.clone());
        last_fetch.note(Mono(500));
        assert_eq!(follower.caught_up_at(), Some(Mono(500)));
        follower.wake(10);
        last_fetch.note(Mono(900));
        assert!(keeps_up(&follower, 11, 600));
        assert!(!keeps_up(&follower, 11, 601), "what it fetched since says nothing of this partition");
        follower.fetched(fetch(10), 11, Mono(650));
        assert!(!keeps_up(&follower, 11, 650));
        follower.fetched(fetch(11), 12, Mono(660));
        assert!(keeps_up(&follower, 12, 750), "caught up at the fetch before");
    }

    #[test]
    fn a_trusted_one_has_its_time_to_come() {
        let follower = Follower::trusted(1, 10, Mono(1000));
        assert!(keeps_up(&follower, 10, 1100));
        assert!(!keeps_up(&follower, 10, 1101));
    }

    #[test]
    fn a_broker_started_anew_begins_anew() {
        let mut follower = Follower::trusted(1, 10, Mono(0));
        follower.fetched(FollowerFetch { broker_epoch: 2, ..fetch(3) }, 10, Mono(1));
        assert!(!keeps_up(&follower, 10, 2));
    }
}
