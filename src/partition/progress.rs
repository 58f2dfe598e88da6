//! What a partition shows to those who wait on it: its watermarks, and a wake-up when they pass a point.
//!
//! A wait carries the leader epoch it began in. Any other epoch ends it with NOT_LEADER_OR_FOLLOWER, even if this
//! broker leads again: the watermark may by then pass the offset with another record in it.

use super::bell::Bell;
use super::state;
use crate::types::{ErrorCode, LeaderEpoch, Offset};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::sync::Mutex;
use tokio::sync::Notify;

/// The published marks of one partition, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Whether this broker leads, and in which epoch; otherwise waits are refused, and reads but those of consumers who may
    /// read from followers.
    pub leads: bool,
    pub follows: bool,
    pub leader_epoch: LeaderEpoch,
    pub log_start: Offset,
    pub log_end: Offset,
    /// Up to here this replica's own word stands: the log end, or the synced end where `flush.messages=1`.
    pub promised_end: Offset,
    pub high_watermark: Offset,
    /// Everything below is decided: no open transaction begins before it.
    pub last_stable: Offset,
    /// Records below are deleted on every replica that lives.
    pub low_watermark: Offset,
    /// The ISR has the members that acks=all asks for.
    pub is_in_sync: bool,
}

/// The mark that a wait is for. The first two never go back within a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// For acks=all, and for consumers.
    HighWatermark,
    /// For acks=1.
    PromisedEnd,
    /// For DeleteRecords.
    LowWatermark,
}

/// Marks and the waiters on them. Written by the partition alone, after the log shows what the marks claim.
#[derive(Debug)]
pub struct Progress {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    marks: Marks,
    waiters: BTreeMap<Place, Arc<Notify>>,
    listeners: Vec<Listener>,
    next_waiter: u64,
}

/// What a reader wants to hear of, beside another leader or epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// That something was appended: followers fetch what nobody else is shown yet.
    pub appended: bool,
    /// That more is committed.
    pub committed: bool,
    /// Whatever else changes, when it comes by.
    pub noted: bool,
}

/// Rings a bell as often as something changes.
#[derive(Debug)]
struct Listener {
    id: u64,
    interest: Interest,
    bell: Arc<Bell>,
    number: usize,
}

/// The place of a listener; dropping it leaves.
#[derive(Debug)]
pub struct Listening {
    progress: Arc<Progress>,
    id: u64,
}

/// By mark, then by what it must reach; one-shot.
type Place = (Mark, Offset, u64);

/// A place in the waiting line; dropping it leaves.
#[derive(Debug)]
struct Waiting {
    progress: Arc<Progress>,
    place: Place,
}

impl Marks {
    /// Whether this broker may answer as leader for a client that knows `epoch` (-1: does not say).
    pub fn check_leader(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        state::check_leader(self.leads, self.leader_epoch, epoch)
    }

    /// Whether this broker may show what is committed.
    pub fn check_reader(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        state::check_leader(self.leads || self.follows, self.leader_epoch, epoch)
    }

    pub fn of(&self, mark: Mark) -> Offset {
        match mark {
            Mark::HighWatermark => self.high_watermark,
            Mark::PromisedEnd => self.promised_end,
            Mark::LowWatermark => self.low_watermark,
        }
    }

    /// Whether a wait for `mark` that began in `epoch` is over, and how.
    fn outcome(&self, mark: Mark, reached: Offset, epoch: LeaderEpoch) -> Option<Result<(), ErrorCode>> {
        if !self.leads || self.leader_epoch != epoch {
            return Some(Err(ErrorCode::NotLeaderOrFollower));
        }
        (self.of(mark) >= reached).then_some(Ok(()))
    }
}

impl Interest {
    fn tell(self, before: &Marks, after: &Marks, bell: &Bell, number: usize) {
        if self.is_met(before, after) {
            bell.ring(number);
        } else if self.noted && before != after {
            bell.note(number);
        }
    }

    fn is_met(self, before: &Marks, after: &Marks) -> bool {
        let led = |marks: &Marks| (marks.leads, marks.follows, marks.leader_epoch);
        let committed = |marks: &Marks| (marks.high_watermark, marks.last_stable);
        led(before) != led(after)
            || self.appended && before.log_end != after.log_end
            || self.committed && committed(before) != committed(after)
    }
}

impl Progress {
    pub fn new(marks: Marks) -> Progress {
        let (waiters, listeners) = (BTreeMap::new(), vec![]);
        Progress { inner: Mutex::new(Inner { marks, waiters, listeners, next_waiter: 0 }) }
    }

    pub fn marks(&self) -> Marks {
        self.inner.lock().marks
    }

    /// Shows new marks, and wakes whom they concern: all, if the leader or its epoch changed.
    pub fn publish(&self, marks: Marks) {
        let woken = {
            let mut inner = self.inner.lock();
            let same_leader =
                (marks.leads, marks.leader_epoch) == (inner.marks.leads, inner.marks.leader_epoch);
            let before = std::mem::replace(&mut inner.marks, marks);
            for Listener { interest, bell, number, .. } in &inner.listeners {
                interest.tell(&before, &marks, bell, *number);
            }
            if inner.waiters.is_empty() {
                return;
            }
            inner.take_woken(same_leader)
        };
        woken.into_iter().for_each(|waiter| waiter.notify_one());
    }

    /// What the marks do not show has changed: who is in sync, or may be.
    pub fn note(&self) {
        let inner = self.inner.lock();
        let noted = inner.listeners.iter().filter(|listener| listener.interest.noted);
        noted.for_each(|listener| listener.bell.note(listener.number));
    }

    /// Asks that `notify` be woken once `mark` is at least `reached`, or the leader changes.
    /// Look at the marks *after* this call and before waiting: what came earlier wakes nobody.
    fn watch(self: &Arc<Self>, mark: Mark, reached: Offset, notify: &Arc<Notify>) -> Waiting {
        let mut inner = self.inner.lock();
        inner.next_waiter += 1;
        let place = (mark, reached, inner.next_waiter);
        inner.waiters.insert(place, notify.clone());
        Waiting { progress: self.clone(), place }
    }

    /// Has `bell` rung under `number` whenever something changes that is of interest; at once, if it has since `seen` was.
    pub fn listen(
        self: &Arc<Self>,
        seen: &Marks,
        interest: Interest,
        bell: &Arc<Bell>,
        number: usize,
    ) -> Listening {
        let mut inner = self.inner.lock();
        inner.next_waiter += 1;
        let id = inner.next_waiter;
        interest.tell(seen, &inner.marks, bell, number);
        inner.listeners.push(Listener { id, interest, bell: bell.clone(), number });
        Listening { progress: self.clone(), id }
    }

    /// Waits until `mark` is at least `end`, under the same leader epoch.
    pub async fn reached(
        self: Arc<Self>,
        mark: Mark,
        end: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), ErrorCode> {
        let notify = Arc::new(Notify::new());
        loop {
            let _waiting = self.watch(mark, end, &notify);
            if let Some(outcome) = self.marks().outcome(mark, end, epoch) {
                return outcome;
            }
            notify.notified().await;
        }
    }

    /// Waits until every ISR member has promised all below `end`, under the same leader epoch.
    pub async fn committed(self: Arc<Self>, end: Offset, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        self.reached(Mark::HighWatermark, end, epoch).await
    }
}

impl Inner {
    /// Takes out the waiters whose mark has been reached; all, if the leader is not the same.
    fn take_woken(&mut self, same_leader: bool) -> Vec<Arc<Notify>> {
        if !same_leader {
            return std::mem::take(&mut self.waiters).into_values().collect();
        }
        let mut woken = vec![];
        for mark in [Mark::HighWatermark, Mark::PromisedEnd, Mark::LowWatermark] {
            let reached = (mark, Offset::MIN, 0)..(mark, self.marks.of(mark).saturating_add(1), 0);
            woken.extend(self.waiters.extract_if(reached, |_, _| true).map(|(_, waiter)| waiter));
        }
        woken
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.progress.inner.lock().waiters.remove(&self.place);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.progress.inner.lock().listeners.retain(|listener| listener.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn marks(epoch: LeaderEpoch, high_watermark: Offset) -> Marks {
        Marks {
            leads: true,
            follows: false,
            leader_epoch: epoch,
            log_start: 0,
            log_end: 100,
            promised_end: 100,
            high_watermark,
            last_stable: high_watermark,
            low_watermark: 0,
            is_in_sync: true,
        }
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_watermark_reaches_it() {
        let progress = Arc::new(Progress::new(marks(1, 5)));
        let mut wait = Box::pin(progress.clone().committed(7, 1));
        assert!(wait.as_mut().now_or_never().is_none());
        progress.publish(marks(1, 6));
        assert!(wait.as_mut().now_or_never().is_none());
        progress.publish(marks(1, 7));
        assert_eq!(wait.await, Ok(()));
    }

    #[tokio::test]
    async fn a_new_epoch_fails_the_wait_although_the_watermark_passed() {
        let progress = Arc::new(Progress::new(marks(1, 5)));
        let mut wait = Box::pin(progress.clone().committed(7, 1));
        assert!(wait.as_mut().now_or_never().is_none());
        progress.publish(marks(2, 9));
        assert_eq!(wait.await, Err(ErrorCode::NotLeaderOrFollower));
    }

    #[tokio::test]
    async fn each_waits_for_its_own_mark() {
        let progress = Arc::new(Progress::new(marks(1, 5)));
        let mut consumer = Box::pin(progress.clone().committed(7, 1));
        let mut producer = Box::pin(progress.clone().reached(Mark::PromisedEnd, 101, 1));
        let mut deleter = Box::pin(progress.clone().reached(Mark::LowWatermark, 3, 1));
        assert!(producer.as_mut().now_or_never().is_none());
        progress.publish(Marks { promised_end: 101, ..marks(1, 5) });
        assert!(consumer.as_mut().now_or_never().is_none());
        assert!(deleter.as_mut().now_or_never().is_none());
        assert_eq!(producer.as_mut().now_or_never(), Some(Ok(())));
        progress.publish(Marks { promised_end: 101, low_watermark: 3, ..marks(1, 7) });
        assert_eq!((consumer.await, deleter.await), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn who_leaves_is_forgotten() {
        let progress = Arc::new(Progress::new(marks(1, 5)));
        let mut wait = Box::pin(progress.clone().committed(7, 1));
        assert!(wait.as_mut().now_or_never().is_none());
        drop(wait);
        assert!(progress.inner.lock().waiters.is_empty());
    }

    #[test]
    fn a_bell_is_rung_for_what_is_of_interest_alone() {
        let progress = Arc::new(Progress::new(marks(1, 5)));
        let bell = Arc::<Bell>::default();
        let rung = || bell.heard().now_or_never().map(|()| Vec::from_iter(bell.take()));
        let listen = |number, appended, committed| {
            let interest = Interest { appended, committed, noted: false };
            progress.listen(&marks(1, 5), interest, &bell, number)
        };
        let _consumer = listen(1, false, true);
        let _follower = listen(2, true, false);
        assert_eq!(rung(), None);
        progress.publish(Marks { log_end: 101, ..marks(1, 5) });
        assert_eq!(rung(), Some(vec![2]));
        progress.publish(Marks { log_end: 101, ..marks(1, 6) });
        assert_eq!(rung(), Some(vec![1]));
        progress.publish(Marks { log_end: 101, ..marks(2, 6) });
        assert_eq!(rung(), Some(vec![1, 2]), "another epoch");
        drop(listen(3, true, true));
        assert_eq!(rung(), Some(vec![3]), "something changed since what it has seen");
        progress.publish(Marks { log_end: 102, ..marks(2, 6) });
        assert_eq!(rung(), Some(vec![2]), "who left is not told");
    }
}
