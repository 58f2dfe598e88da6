//! Producer state from the newest good snapshot and the batches behind it.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::RawBatch;
use crate::disk::Open;
use crate::log::Offset;
use crate::log::append::marker_of;
use crate::log::error::LogError;
use crate::producers::Producers;
use crate::segment::Segment;
use crate::segment::directory::Directory;
use crate::segment::names::{SNAPSHOT, file_name};
use crate::segment::scan::{Found, Scan, read_batch};

/// The state at `end`. Begins at the newest of `snapshots` (ascending) that is at most `newest` and readable. Transactions
/// found aborted on the way go into the indexes that are in memory.
pub fn replay(
    dir: &Directory,
    snapshots: &[Offset],
    segments: &[Arc<Segment>],
    newest: Offset,
    end: Offset,
) -> Result<Producers, LogError> {
    let first = segments.first().map_or(end, |s| s.base_offset());
    let usable = snapshots.iter().rev().filter(|offset| **offset <= newest);
    let mut producers = usable
        .filter_map(|offset| load(dir, *offset))
        .next()
        .unwrap_or_else(|| Producers::starting_at(first));
    let from = producers.end();
    let nth = segments.partition_point(|s| s.base_offset() <= from).saturating_sub(1);
    for segment in &segments[nth..] {
        replay_segment(segment, from, &mut producers)?;
    }
    producers.advance_to(end);
    Ok(producers)
}

/// Longest snapshot that is read, in bytes: more than a million producers.
const MAX_LEN: u64 = 64 << 20;

/// `None` if the snapshot cannot be used.
fn load(dir: &Directory, offset: Offset) -> Option<Producers> {
    let read = || {
        let file = dir.open_file(&file_name(offset, SNAPSHOT), Open::Read)?;
        let len = file.len()?;
        if len > MAX_LEN {
            return Err(std::io::Error::other(format!("{len} bytes are too many for a snapshot")));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        std::io::Result::Ok(bytes)
    };
    match read().map(|bytes| Producers::decode_snapshot(&bytes, offset)) {
        Ok(Ok(producers)) => Some(producers),
        Ok(Err(why)) => {
            tracing::warn!(offset, %why, "a producer snapshot is not usable, an older one must do");
            None
        }
        Err(why) => {
            tracing::warn!(offset, %why, "a producer snapshot cannot be read, an older one must do");
            None
        }
    }
}

fn replay_segment(segment: &Segment, from: Offset, producers: &mut Producers) -> Result<(), LogError> {
    let Some(at) = segment.find(from, segment.len())? else { return Ok(()) };
    let file = segment.file()?;
    for found in Scan::new(file.clone(), at, segment.len()) {
        let found: Found = found?;
        let marker = if found.header.attributes.is_control() {
            marker_of(&RawBatch { header: found.header, bytes: Bytes::from(read_batch(&*file, &found)?) })
        } else {
            None
        };
        if let Some(aborted) = producers.apply(&found.header, marker) {
            segment.add_aborted(aborted);
        }
    }
    Ok(())
}
