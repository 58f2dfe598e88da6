//! Reading a segment through: what in it is sound, and the indexes that follow from it.

use std::io;
use std::sync::Arc;

use crate::batch::BatchError;
use crate::disk::{File, Open};
use crate::epochs::EpochEntry;
use crate::log::error::LogError;
use crate::log::{LogConfig, Offset};
use crate::segment::Segment;
use crate::segment::scan::{Found, Scan, ScanError, check_and_rewrite};

/// What a segment must be checked against.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Batches that end above are believed only if their CRC is right, and are written again.
    pub recovery_point: Offset,
    /// Where the next segment begins. Batches from there on are left from before a truncation.
    pub below: Offset,
}

/// A segment as far as it is sound.
#[derive(Debug)]
pub struct Walked {
    /// The offset behind the last batch; the base offset if there is none.
    pub end_offset: Offset,
    /// Log bytes since the last index entry.
    pub pace: u64,
    /// Where runs of batches of one leader epoch begin.
    pub epochs: Vec<EpochEntry>,
    /// The byte at which something else than a sound batch begins, and what is wrong with it.
    pub broken: Option<(u64, BatchError)>,
}

impl Walked {
    fn nothing(segment: &Segment) -> Walked {
        Walked { end_offset: segment.base_offset(), pace: 0, epochs: Vec::new(), broken: None }
    }

    fn take(&mut self, segment: &Segment, found: &Found, config: &LogConfig) {
        let header = &found.header;
        segment.take_in(header, found.at, &mut self.pace, config.index_interval_bytes);
        self.end_offset = header.next_offset();
        let (epoch, start_offset) = (header.partition_leader_epoch, header.base_offset);
        if self.epochs.last().is_none_or(|run| run.epoch != epoch) {
            self.epochs.push(EpochEntry { epoch, start_offset });
        }
    }
}

/// Reads all of `segment` and makes its offset and time index anew, in memory. Its length becomes that of its sound part;
/// the file keeps what it holds.
pub fn rebuild(segment: &Segment, bounds: Bounds, config: &LogConfig) -> Result<Walked, LogError> {
    let (file, len) = (segment.open(Open::Write)?, segment.len());
    segment.start_indexes(config.segment_index_bytes as usize);
    segment.reset(0);
    let mut walked = Walked::nothing(segment);
    for found in Scan::new(file.clone(), 0, len) {
        match found.and_then(|found| check(&*file, found, walked.end_offset, bounds)) {
            Ok(Some(found)) => walked.take(segment, &found, config),
            Ok(None) => break,
            Err(ScanError::Io(e)) => return Err(e.into()),
            Err(ScanError::Broken { at, source }) => {
                refuse_old_format(&file, at, len, &source)?;
                walked.broken = Some((at, source));
                break;
            }
        }
    }
    Ok(walked)
}

/// Continues a segment whose indexes are trusted: only what lies behind their last entry is read. `None` if log and
/// indexes do not fit together: then nothing is taken from them.
pub fn resume(segment: &Segment, config: &LogConfig) -> Result<Option<Walked>, LogError> {
    let len = segment.len();
    let walked = walk_on(segment, config)?;
    if walked.is_none() {
        segment.reset(len);
    }
    Ok(walked)
}

fn walk_on(segment: &Segment, config: &LogConfig) -> Result<Option<Walked>, LogError> {
    let (file, len) = (segment.file()?, segment.len());
    let known = segment.offsets.in_memory(|index| index.last()).flatten();
    if let Some(latest) = segment.times.in_memory(|index| index.last()).flatten() {
        segment.saw_timestamp(latest);
    }
    let mut walked = Walked::nothing(segment);
    for found in Scan::new(file, known.map_or(0, |entry| u64::from(entry.position)), len) {
        let found = match found {
            Ok(found) => found,
            Err(ScanError::Io(e)) => return Err(e.into()),
            Err(ScanError::Broken { .. }) => return Ok(None),
        };
        if !found.header.follows(walked.end_offset) {
            return Ok(None);
        }
        let is_known = known.is_some_and(|entry| u64::from(entry.position) == found.at);
        if is_known && known.is_some_and(|entry| entry.offset != found.header.last_offset()) {
            return Ok(None);
        }
        walked.take(segment, &found, config);
    }
    segment.set_len(len);
    Ok((known.is_none() || walked.end_offset > segment.base_offset()).then_some(walked))
}

/// The batch itself if it may stand here; `None` if it is one that a truncation should have taken.
fn check(file: &dyn File, found: Found, end: Offset, bounds: Bounds) -> Result<Option<Found>, ScanError> {
    let header = &found.header;
    if header.base_offset >= bounds.below {
        return Ok(None);
    }
    if !header.follows(end) {
        let source = BatchError::Length(header.length);
        return Err(ScanError::Broken { at: found.at, source });
    }
    if header.next_offset() > bounds.recovery_point {
        check_and_rewrite(file, &found)?;
    }
    Ok(Some(found))
}

/// Message formats 0 and 1 are not understood. They are told from garbage by their own CRC, so that they are not cut off.
fn refuse_old_format(file: &Arc<dyn File>, at: u64, len: u64, source: &BatchError) -> Result<(), LogError> {
    /// Offset i64, size i32, CRC i32, magic i8.
    const HEAD: usize = 17;
    let mut head = [0; HEAD];
    if !matches!(source, BatchError::Magic(0 | 1)) || len - at < HEAD as u64 {
        return Ok(());
    }
    file.read_exact_at(&mut head, at)?;
    let size = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let stored = u32::from_be_bytes([head[12], head[13], head[14], head[15]]);
    if size < 14 || u64::from(size) > len - at - 12 || crc32(&**file, at + 16, size as usize - 4)? != stored {
        return Ok(());
    }
    Err(LogError::Unreadable { at, source: source.clone() })
}

/// The checksum of the old formats.
fn crc32(file: &dyn File, at: u64, len: usize) -> io::Result<u32> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at)?;
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    Ok(crc.sum())
}
