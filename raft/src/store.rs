//! The quorum's log: vote, entries, truncations, purges and the commit point in one file sequence, written in the
//! order in which openraft asked for them.
//!
//! ```text
//!  openraft --append--> State (readable at once)
//!               \-----> Writer --one frame, one fdatasync--> Wal files
//!                          \--then, in order--> callbacks
//! ```

mod record;
mod recover;
mod state;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use storage::disk::Disk;
use tokio::sync::oneshot;

pub(crate) use self::record::Record;
#[cfg(test)]
pub(crate) use self::record::{Frame, Head, frame};
use self::state::State;
use self::writer::{Job, Writer};
use crate::codec::weight;
use crate::settings::Settings;
use crate::types::{Entry, LogId, Types, Vote};

/// Bytes of entries handed out for one message to a peer, unless a single entry is larger.
const MAX_READ: u64 = 1 << 20;

/// A handle on the log; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    writer: Writer,
    /// Bytes of entries behind the newest snapshot, roughly.
    unsnapped: AtomicU64,
}

impl Store {
    /// Opens or begins the log. Blocks on the disk.
    pub fn open(disk: Arc<dyn Disk>, settings: &Settings) -> io::Result<Store> {
        let (wal, state) = recover::open(disk, settings)?;
        let unsnapped = AtomicU64::new(state.weight);
        let writer = Writer::start(wal, &settings.lane)?;
        Ok(Store { shared: Arc::new(Shared { state: Mutex::new(state), writer, unsnapped }) })
    }

    /// Nothing was ever written.
    pub fn is_empty(&self) -> bool {
        let state = self.shared.state.lock();
        state.last().is_none() && state.vote.is_none()
    }

    /// Bytes of entries behind the newest snapshot, roughly.
    pub fn unsnapped(&self) -> u64 {
        self.shared.unsnapped.load(Ordering::Relaxed)
    }

    /// A snapshot up to `index` exists.
    pub fn snapped(&self, index: u64) {
        let state = self.shared.state.lock();
        let rest = state.entries.range(index + 1..).map(|(_, entry)| weight(entry)).sum();
        self.shared.unsnapped.store(rest, Ordering::Relaxed);
    }

    /// The largest index to purge so that the entries behind it weigh no more than `limit`.
    pub fn purge_point(&self, limit: u64) -> Option<u64> {
        self.shared.state.lock().purge_point(limit)
    }

    /// Writes what has waited for company. Nothing may be written after it.
    pub async fn close(&self) -> io::Result<()> {
        self.wait(Job::Close).await
    }

    async fn write(&self, record: Record) -> io::Result<()> {
        self.wait(|done| Job::Write(vec![record], done)).await
    }

    async fn wait(&self, job: impl FnOnce(writer::Done) -> Job) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        self.shared.writer.submit(job(Box::new(move |outcome| drop(tell.send(outcome)))));
        told.await.unwrap_or_else(|_| Err(io::Error::other("the log's writer thread has died")))
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        Ok(self.shared.state.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += weight(entry);
            first || bytes <= MAX_READ
        };
        Ok(self
            .shared
            .state
            .lock()
            .entries
            .range(start..end)
            .map(|(_, entry)| entry)
            .take_while(fits)
            .cloned()
            .collect())
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Store;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.shared.state.lock();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last() })
    }

    async fn get_log_reader(&mut self) -> Store {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write(Record::Vote(*vote)).await?;
        self.shared.state.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(upto) = committed {
            self.shared.state.lock().committed = committed;
            self.shared.writer.submit(Job::Committed(upto));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let records: Vec<Record> = entries.into_iter().map(Record::Entry).collect();
        {
            let mut state = self.shared.state.lock();
            let before = state.weight;
            records.iter().for_each(|record| state.apply(record.clone()));
            self.shared.unsnapped.fetch_add(state.weight.saturating_sub(before), Ordering::Relaxed);
        }
        self.shared.writer.submit(Job::Write(records, Box::new(|outcome| callback.io_completed(outcome))));
        Ok(())
    }

    /// Durable when it returns: a snapshot that takes the place of what was cut lies in a file of its own, and must not
    /// outlast a crash beside entries that contradict it.
    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let record = Record::Truncate(last_log_id);
        self.shared.state.lock().apply(record.clone());
        self.write(record).await
    }

    /// Need not be waited for: the snapshot that replaces the entries is durable by now.
    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let record = Record::Purge(log_id);
        self.shared.state.lock().apply(record.clone());
        self.shared.writer.submit(Job::Write(vec![record], Box::new(drop)));
        Ok(())
    }
}
