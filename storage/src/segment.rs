//! One file of a log and the indexes beside it.
//!
//! The log's owner appends to the last segment and replaces or removes whole segments; readers of any age may hold one.

pub(crate) mod directory;
pub(crate) mod names;
pub(crate) mod recent;
pub(crate) mod scan;
pub(crate) mod slot;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::batch::BatchHeader;
use crate::disk::{File, Open};
use crate::index::{AbortedTxn, Index, IndexError, OffsetEntry, TimeEntry};
use crate::log::Offset;
use crate::sync::{AtomicBool, AtomicU64, Mutex};

use directory::Directory;
use names::{LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX, file_name};
use recent::Recent;
use scan::{Found, Scan, ScanError};
use slot::IndexSlot;

/// The batches from `base_offset` up to the next segment. `.log` bytes once written never change while this exists.
#[derive(Debug)]
pub struct Segment {
    dir: Arc<Directory>,
    base_offset: Offset,
    /// Bytes written; final once another segment follows.
    len: AtomicU64,
    /// Set before the files get another name: whoever opens one by name afterwards may get a successor's.
    gone: AtomicBool,
    pub(crate) offsets: IndexSlot<OffsetEntry>,
    pub(crate) times: IndexSlot<TimeEntry>,
    pub(crate) aborted: IndexSlot<AbortedTxn>,
    largest: Mutex<Largest>,
    /// The log file as long as the cache, or anyone else, keeps it open.
    opened: Mutex<Option<Weak<dyn File>>>,
    /// Where the last few batches begin.
    pub(crate) recent: Recent,
}

/// The latest timestamp of a segment and the last offset of its batch.
#[derive(Debug, Default)]
struct Largest {
    /// `None` until someone asks.
    entry: Option<TimeEntry>,
    /// How often it was forgotten.
    resets: u32,
}

impl Largest {
    fn see(&mut self, entry: TimeEntry) {
        if self.entry.is_none_or(|known| entry.timestamp > known.timestamp) {
            self.entry = Some(entry);
        }
    }
}

/// Where a segment is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub end_offset: Offset,
    /// Bytes below it.
    pub kept: u64,
}

impl Segment {
    /// The segment in the files named after `base_offset`, whose log has `len` bytes.
    pub(crate) fn new(dir: Arc<Directory>, base_offset: Offset, len: u64) -> Segment {
        Segment {
            dir,
            base_offset,
            len: AtomicU64::new(len),
            gone: AtomicBool::new(false),
            offsets: IndexSlot::in_file(base_offset, OFFSET_INDEX),
            times: IndexSlot::in_file(base_offset, TIME_INDEX),
            aborted: IndexSlot::in_file(base_offset, TXN_INDEX),
            largest: Mutex::default(),
            opened: Mutex::new(None),
            recent: Recent::default(),
        }
    }

    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Bytes of its log.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn set_len(&self, len: u64) {
        self.len.store(len, Ordering::Release);
    }

    /// Forgets what batches said; the log has `len` bytes.
    pub(crate) fn reset(&self, len: u64) {
        self.set_len(len);
        let mut largest = self.largest.lock();
        (largest.entry, largest.resets) = (None, largest.resets.wrapping_add(1));
        drop(largest);
        self.recent.clear();
    }

    pub(crate) fn dir(&self) -> &Arc<Directory> {
        &self.dir
    }

    /// The names of its files, existing or not.
    pub(crate) fn file_names(&self) -> [String; 4] {
        [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX].map(|kind| file_name(self.base_offset, kind))
    }

    /// To be called before any of its files is renamed or removed.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    /// The log file, to be read. `NotFound` if the segment has been removed: a newer view does not have it.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn File>> {
        let mut opened = self.opened.lock();
        if let Some(file) = opened.as_ref().and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = self.open(Open::Read)?;
        *opened = Some(Arc::downgrade(&file));
        Ok(file)
    }

    /// Opens the log file by its name.
    pub(crate) fn open(&self, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.dir.open_file(&file_name(self.base_offset, LOG), how)?;
        // Looked at after the open: a file of this name made after the removal is not ours.
        if self.gone.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(file)
    }

    /// Begins with empty indexes in memory, to be appended to.
    pub(crate) fn start_indexes(&self, max_bytes: usize) {
        self.offsets.start(max_bytes);
        self.times.start(max_bytes);
        self.aborted.start(usize::MAX);
    }

    /// Takes the index files into memory, to be appended to; false if one is damaged.
    pub(crate) fn load_indexes(&self, max_bytes: usize) -> io::Result<bool> {
        let sound = |loaded: Result<(), IndexError>| match loaded {
            Ok(()) => Ok(true),
            Err(IndexError::Corrupt(_)) => Ok(false),
            Err(IndexError::Io(e)) => Err(e),
        };
        Ok(sound(self.offsets.load(&self.dir, max_bytes))?
            && sound(self.times.load(&self.dir, max_bytes))?
            && sound(self.aborted.load(&self.dir, usize::MAX))?)
    }

    /// Drops what the indexes in memory say of `offset` and above.
    pub(crate) fn truncate_indexes(&self, offset: Offset) {
        self.offsets.in_memory(|index| index.truncate(offset));
        self.times.in_memory(|index| index.truncate(offset));
        self.aborted.in_memory(|index| index.truncate(offset));
    }

    pub(crate) fn index_is_full(&self) -> bool {
        let full = |is_full: Option<bool>| is_full.unwrap_or(true);
        full(self.offsets.in_memory(Index::is_full)) || full(self.times.in_memory(Index::is_full))
    }

    /// Takes a batch, whose bytes lie at `at`, into memory. `pace` counts log bytes since the last index entry; a new one
    /// is made when there are more than `interval`.
    pub(crate) fn take_in(&self, header: &BatchHeader, at: u64, pace: &mut u64, interval: u32) {
        let (offset, size) = (header.last_offset(), header.size() as u64);
        self.saw_timestamp(TimeEntry { timestamp: header.max_timestamp, offset });
        if *pace > u64::from(interval) {
            self.offsets.in_memory(|index| index.push(OffsetEntry { offset, position: at as u32 }));
            self.add_time_entry();
            *pace = 0;
        }
        *pace += size;
        self.recent.push(header.base_offset, offset, at);
        self.set_len(at + size);
    }

    fn add_time_entry(&self) {
        if let Some(latest) = self.largest.lock().entry {
            self.times.in_memory(|index| index.push(latest));
        }
    }

    pub(crate) fn add_aborted(&self, txn: AbortedTxn) {
        self.aborted.in_memory(|index| index.push(txn));
    }

    /// Brings the index files up to date; what is to be synced. `complete`: no batch follows, so the latest timestamp gets
    /// its entry.
    pub(crate) fn write_indexes(&self, complete: bool) -> io::Result<Vec<Arc<dyn File>>> {
        if let (true, Some(latest)) = (complete, self.largest.lock().entry) {
            self.times.in_memory(|index| index.push_last(latest));
        }
        let written = [
            self.offsets.write(&self.dir, true)?,
            self.times.write(&self.dir, true)?,
            self.aborted.write(&self.dir, false)?,
        ];
        Ok(written.into_iter().flatten().collect())
    }

    /// Nothing will be appended: the index files, which are written, serve from now on.
    pub(crate) fn seal(&self) {
        self.offsets.release();
        self.times.release();
        self.aborted.release();
        self.recent.clear();
    }

    /// The first batch at or behind the byte of `hint` that holds `offset` or a later one, up to byte `end`.
    pub(crate) fn find(&self, offset: Offset, end: u64) -> Result<Option<u64>, ScanError> {
        if offset <= self.base_offset {
            return Ok((end > 0).then_some(0));
        }
        if let Some(at) = self.recent.find(offset) {
            return Ok((at < end).then_some(at));
        }
        let from = self.position_before(offset)?;
        for found in Scan::new(self.file()?, from, end) {
            let Found { at, header } = found?;
            if header.last_offset() >= offset {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Behind the last batch that lies below `offset`, which is above the base.
    pub(crate) fn place_before(&self, offset: Offset) -> Result<Place, ScanError> {
        // An index entry bears the last offset of its batch: the batch found by it is below.
        let from = self.position_before(offset - 1)?;
        let mut place = Place { end_offset: self.base_offset, kept: 0 };
        for found in Scan::new(self.file()?, from, self.len()) {
            let found = found?;
            if found.header.last_offset() >= offset {
                break;
            }
            place = Place { end_offset: found.header.next_offset(), kept: found.end() };
        }
        Ok(place)
    }

    /// A batch boundary at or before the batch that holds `offset`, from the index.
    fn position_before(&self, offset: Offset) -> Result<u64, ScanError> {
        let entry = self.offsets.lookup(&self.dir, offset);
        Ok(usable(entry)?.map_or(0, |e| u64::from(e.position)))
    }

    /// A batch boundary at or before byte `limit`, as near as memory and index tell.
    pub(crate) fn boundary(&self, limit: u64) -> io::Result<Option<u64>> {
        if let Some(at) = self.recent.boundary(limit) {
            return Ok(Some(at));
        }
        let entry = self.offsets.last_where(&self.dir, |e| u64::from(e.position) <= limit);
        Ok(usable(entry)?.map(|e| u64::from(e.position)))
    }

    /// The aborted transactions whose markers lie in it. `NotFound` if the segment has been removed.
    pub(crate) fn aborted_txns(&self) -> io::Result<Vec<AbortedTxn>> {
        let entries = self.aborted.entries(&self.dir);
        // Looked at after the open: a file that is not found, or found, then says nothing of this segment.
        if self.gone.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotFound.into());
        }
        match entries {
            Ok(entries) => Ok(entries),
            Err(IndexError::Io(e)) => Err(e),
            Err(IndexError::Corrupt(why)) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }

    /// An offset before which no record is as late as `timestamp`.
    pub(crate) fn offset_before(&self, timestamp: i64) -> io::Result<Offset> {
        let entry = usable(self.times.lookup(&self.dir, timestamp))?;
        Ok(entry.map_or(self.base_offset, |e| e.offset))
    }

    /// The latest timestamp and the last offset of its batch, among what the files hold.
    pub(crate) fn largest_timestamp(&self) -> Result<Option<TimeEntry>, ScanError> {
        let Largest { entry, resets } = *self.largest.lock();
        if entry.is_some() {
            return Ok(entry);
        }
        // Not under the lock: whoever may not wait for a device would wait for it there.
        let found = self.find_largest_timestamp()?;
        let mut largest = self.largest.lock();
        if let Some(found) = found.filter(|_| largest.resets == resets) {
            largest.see(found);
            return Ok(largest.entry);
        }
        Ok(found)
    }

    /// Keeps the later of `entry` and what was known.
    pub(crate) fn saw_timestamp(&self, entry: TimeEntry) {
        self.largest.lock().see(entry);
    }

    /// A closed segment's time index ends with the latest timestamp of all; without one the batches tell.
    fn find_largest_timestamp(&self) -> Result<Option<TimeEntry>, ScanError> {
        let last = self.times.lookup(&self.dir, i64::MAX);
        if let Some(last) = usable(last)? {
            return Ok(Some(last));
        }
        let mut largest: Option<TimeEntry> = None;
        for found in Scan::new(self.file()?, 0, self.len()) {
            let header = found?.header;
            if largest.is_none_or(|l| header.max_timestamp > l.timestamp) {
                largest = Some(TimeEntry { timestamp: header.max_timestamp, offset: header.last_offset() });
            }
        }
        Ok(largest)
    }
}

/// What an index says, nothing if it is damaged: the log itself is walked then.
pub(crate) fn usable<T>(looked_up: Result<Option<T>, IndexError>) -> io::Result<Option<T>> {
    match looked_up {
        Ok(found) => Ok(found),
        Err(IndexError::Io(e)) => Err(e),
        Err(IndexError::Corrupt(why)) => {
            tracing::warn!(why, "an index is damaged and not used");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, IoSlice};

    use super::*;
    use crate::disk::fault::FaultDisk;
    use crate::files::FileCache;
    use crate::log::LogEnv;

    #[test]
    fn a_successor_of_the_same_name_is_not_taken_for_the_segment() {
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(FaultDisk::new(1));
        let files = Arc::new(FileCache::new(disk.clone(), 1));
        let dir = Directory::open(LogEnv { disk, files }, "/t-0".into()).unwrap();
        let name = file_name(7, LOG);
        let write =
            |bytes: &[u8]| dir.open_file(&name, Open::Create).unwrap().write_at(&[IoSlice::new(bytes)], 0);
        write(b"old").unwrap();
        let old = Segment::new(dir.clone(), 7, 3);
        drop(old.open(Open::Read).unwrap());
        old.set_gone();
        dir.rename_file(&name, "away").unwrap();
        write(b"new").unwrap();
        assert_eq!(old.file().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
