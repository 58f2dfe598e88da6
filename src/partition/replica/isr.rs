//! The ISR of a partition that this broker leads.

use super::{Inner, Replica};
use crate::partition::state::{IsrChange, LastFetch, Moved};
use crate::types::{BrokerId, ErrorCode, Mono, PartitionEpoch};
use std::sync::Arc;
use std::time::Duration;

impl Replica {
    /// Looks who has fallen behind; what is to be proposed to the controller. As long as somebody is behind, it is restless.
    pub fn isr_tick(&self, now: Mono, lag_max: Duration) -> Option<IsrChange> {
        let mut inner = self.inner.lock();
        if !inner.state.leads() {
            return None;
        }
        let moved = inner.state.isr_tick(now, lag_max);
        self.moved(&mut inner, moved)
    }

    /// Whether nothing needs to be read for a follower that fetched up to its end until something changes: its fetches, of which
    /// `last_fetch` tells, are of this partition too.
    pub fn rest(&self, follower: BrokerId, last_fetch: &Arc<LastFetch>) -> bool {
        self.inner.lock().state.rest(follower, last_fetch)
    }

    /// Its fetches are not of this partition any more.
    pub fn unrest(&self, follower: BrokerId) {
        self.inner.lock().state.unrest(follower);
    }

    /// Takes over what the controller said to a change; what is to be proposed next, after a while.
    pub fn isr_answered(
        &self,
        change: &IsrChange,
        answer: Result<PartitionEpoch, ErrorCode>,
    ) -> Option<IsrChange> {
        let mut inner = self.inner.lock();
        let moved = inner.state.isr_answered(change, answer);
        self.progress.note();
        self.moved(&mut inner, moved)
    }

    /// Whether the fate of `change` still matters.
    pub fn is_isr_pending(&self, change: &IsrChange) -> bool {
        self.inner.lock().state.is_pending(change)
    }

    fn moved(&self, inner: &mut Inner, moved: Moved) -> Option<IsrChange> {
        self.show(inner, moved.high_watermark);
        moved.wants
    }
}
