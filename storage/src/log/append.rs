//! Appending: check, write once, then note what was written and show it.

use std::io::{self, IoSlice};

use bytes::Bytes;

use crate::batch::{BatchHeader, EndTxn, HEADER_LEN, Prepared, RawBatch, batches, records};
use crate::producers::{Origin, Verdict};
use crate::time::Now;

use super::Offset;
use super::active::{Addition, CutBack};
use super::error::{AppendError, LogError};
use super::writer::LogWriter;

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    Done(Appended),
    /// A repetition of what its producer has appended before: nothing was written. It is acknowledged like the first time,
    /// when `last_offset` is replicated.
    Duplicate(Appended),
}

/// Where batches lie now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The log end after it.
    pub log_end_offset: Offset,
    pub log_start_offset: Offset,
    /// Latest timestamp, milliseconds since the epoch; the append time under `LogAppendTime`.
    pub max_timestamp: i64,
    pub bytes: u64,
}

/// A batch to be noted once it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    pub header: BatchHeader,
    pub marker: Option<EndTxn>,
}

impl LogWriter {
    /// Appends a checked batch as the leader of `leader_epoch`: gives it the next offsets.
    pub fn append(
        &mut self,
        batch: &mut Prepared,
        origin: Origin,
        leader_epoch: i32,
        now: Now,
    ) -> Result<Append, AppendError> {
        self.check_alive()?;
        if let Verdict::Duplicate(mark) = self.producers.check(&batch.header, origin)? {
            let (base, last) = (mark.base_offset(), mark.last_offset);
            return Ok(Append::Duplicate(self.appended(base, last, mark.timestamp, 0)));
        }
        self.append_next(batch, None, leader_epoch, now).map(Append::Done)
    }

    /// Ends a transaction of producer `id`. `bumps_epoch`: see [`crate::producers::Producers::check_marker`].
    pub fn append_marker(
        &mut self,
        (id, epoch): (i64, i16),
        marker: EndTxn,
        bumps_epoch: bool,
        leader_epoch: i32,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.check_alive()?;
        self.producers.check_marker(id, epoch, marker, bumps_epoch)?;
        let mut batch = marker.batch(id, epoch, now.wall.0)?;
        self.append_next(&mut batch, Some(marker), leader_epoch, now)
    }

    /// Appends what the leader sent, as it is. Offsets may leave gaps, but never go back, except that the first batch of an
    /// empty log may begin below its start.
    pub fn append_as_follower(&mut self, records: &Bytes, now: Now) -> Result<Appended, AppendError> {
        self.check_alive()?;
        let found = self.check_follows(records)?;
        let (base, mut rest) = (self.first_offset_of(&found), records.clone());
        if base < self.log_end_offset {
            self.restart_below(base, now)?;
        }
        let mut group = Vec::new();
        let mut found = found.into_iter().peekable();
        while let Some(batch) = found.next() {
            group.push(batch);
            let full = |next: &Noted| {
                size(&group) + next.header.size() as u64 > u64::from(self.config.segment_bytes)
            };
            if found.peek().is_none_or(full) {
                let bytes = rest.split_to(size(&group) as usize);
                self.write(&[IoSlice::new(&bytes)], &group, now)?;
                group.clear();
            }
        }
        Ok(self.appended(base, self.log_end_offset - 1, -1, records.len() as u64))
    }

    fn append_next(
        &mut self,
        batch: &mut Prepared,
        marker: Option<EndTxn>,
        leader_epoch: i32,
        now: Now,
    ) -> Result<Appended, AppendError> {
        let (bytes, limit) = (batch.size() as u64, u64::from(self.config.segment_bytes));
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        batch.assign(self.log_end_offset, leader_epoch);
        let header = batch.header;
        if header.next_offset() <= header.base_offset {
            return Err(AppendError::Exhausted);
        }
        let head: [u8; HEADER_LEN] = batch.head();
        self.write(&batch.parts(&head), &[Noted { header, marker }], now)?;
        Ok(self.appended(header.base_offset, header.last_offset(), header.max_timestamp, bytes))
    }

    /// The batches in `records`, if all are sound and each begins at or behind the end of the one before it.
    fn check_follows(&self, records: &Bytes) -> Result<Vec<Noted>, AppendError> {
        let mut found = Vec::new();
        let mut end = self.log_end_offset;
        for batch in batches(records) {
            let batch = batch?;
            batch.check_crc()?;
            let (offset, next) = (batch.header.base_offset, batch.header.next_offset());
            let around_start = found.is_empty() && self.log_start_offset == end && next > end;
            if next <= offset || offset < end && !around_start {
                return Err(AppendError::NotNext { offset, end });
            }
            end = next;
            found.push(Noted { header: batch.header, marker: marker_of(&batch) });
        }
        Ok(found)
    }

    /// One write of `batches`, whose bytes are `parts`; then everything that follows from them.
    fn write(&mut self, parts: &[IoSlice<'_>], batches: &[Noted], now: Now) -> Result<(), AppendError> {
        let addition = Addition {
            bytes: size(batches),
            max_timestamp: batches.iter().map(|b| b.header.max_timestamp).max().unwrap_or(-1),
            last_offset: batches.last().map_or(self.log_end_offset, |b| b.header.last_offset()),
        };
        self.make_room(addition, self.first_offset_of(batches), now)?;
        self.active.write(parts).map_err(|(error, cut)| self.write_failed(error, cut))?;
        for batch in batches {
            self.note(batch);
        }
        self.publish();
        Ok(())
    }

    fn write_failed(&self, error: io::Error, cut: CutBack) -> AppendError {
        if cut == CutBack::Failed {
            self.shared.fail();
        }
        LogError::Io(error).into()
    }

    fn note(&mut self, batch: &Noted) {
        let header = &batch.header;
        self.active.note(header, &self.config);
        self.note_epoch(header.partition_leader_epoch, header.base_offset);
        if let Some(aborted) = self.producers.apply(header, batch.marker) {
            self.active.segment.add_aborted(aborted);
        }
        self.log_end_offset = header.next_offset();
    }

    fn first_offset_of(&self, batches: &[Noted]) -> Offset {
        batches.first().map_or(self.log_end_offset, |b| b.header.base_offset)
    }

    fn appended(&self, base_offset: Offset, last_offset: Offset, max_timestamp: i64, bytes: u64) -> Appended {
        let (log_start_offset, log_end_offset) = (self.log_start_offset, self.log_end_offset);
        Appended { base_offset, last_offset, log_end_offset, log_start_offset, max_timestamp, bytes }
    }
}

fn size(batches: &[Noted]) -> u64 {
    batches.iter().map(|b| b.header.size() as u64).sum()
}

/// Bytes that the record of a marker may take: it is a few.
const MARKER_LIMIT: usize = 4096;

/// The marker in a control batch; `None` for data, and for control records of other kinds.
pub(super) fn marker_of(batch: &RawBatch) -> Option<EndTxn> {
    if !batch.header.attributes.is_control() {
        return None;
    }
    let records = records(batch, MARKER_LIMIT).ok()?;
    EndTxn::parse(&records.iter().next()?.ok()?)
}
