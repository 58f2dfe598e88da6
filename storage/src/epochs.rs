//! Where each leader epoch began in a log (KIP-101, KIP-279): what truncation after a leader change is decided by.

use thiserror::Error;

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

/// A line of the checkpoint that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("leader epoch {0:?} is negative or out of order")]
pub struct EpochError(pub EpochEntry);

/// The epochs of one log; both epochs and start offsets strictly grow.
#[derive(Clone, Debug, Default)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
    changed: bool,
}

impl EpochCache {
    /// From `leader-epoch-checkpoint`.
    pub fn from_entries(entries: Vec<EpochEntry>) -> Result<Self, EpochError> {
        let negative = entries.iter().find(|e| e.epoch < 0 || e.start_offset < 0);
        let disorder = entries
            .windows(2)
            .find(|pair| pair[0].epoch >= pair[1].epoch || pair[0].start_offset >= pair[1].start_offset);
        match negative.or(disorder.map(|pair| &pair[1])) {
            Some(entry) => Err(EpochError(*entry)),
            None => Ok(Self { entries, changed: false }),
        }
    }

    /// For the checkpoint: a line each.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Whether the entries differ from what was last taken for the checkpoint; answering resets it.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// Notes that `epoch` writes from `start_offset` on. Entries that this contradicts go: a batch in the log is the truth.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) {
        if epoch < 0 || start_offset < 0 || self.latest().is_some_and(|last| last.epoch == epoch) {
            return;
        }
        // A leader that wrote nothing left an entry at the log end: behind it lies the true one of an older epoch, which goes on.
        self.entries.retain(|e| e.epoch <= epoch && e.start_offset < start_offset);
        if self.latest().is_none_or(|last| last.epoch != epoch) {
            self.entries.push(EpochEntry { epoch, start_offset });
        }
        self.changed = true;
    }

    /// The largest epoch not above `epoch`, and where it ended: the start of the next one, or the log end.
    /// `None` (undefined, to the asker) if nothing is known of it.
    pub fn end_offset_for(&self, epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        let latest = self.latest().filter(|_| epoch >= 0)?;
        if epoch == latest.epoch {
            return Some((epoch, log_end));
        }
        let above = self.entries.partition_point(|e| e.epoch <= epoch);
        let end = self.entries.get(above)?.start_offset;
        match above.checked_sub(1) {
            Some(at) => Some((self.entries[at].epoch, end)),
            // Older than all that is left: the asker's records end where the log begins.
            None => Some((epoch, end)),
        }
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        let above = self.entries.partition_point(|e| e.start_offset <= offset);
        self.entries[..above].last().map(|e| e.epoch)
    }

    /// Forgets epochs that began at or above `end_offset`.
    pub fn truncate_from_end(&mut self, end_offset: i64) {
        let keep = self.entries.partition_point(|e| e.start_offset < end_offset);
        self.changed |= keep < self.entries.len();
        self.entries.truncate(keep);
    }

    /// Forgets epochs that ended at or below `start_offset`; the one it falls into begins there now.
    pub fn truncate_from_start(&mut self, start_offset: i64) {
        let above = self.entries.partition_point(|e| e.start_offset <= start_offset);
        let Some(at) = above.checked_sub(1) else { return };
        if at == 0 && self.entries[0].start_offset == start_offset {
            return;
        }
        self.entries.drain(..at);
        self.entries[0].start_offset = start_offset;
        self.changed = true;
    }

    pub fn clear(&mut self) {
        self.changed |= !self.entries.is_empty();
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        entries.iter().for_each(|(epoch, start_offset)| cache.assign(*epoch, *start_offset));
        cache
    }

    #[test]
    fn an_epoch_that_wrote_nothing_takes_no_older_one_with_it() {
        let mut cache = cache(&[(1, 0), (3, 5), (4, 8)]);
        cache.assign(3, 8);
        let left: Vec<_> = cache.entries().iter().map(|e| (e.epoch, e.start_offset)).collect();
        assert_eq!(left, [(1, 0), (3, 5)]);
    }
}
