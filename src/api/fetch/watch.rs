//! What a follower's session is to be told, without a look at each of its partitions: one that rests costs nothing until
//! something changes there.
//!
//! ```text
//!   named in the request ─┐
//!   rang, or was noted ───┼─► restless ─► read ─┬─ in sync, has everything ─► rests ─┐
//!   read, does not rest ──┘       ▲             └─ else: stays                       │ it rings, or is noted
//!                                 └──────────────────────────────────────────────────┘
//! ```

use crate::partition::bell::Bell;
use crate::partition::progress::{Interest, Listening, Marks};
use crate::partition::replica::Replica;
use crate::partition::state::LastFetch;
use crate::types::{BrokerId, Mono};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The process that a session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    pub id: BrokerId,
    pub broker_epoch: i64,
}

/// Of the partitions of one session, which are numbered as they lie in it.
#[derive(Debug)]
pub struct Watch {
    follower: Follower,
    bell: Arc<Bell>,
    /// Speaks for those at rest.
    last_fetch: Arc<LastFetch>,
    spots: Vec<Option<Spot>>,
    restless: BTreeSet<usize>,
}

/// Where one is.
#[derive(Debug)]
struct Spot {
    replica: Arc<Replica>,
    _listening: Listening,
}

impl Watch {
    /// All are restless.
    pub fn new(follower: Follower, partitions: usize) -> Watch {
        Watch {
            follower,
            bell: Arc::default(),
            last_fetch: Arc::default(),
            spots: (0..partitions).map(|_| None).collect(),
            restless: (0..partitions).collect(),
        }
    }

    /// One has left, and the last one has its number now. What has left is spoken for no more.
    pub fn forget(&mut self, number: usize) {
        let last = self.spots.len() - 1;
        if let Some(spot) = self.spots.swap_remove(number) {
            spot.replica.unrest(self.follower.id);
        }
        self.restless.remove(&last);
        self.restless.remove(&number);
        if number < last {
            // It rings under the old one.
            self.spots[number] = None;
            self.restless.insert(number);
        }
    }

    pub fn follower(&self) -> Follower {
        self.follower
    }

    pub fn belongs_to(&self, follower: Option<Follower>) -> bool {
        follower == Some(self.follower)
    }

    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// A request of this session came.
    pub fn fetched(&self, now: Mono) {
        self.last_fetch.note(now);
    }

    /// A request named one, perhaps a new one.
    pub fn stir(&mut self, number: usize) {
        self.restless.insert(number);
        if number >= self.spots.len() {
            self.spots.resize_with(number + 1, || None);
        }
    }

    /// Those that have changed since the last call; they are restless.
    pub fn changed(&mut self) -> BTreeSet<usize> {
        let mut changed = self.bell.take();
        // Of what has left.
        changed.split_off(&self.spots.len());
        self.restless.extend(&changed);
        changed
    }

    /// All that are restless, those from `start` on first.
    pub fn restless(&mut self, start: usize) -> impl Iterator<Item = usize> {
        self.changed();
        self.restless.range(start..).chain(self.restless.range(..start)).copied()
    }

    /// One was read, and was found under these marks. With `has_all` it may rest.
    pub fn attend(
        &mut self,
        number: usize,
        replica: &Arc<Replica>,
        seen: &Marks,
        interest: Interest,
        has_all: bool,
    ) {
        let Some(spot) = self.spots.get_mut(number) else { return };
        // It may be another one now: a log that failed is opened anew.
        if !spot.as_ref().is_some_and(|spot| Arc::ptr_eq(&spot.replica, replica)) {
            let listening = replica.progress().listen(seen, interest, &self.bell, number);
            *spot = Some(Spot { replica: replica.clone(), _listening: listening });
        }
        if has_all && replica.rest(self.follower.id, &self.last_fetch) {
            self.restless.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::replica::{FollowerRead, Wanted};
    use crate::partition::tests::trio::Truth;
    use crate::partition::tests::{Life, NOW, TOPIC, append, first_read};
    use crate::types::{ErrorCode, Offset};
    use std::time::Duration;
    use storage::disk::fault::FaultDisk;

    const FOLLOWER: Follower = Follower { id: 2, broker_epoch: 2 };
    const INTEREST: Interest = Interest { appended: true, committed: false, noted: true };

    /// Broker 1 leads, broker 2 follows.
    struct Scene {
        life: Life,
        replica: Arc<Replica>,
        watch: Watch,
    }

    impl Scene {
        fn new(isr: &[BrokerId]) -> Scene {
            let mut life = Life::of(1, &Arc::new(FaultDisk::new(1)), &["/data"], || {});
            life.reconciler.reconcile(truth(isr, 0).image(0), NOW);
            let replica = life.replica(TOPIC);
            Scene { life, replica, watch: Watch::new(FOLLOWER, 1) }
        }

        fn restless(&mut self) -> Vec<usize> {
            self.watch.restless(0).collect()
        }

        /// What the session does with a partition that its follower wants from `offset` on. The bytes that are there.
        fn read(&mut self, offset: Offset, now: Mono) -> usize {
            self.watch.fetched(now);
            self.watch.changed();
            let wanted = Wanted { offset, ..first_read().wanted };
            let read = FollowerRead { wanted, max_bytes: 1000, ..first_read() };
            let found = self.replica.read_as_follower(read, now).found.unwrap();
            let bytes = found.slices.iter().map(|slice| slice.len).sum();
            self.watch.attend(0, &self.replica, &found.seen, INTEREST, bytes == 0);
            bytes
        }
    }

    fn truth(isr: &[BrokerId], partition_epoch: i32) -> Truth {
        Truth {
            leader: Some(1),
            leader_epoch: 0,
            partition_epoch,
            isr: isr.to_vec(),
            brokers: [1, 2, 3].map(|id| (id, (i64::from(id), false))).into(),
            flush: false,
        }
    }

    #[test]
    fn who_has_everything_rests_until_something_is_appended() {
        let mut scene = Scene::new(&[1, 2]);
        assert_eq!(scene.restless(), [0]);
        scene.read(0, NOW.mono);
        assert_eq!(scene.restless(), []);
        append(&scene.replica, "a").unwrap();
        assert_eq!(Vec::from_iter(scene.watch.changed()), [0]);
        assert!(scene.read(0, NOW.mono) > 0);
        assert_eq!(scene.restless(), [0], "it was told of records, and has not said that it has them");
        scene.read(1, NOW.mono);
        assert_eq!(scene.restless(), [0], "the watermark moved, of which it was not told");
        scene.read(1, NOW.mono);
        assert_eq!(scene.restless(), []);
    }

    #[test]
    fn who_is_not_in_sync_does_not_rest() {
        let mut scene = Scene::new(&[1]);
        scene.read(0, NOW.mono);
        assert_eq!(scene.restless(), [0]);
        scene.life.reconciler.reconcile(truth(&[1, 2], 1).image(1), NOW);
        scene.read(0, NOW.mono);
        assert_eq!(scene.restless(), []);
        scene.life.reconciler.reconcile(truth(&[1], 2).image(2), NOW);
        assert_eq!(scene.restless(), [0], "to ask for its place once more");
    }

    #[test]
    fn as_long_as_it_rests_each_fetch_of_the_session_keeps_it_in_sync() {
        let mut scene = Scene::new(&[1, 2]);
        let (lag, at) = (Duration::from_millis(100), |ms| NOW.mono.plus(Duration::from_millis(ms)));
        scene.read(0, at(0));
        scene.watch.fetched(at(1000));
        append(&scene.replica, "a").unwrap();
        assert_eq!(scene.replica.isr_tick(at(1100), lag), None);
        scene.watch.fetched(at(1100));
        let shrinks = scene.replica.isr_tick(at(1101), lag).map(|change| change.isr);
        assert_eq!(shrinks, Some(vec![(1, 1)]), "it has not fetched what was appended");
    }

    #[test]
    fn a_late_fetch_of_an_earlier_process_does_not_end_its_rest() {
        let mut scene = Scene::new(&[1, 2]);
        let (lag, at) = (Duration::from_millis(100), |ms| NOW.mono.plus(Duration::from_millis(ms)));
        scene.read(0, at(0));
        let late = FollowerRead { broker_epoch: FOLLOWER.broker_epoch - 1, ..first_read() };
        let refused = scene.replica.read_as_follower(late, at(1)).found.map(|_| ());
        assert_eq!(refused, Err(ErrorCode::NotLeaderOrFollower));
        scene.watch.fetched(at(1000));
        append(&scene.replica, "a").unwrap();
        assert_eq!(scene.replica.isr_tick(at(1100), lag), None);
    }

    #[test]
    fn after_a_late_fetch_that_is_refused_its_session_looks_again() {
        let mut scene = Scene::new(&[1, 2]);
        scene.read(0, NOW.mono);
        let beyond = Wanted { offset: 7, ..first_read().wanted };
        let late = FollowerRead { wanted: beyond, ..first_read() };
        let refused = scene.replica.read_as_follower(late, NOW.mono).found.map(|_| ());
        assert_eq!(refused, Err(ErrorCode::OffsetOutOfRange));
        assert_eq!(scene.restless(), [0]);
        scene.read(0, NOW.mono);
        assert_eq!(scene.restless(), []);
    }

    #[test]
    fn what_has_left_is_spoken_for_no_more() {
        let mut scene = Scene::new(&[1, 2]);
        let (lag, at) = (Duration::from_millis(100), |ms| NOW.mono.plus(Duration::from_millis(ms)));
        scene.read(0, at(0));
        scene.watch.forget(0);
        scene.watch.fetched(at(1000));
        append(&scene.replica, "a").unwrap();
        assert_eq!(scene.restless(), []);
        assert!(scene.replica.isr_tick(at(1000), lag).is_some());
    }

    #[test]
    fn the_last_one_takes_the_place_of_what_has_left() {
        let mut scene = Scene::new(&[1, 2]);
        scene.watch.stir(2);
        scene.watch.stir(1);
        scene.read(0, NOW.mono);
        assert_eq!(scene.restless(), [1, 2]);
        scene.watch.forget(1);
        assert_eq!(scene.restless(), [1]);
        scene.watch.forget(0);
        assert_eq!(scene.restless(), [0]);
        scene.read(0, NOW.mono);
        assert_eq!(scene.restless(), []);
        append(&scene.replica, "a").unwrap();
        assert_eq!(scene.restless(), [0]);
    }
}
