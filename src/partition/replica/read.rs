//! Reading for consumers: without the lock, cut at what the partition shows. And for followers, up to the log end: what is
//! not yet synced here is synced there meanwhile.

use super::{Inner, Replica};
use crate::partition::progress::Marks;
use crate::partition::state::{FollowerFetch, IsrChange};
use crate::types::{BrokerId, ErrorCode, LeaderEpoch, Mono, Offset};
use storage::disk::FileSlice;
use storage::log::{ReadError, Stop};

/// Whether records of undecided transactions are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// From where a reader goes on, and what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub offset: Offset,
    /// The leader epoch the reader knows, or -1.
    pub current_epoch: LeaderEpoch,
    /// The epoch of the last record it has, or -1.
    pub last_epoch: LeaderEpoch,
}

/// One read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub wanted: Wanted,
    pub max_bytes: usize,
    /// Give the first batch whatever its size.
    pub at_least_one: bool,
    pub isolation: Isolation,
    /// The reader knows that it may have come to a follower (KIP-392).
    pub may_follow: bool,
}

/// One read by a follower.
#[derive(Clone, Copy, Debug)]
pub struct FollowerRead {
    pub from: BrokerId,
    pub broker_epoch: i64,
    pub wanted: Wanted,
    pub log_start: Offset,
    pub max_bytes: usize,
    pub at_least_one: bool,
    /// It gets nothing now, unless it is in sync (KIP-73).
    pub is_held_back: bool,
}

/// What a follower's read gives.
#[derive(Debug)]
pub struct Fetched {
    pub found: Result<Found, ErrorCode>,
    /// To be proposed to the controller, also where nothing could be read: it is wanted once.
    pub wants: Option<IsrChange>,
}

/// What a read gives, with the marks it was read under.
#[derive(Debug)]
pub struct Found {
    pub high_watermark: Offset,
    pub last_stable: Offset,
    pub log_start: Offset,
    /// Where the reader's log leaves this one: the epoch and its end. Then there are no records.
    pub diverging_epoch: Option<(LeaderEpoch, Offset)>,
    /// Producer id and first offset; `None` unless read committed.
    pub aborted: Option<Vec<(i64, Offset)>>,
    pub slices: Vec<FileSlice>,
    /// Why there are no more.
    pub stop: Stop,
    /// What it was read under.
    pub seen: Marks,
}

/// What a follower is told before anything is read.
enum Answer {
    Noted(Marks, Option<IsrChange>),
    /// The same for one that gets nothing now.
    HeldBack(Marks, Option<IsrChange>),
    Diverges(Marks, (LeaderEpoch, Offset)),
}

impl Found {
    fn nothing(marks: &Marks, diverging_epoch: Option<(LeaderEpoch, Offset)>) -> Found {
        Found {
            high_watermark: marks.high_watermark,
            last_stable: marks.last_stable,
            log_start: marks.log_start,
            diverging_epoch,
            aborted: None,
            slices: vec![],
            stop: Stop::Range,
            seen: *marks,
        }
    }
}

impl Isolation {
    pub fn from_wire(level: i8) -> Isolation {
        if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
    }
}

impl Replica {
    /// Reads whole batches below the watermark (or the last stable offset), if this broker leads, or if it follows and the
    /// reader may read from followers: what lies below a follower's own watermark is committed.
    /// An offset between the watermark and the log end is empty, not an error: after a failover a consumer may be
    /// ahead of what the new leader knows to be committed.
    pub fn read(&self, read: Read) -> Result<Found, ErrorCode> {
        self.check_dir()?;
        let marks = self.marks();
        match read.may_follow {
            true => marks.check_reader(read.wanted.current_epoch)?,
            false => marks.check_leader(read.wanted.current_epoch)?,
        }
        let mut found = Found::nothing(&marks, self.divergence(read.wanted)?);
        if found.diverging_epoch.is_some() {
            return Ok(found);
        }
        let below = match read.isolation {
            Isolation::ReadUncommitted => marks.high_watermark,
            Isolation::ReadCommitted => marks.last_stable,
        };
        let from = read.wanted.offset;
        let batches =
            self.reader.read(from, below.max(marks.log_start), read.max_bytes as u64, read.at_least_one);
        let batches = batches.map_err(|error| self.read_error(&error))?;
        if read.isolation == Isolation::ReadCommitted {
            found.aborted = Some(self.aborted(from, batches.end_offset)?);
        }
        found.stop = batches.stop;
        found.slices.extend(batches.slice);
        Ok(found)
    }

    /// The best of the followers that `is_near` names, if consumers may read from it what lies at and behind `offset`, and this
    /// broker leads.
    pub fn nearer(&self, offset: Offset, is_near: impl Fn(BrokerId) -> bool) -> Option<BrokerId> {
        let inner = self.inner.lock();
        let holders = inner.state.leads().then(|| inner.state.holders(offset)).into_iter().flatten();
        holders.filter(|holder| is_near(holder.broker)).max().map(|holder| holder.broker)
    }

    /// Nothing, for a reader that is sent elsewhere: it is told how things stand.
    pub fn read_elsewhere(&self, wanted: Wanted) -> Result<Found, ErrorCode> {
        self.check_leader(wanted.current_epoch)?;
        Ok(Found::nothing(&self.marks(), None))
    }

    /// Reads whole batches for a follower, which promises all below the offset it asks for: its position is noted, and the
    /// watermark follows. A log that diverges promises nothing.
    pub fn read_as_follower(&self, read: FollowerRead, now: Mono) -> Fetched {
        match self.note_position(&read, now) {
            Ok(Answer::Noted(marks, wants)) => Fetched { found: self.read_on(&read, &marks), wants },
            Ok(Answer::HeldBack(marks, wants)) => Fetched { found: Ok(Found::nothing(&marks, None)), wants },
            Ok(Answer::Diverges(marks, at)) => {
                Fetched { found: Ok(Found::nothing(&marks, Some(at))), wants: None }
            }
            Err(code) => Fetched { found: Err(code), wants: None },
        }
    }

    /// Reads for a follower whose position is noted.
    fn read_on(&self, read: &FollowerRead, marks: &Marks) -> Result<Found, ErrorCode> {
        let mut found = Found::nothing(marks, None);
        let (from, max_bytes) = (read.wanted.offset, read.max_bytes as u64);
        let batches = self.reader.read(from, marks.log_end, max_bytes, read.at_least_one);
        let batches = batches.map_err(|error| self.read_error(&error))?;
        // Whoever follows since may have cut its log and read another leader's records: they would continue a log that they do
        // not belong to. A role is shown before anything is cut under it.
        self.marks().check_leader(read.wanted.current_epoch)?;
        found.stop = batches.stop;
        found.slices.extend(batches.slice);
        Ok(found)
    }

    fn note_position(&self, read: &FollowerRead, now: Mono) -> Result<Answer, ErrorCode> {
        self.check_dir()?;
        let mut inner = self.inner.lock();
        // A promise is worth nothing without the epoch it was made in.
        inner.state.check_leader(read.wanted.current_epoch.max(0))?;
        inner.state.check_fetching(read.from, read.broker_epoch)?;
        inner.state.unrest(read.from);
        let answer = self.take_position(&mut inner, read, now);
        if !matches!(answer, Ok(Answer::Noted(..) | Answer::HeldBack(..))) {
            // Nothing speaks for it now, and if this came late its session takes it to be at rest.
            self.progress.note();
        }
        answer
    }

    fn take_position(&self, inner: &mut Inner, read: &FollowerRead, now: Mono) -> Result<Answer, ErrorCode> {
        if let Some(at) = self.divergence(read.wanted)? {
            return Ok(Answer::Diverges(inner.marks(), at));
        }
        let offset = read.wanted.offset;
        if !(inner.log.log_start_offset()..=inner.log.log_end_offset()).contains(&offset) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let FollowerRead { from, broker_epoch, log_start, .. } = *read;
        let fetch = FollowerFetch { broker_epoch, offset, log_start };
        let moved = inner.state.follower_fetched(from, fetch, now)?;
        self.show(inner, moved.high_watermark);
        let marks = inner.marks();
        match read.is_held_back && !inner.state.is_waited_for(from) {
            true => Ok(Answer::HeldBack(marks, moved.wants)),
            false => Ok(Answer::Noted(marks, moved.wants)),
        }
    }

    /// A reader of an epoch that this log knows nothing of cannot be told where they part: it must begin anew.
    fn divergence(&self, wanted: Wanted) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        if wanted.last_epoch < 0 {
            return Ok(None);
        }
        let (epoch, end) = self.epoch_end(wanted.last_epoch).ok_or(ErrorCode::OffsetOutOfRange)?;
        Ok((epoch < wanted.last_epoch || end < wanted.offset).then_some((epoch, end)))
    }

    fn aborted(&self, from: Offset, below: Offset) -> Result<Vec<(i64, Offset)>, ErrorCode> {
        let aborted =
            self.reader.aborted_transactions(from, below).map_err(|error| self.read_error(&error))?;
        Ok(aborted.iter().map(|transaction| (transaction.producer_id, transaction.first_offset)).collect())
    }

    pub(super) fn read_error(&self, error: &ReadError) -> ErrorCode {
        match error {
            ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Malformed(_) | ReadError::Records(_) => {
                tracing::error!(partition = %self.name(), %error, "a record batch on disk cannot be read");
                ErrorCode::CorruptMessage
            }
            ReadError::WouldWait => ErrorCode::KafkaStorageError,
            ReadError::Io(error) => {
                self.dir.judge(error);
                ErrorCode::KafkaStorageError
            }
        }
    }

    /// Reads for this broker's own coordinator: up to `below`, whatever the watermark.
    pub fn read_own(
        &self,
        from: Offset,
        below: Offset,
        max_bytes: u64,
    ) -> Result<Option<FileSlice>, ErrorCode> {
        self.check_dir()?;
        let batches =
            self.reader.read(from, below, max_bytes, true).map_err(|error| self.read_error(&error))?;
        Ok(batches.slice)
    }

    /// `topic-partition`, for the log.
    pub fn name(&self) -> String {
        format!("{}-{}", self.topic, self.id.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::tests::trio::Truth;
    use crate::partition::tests::{Life, NOW, TOPIC, append, first_read};
    use std::sync::Arc;
    use storage::disk::fault::FaultDisk;

    /// Between the note and the read it may have come to follow, and have cut what it is asked for.
    #[test]
    fn who_follows_since_a_position_was_noted_sends_nothing_for_it() {
        let truth = |leader, epoch: i32| Truth {
            leader: Some(leader),
            leader_epoch: epoch,
            partition_epoch: epoch,
            isr: vec![1, 2],
            brokers: [1, 2, 3].map(|id| (id, (i64::from(id), false))).into(),
            flush: false,
        };
        let mut life = Life::of(1, &Arc::new(FaultDisk::new(1)), &["/data"], || {});
        life.reconciler.reconcile(truth(1, 0).image(0), NOW);
        let replica = life.replica(TOPIC);
        append(&replica, "a").unwrap();
        let read = first_read();
        let Ok(Answer::Noted(marks, _)) = replica.note_position(&read, NOW.mono) else { panic!("it leads") };
        assert_eq!(replica.read_on(&read, &marks).map(|found| found.slices.len()), Ok(1));
        life.reconciler.reconcile(truth(2, 1).image(1), NOW);
        let found = replica.read_on(&read, &marks).map(drop);
        assert_eq!(found, Err(ErrorCode::FencedLeaderEpoch));
    }
}
