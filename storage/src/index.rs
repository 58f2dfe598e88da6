//! The indexes beside a segment, in Kafka's bytes: offset → position, timestamp → offset, aborted transactions.
//!
//! Positions and offsets grow from entry to entry, so a lookup is a binary search for the last entry that is not
//! beyond its target; the log file is scanned from there. The index of the active segment lives in memory
//! ([`Index`]) and is written out in groups; a sealed one is searched in its file ([`find`]). Whatever an index says
//! can be rebuilt from the log, so anything suspicious is [`IndexError::Corrupt`] and no attempt is made to save it.

mod entry;
mod txn;

pub use entry::{AbortedTxn, Entry, OffsetEntry, TimeEntry};
pub use txn::{Aborted, collect_aborted};

use std::io::{self, IoSlice};

use thiserror::Error;

use crate::disk::File;
use crate::sync::RwLock;

/// Why an index cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The log rebuilds it.
    #[error("index is corrupt: {0}")]
    Corrupt(&'static str),
}

/// An index held in memory. The log's one writer changes it; readers look up at any time.
#[derive(Debug)]
pub struct Index<E> {
    base: i64,
    /// Entries; a full index asks for a new segment.
    capacity: usize,
    state: RwLock<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    entries: Vec<E>,
    /// Leading entries that are in the file.
    written: usize,
}

impl<E: Entry> Index<E> {
    /// Empty; `max_bytes` as in `segment.index.bytes`. Nothing is in the file.
    pub fn new(base_offset: i64, max_bytes: usize) -> Self {
        let state = State { entries: Vec::new(), written: 0 };
        Self { base: base_offset, capacity: max_bytes / E::SIZE, state: RwLock::new(state) }
    }

    /// Reads and checks a whole file.
    pub fn load(file: &dyn File, base_offset: i64, max_bytes: usize) -> Result<Self, IndexError> {
        let entries = read_all(file, base_offset)?;
        let written = entries.len();
        let index = Self::new(base_offset, max_bytes);
        *index.state.write() = State { entries, written };
        Ok(index)
    }

    /// Adds an entry behind the others. An entry that is not beyond the last one is left out: it would say nothing new.
    /// False if the index is full.
    pub fn push(&self, entry: E) -> bool {
        let mut state = self.state.write();
        if state.entries.len() >= self.capacity {
            return false;
        }
        if state.entries.last().is_none_or(|last| entry.follows(last)) {
            state.entries.push(entry);
        }
        true
    }

    /// Adds the entry that nothing follows: a full index gives up its last one for it.
    pub fn push_last(&self, entry: E) {
        let mut state = self.state.write();
        if state.entries.last().is_some_and(|last| !entry.follows(last)) {
            return;
        }
        if state.entries.len() >= self.capacity {
            state.entries.pop();
        }
        if state.entries.len() < self.capacity {
            state.written = state.written.min(state.entries.len());
            state.entries.push(entry);
        }
    }

    /// The last entry whose key is at most `key`.
    pub fn lookup(&self, key: i64) -> Option<E> {
        self.last_where(|entry| entry.key() <= key)
    }

    /// The last entry of those, all at the front, that `within` accepts.
    pub fn last_where(&self, within: impl Fn(&E) -> bool) -> Option<E> {
        let state = self.state.read();
        let at = state.entries.partition_point(within);
        state.entries[..at].last().copied()
    }

    pub fn last(&self) -> Option<E> {
        self.state.read().entries.last().copied()
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.state.read().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// All entries, for recovery and tools.
    pub fn entries(&self) -> Vec<E> {
        self.state.read().entries.clone()
    }

    /// Drops the entries at `offset` and above. The file keeps them until the next [`Self::flush`].
    pub fn truncate(&self, offset: i64) {
        let mut state = self.state.write();
        let keep = state.entries.partition_point(|entry| entry.offset() < offset);
        state.entries.truncate(keep);
        state.written = state.written.min(keep);
    }

    /// Brings the file up to date: appends the entries it lacks, cuts those that are gone. Does not sync.
    pub fn flush(&self, file: &dyn File) -> io::Result<()> {
        let (from, bytes) = self.unwritten();
        if file.len()? > from as u64 {
            file.set_len(from as u64)?;
        }
        if !bytes.is_empty() {
            file.write_at(&[IoSlice::new(&bytes)], from as u64)?;
        }
        self.state.write().written = (from + bytes.len()) / E::SIZE;
        Ok(())
    }

    /// Where the file must end, and what is to be written behind that.
    fn unwritten(&self) -> (usize, Vec<u8>) {
        let state = self.state.read();
        let from = state.written;
        let mut bytes = Vec::with_capacity((state.entries.len() - from) * E::SIZE);
        for entry in &state.entries[from..] {
            entry.put(self.base, &mut bytes);
        }
        (from * E::SIZE, bytes)
    }
}

/// Longest index that is taken into memory, in bytes: several times the default limit, and what a log makes anew if need be.
const MAX_LEN: usize = 64 << 20;

/// Reads all entries of a file, checking size, order and bounds.
pub fn read_all<E: Entry>(file: &dyn File, base_offset: i64) -> Result<Vec<E>, IndexError> {
    let count = entry_count::<E>(file)?;
    if count * E::SIZE > MAX_LEN {
        return Err(IndexError::Corrupt("it is too long for an index"));
    }
    let mut bytes = vec![0; count * E::SIZE];
    file.read_exact_at(&mut bytes, 0)?;
    let mut entries: Vec<E> = Vec::with_capacity(count);
    for chunk in bytes.chunks_exact(E::SIZE) {
        let entry = E::get(base_offset, chunk).ok_or(IndexError::Corrupt("an entry makes no sense"))?;
        if entries.last().is_some_and(|last| !entry.follows(last)) {
            return Err(IndexError::Corrupt("entries are out of order"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry_count<E: Entry>(file: &dyn File) -> Result<usize, IndexError> {
    let len = file.len()? as usize;
    if !len.is_multiple_of(E::SIZE) {
        return Err(IndexError::Corrupt("size is not a multiple of the entry size"));
    }
    Ok(len / E::SIZE)
}

/// Entries fetched at once when the search has narrowed down: half a page of the larger kind.
const TAIL: usize = 128;

/// The last entry of a sealed index file whose key is at most `key`, by a few small reads.
pub fn find<E: Entry>(file: &dyn File, base_offset: i64, key: i64) -> Result<Option<E>, IndexError> {
    find_where(file, base_offset, |entry: &E| entry.key() <= key)
}

/// The last entry of those, all at the front of a sealed index file, that `within` accepts.
pub fn find_where<E: Entry>(
    file: &dyn File,
    base_offset: i64,
    within: impl Fn(&E) -> bool,
) -> Result<Option<E>, IndexError> {
    let (mut low, mut high) = (0, entry_count::<E>(file)?);
    while high - low > TAIL {
        let middle = low + (high - low) / 2;
        let entry = &read_some::<E>(file, base_offset, middle, 1)?[0];
        if within(entry) { low = middle } else { high = middle }
    }
    let entries = read_some::<E>(file, base_offset, low, high - low)?;
    let at = entries.partition_point(within);
    Ok(entries[..at].last().copied())
}

fn read_some<E: Entry>(file: &dyn File, base: i64, from: usize, count: usize) -> Result<Vec<E>, IndexError> {
    let mut bytes = vec![0; count * E::SIZE];
    file.read_exact_at(&mut bytes, (from * E::SIZE) as u64)?;
    bytes
        .chunks_exact(E::SIZE)
        .map(|chunk| E::get(base, chunk).ok_or(IndexError::Corrupt("an entry makes no sense")))
        .collect()
}
