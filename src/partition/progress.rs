//! What a partition shows to those who wait on it: its watermarks, and a wake-up when they pass a point.
//!
//! A wait carries the leader epoch it began in. Any other epoch ends it with NOT_LEADER_OR_FOLLOWER, even if this
//! broker leads again: the watermark may by then pass the offset with another record in it.

use super::state;
use crate::types::{ErrorCode, LeaderEpoch, Offset};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The published marks of one partition, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Whether this broker leads, and in which epoch; a follower's reads and waits are refused.
    pub leads: bool,
    pub leader_epoch: LeaderEpoch,
    pub log_start: Offset,
    pub log_end: Offset,
    pub high_watermark: Offset,
    /// Everything below is decided: no open transaction begins before it.
    pub last_stable: Offset,
}

/// Marks and the waiters on them. Written by the partition alone, after the log shows what the marks claim.
#[derive(Debug)]
pub struct Progress {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    marks: Marks,
    /// By the high watermark that must be reached; one-shot.
    waiters: BTreeMap<(Offset, u64), Arc<Notify>>,
    next_waiter: u64,
}

/// A place in the waiting line; dropping it leaves.
#[derive(Debug)]
pub struct Waiting {
    progress: Arc<Progress>,
    key: (Offset, u64),
}

impl Marks {
    /// Whether this broker may answer as leader for a client that knows `epoch` (-1: does not say).
    pub fn check_leader(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        state::check_leader(self.leads, self.leader_epoch, epoch)
    }
}

impl Progress {
    pub fn new(marks: Marks) -> Progress {
        Progress { inner: Mutex::new(Inner { marks, waiters: BTreeMap::new(), next_waiter: 0 }) }
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
            inner.marks = marks;
            if inner.waiters.is_empty() {
                return;
            }
            let stay = match same_leader {
                true => inner.waiters.split_off(&(marks.high_watermark + 1, 0)),
                false => BTreeMap::new(),
            };
            std::mem::replace(&mut inner.waiters, stay)
        };
        woken.into_values().for_each(|waiter| waiter.notify_one());
    }

    /// Asks that `notify` be woken once the high watermark is at least `reached`, or the leader changes.
    /// Look at the marks *after* this call and before waiting: what came earlier wakes nobody.
    pub fn watch(self: &Arc<Self>, reached: Offset, notify: &Arc<Notify>) -> Waiting {
        let mut inner = self.inner.lock();
        inner.next_waiter += 1;
        let key = (reached, inner.next_waiter);
        inner.waiters.insert(key, notify.clone());
        Waiting { progress: self.clone(), key }
    }

    /// Waits until the high watermark is at least `end`, under the same leader epoch.
    pub async fn committed(self: Arc<Self>, end: Offset, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        let notify = Arc::new(Notify::new());
        loop {
            let _waiting = self.watch(end, &notify);
            let marks = self.marks();
            if !marks.leads || marks.leader_epoch != epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            if marks.high_watermark >= end {
                return Ok(());
            }
            notify.notified().await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.progress.inner.lock().waiters.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn marks(epoch: LeaderEpoch, high_watermark: Offset) -> Marks {
        let (log_start, log_end) = (0, 100);
        Marks {
            leads: true,
            leader_epoch: epoch,
            log_start,
            log_end,
            high_watermark,
            last_stable: high_watermark,
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
    async fn who_leaves_is_forgotten() {
        let progress = Arc::new(Progress::new(marks(1, 5)));
        let mut wait = Box::pin(progress.clone().committed(7, 1));
        assert!(wait.as_mut().now_or_never().is_none());
        drop(wait);
        assert!(progress.inner.lock().waiters.is_empty());
    }
}
