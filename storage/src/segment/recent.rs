//! Where the last few batches of the growing segment begin, so that tailing readers need neither index nor disk.

use std::collections::VecDeque;

use crate::log::Offset;
use crate::sync::Mutex;

/// Batches remembered: enough for followers and consumers that are a moment behind.
const KEPT: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    batches: Mutex<VecDeque<Place>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    base_offset: Offset,
    last_offset: Offset,
    at: u64,
}

impl Recent {
    pub fn push(&self, base_offset: Offset, last_offset: Offset, at: u64) {
        let mut batches = self.batches.lock();
        if batches.len() == KEPT {
            batches.pop_front();
        }
        batches.push_back(Place { base_offset, last_offset, at });
    }

    /// Where the first batch begins that holds `offset` or a later one; `None` if that may be one not remembered.
    pub fn find(&self, offset: Offset) -> Option<u64> {
        let batches = self.batches.lock();
        if batches.front().is_none_or(|oldest| offset < oldest.base_offset) {
            return None;
        }
        let at = batches.partition_point(|batch| batch.last_offset < offset);
        batches.get(at).map(|batch| batch.at)
    }

    /// The last remembered batch boundary at or below byte `limit`.
    pub fn boundary(&self, limit: u64) -> Option<u64> {
        let batches = self.batches.lock();
        let above = batches.partition_point(|batch| batch.at <= limit);
        batches.get(above.checked_sub(1)?).map(|batch| batch.at)
    }

    pub fn clear(&self) {
        *self.batches.lock() = VecDeque::new();
    }
}
