//! Records by time. An index tells where to begin; the record itself is found by walking the batch.

use bytes::Bytes;

use crate::batch::{RawBatch, record_times};
use crate::index::TimeEntry;
use crate::segment::Segment;
use crate::segment::scan::{Found, Scan, read_batch};

use super::Offset;
use super::error::ReadError;
use super::reader::{LogReader, Trouble};
use super::view::LogView;

/// Bytes that one batch's records may take decompressed: far above what producers are allowed. They pass by, a piece at a time.
const DECOMPRESSED_LIMIT: usize = 1 << 30;

/// A record that a timestamp was looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub offset: Offset,
    pub leader_epoch: i32,
}

impl LogReader {
    /// The first record below `below` that is not older than `timestamp`.
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        below: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        self.steady(|view| {
            for nth in view.segment_of(view.log_start_offset)..view.segments.len() {
                if let Some(found) = first_not_older(view, nth, timestamp, below)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }

    /// The first record with the latest timestamp of all, if it lies below `below`.
    pub fn offset_of_max_timestamp(&self, below: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        self.steady(|view| {
            let mut latest: Option<(TimeEntry, usize)> = None;
            for nth in view.segment_of(view.log_start_offset)..view.segments.len() {
                if let Some(entry) = view.segments[nth].largest_timestamp()?
                    && latest.is_none_or(|(l, _)| entry.timestamp > l.timestamp)
                {
                    latest = Some((entry, nth));
                }
            }
            match latest {
                Some((entry, nth)) => first_not_older(view, nth, entry.timestamp, below),
                None => Ok(None),
            }
        })
    }
}

/// The first record of the nth segment, from the log start on, that is not older than `timestamp`.
fn first_not_older(
    view: &LogView,
    nth: usize,
    timestamp: i64,
    below: Offset,
) -> Result<Option<TimestampedOffset>, Trouble> {
    let (segment, len) = (&*view.segments[nth], view.len_of(nth));
    if segment.largest_timestamp()?.is_none_or(|latest| latest.timestamp < timestamp) {
        return Ok(None);
    }
    let from = segment.offset_before(timestamp)?.max(view.log_start_offset);
    let wanted =
        |at: i64, offset: Offset| at >= timestamp && offset >= view.log_start_offset && offset < below;
    let Some(at) = segment.find(from, len)? else { return Ok(None) };
    for found in Scan::new(segment.file()?, at, len) {
        let found = found?;
        if found.header.base_offset >= below {
            break;
        }
        if found.header.max_timestamp >= timestamp
            && let Some(record) = first_record(segment, &found, wanted)?
        {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn first_record(
    segment: &Segment,
    found: &Found,
    wanted: impl Fn(i64, Offset) -> bool,
) -> Result<Option<TimestampedOffset>, Trouble> {
    let bytes = Bytes::from(read_batch(&*segment.file()?, found)?);
    let batch = RawBatch { header: found.header, bytes };
    for record in record_times(&batch, DECOMPRESSED_LIMIT).map_err(ReadError::from)? {
        let (timestamp, offset) = record.map_err(ReadError::from)?;
        if wanted(timestamp, offset) {
            let leader_epoch = found.header.partition_leader_epoch;
            return Ok(Some(TimestampedOffset { timestamp, offset, leader_epoch }));
        }
    }
    Ok(None)
}
