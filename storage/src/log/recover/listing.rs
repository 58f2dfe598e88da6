//! The files of a partition directory, with what an interrupted clean-up or compaction left put right.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::disk::Open;
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::log::Offset;
use crate::log::error::LogError;
use crate::segment::directory::{Directory, if_exists};
use crate::segment::names::{
    CLEANED, DELETED, LOG, OFFSET_INDEX, SNAPSHOT, SWAP, TIME_INDEX, TXN_INDEX, file_name, parse_name,
};
use crate::segment::scan::Scan;

/// Files named after an offset: kind and offset to length in bytes.
#[derive(Debug, Default)]
pub struct Listing {
    files: BTreeMap<(String, Offset), u64>,
    is_marked: bool,
}

/// An empty file in each directory that began here: Kafka passes over it. Its name is durable before the second segment is
/// begun, as all names are.
const MARK: &str = "drave";

impl Listing {
    /// Lists `dir`, removes what no log needs and finishes what compaction had begun.
    pub fn tidied(dir: &Directory) -> Result<Listing, LogError> {
        let mut listing = Listing::of(dir)?;
        if listing.tidy(dir)? {
            dir.sync()?;
            listing = Listing::of(dir)?;
        }
        Ok(listing)
    }

    fn of(dir: &Directory) -> io::Result<Listing> {
        let (mut files, mut is_marked) = (BTreeMap::new(), false);
        for entry in dir.list()?.into_iter().filter(|entry| !entry.is_dir) {
            is_marked |= entry.name == MARK;
            if let Some((offset, kind)) = parse_name(&entry.name) {
                files.insert((kind.to_owned(), offset), entry.len);
            }
        }
        Ok(Listing { files, is_marked })
    }

    /// Marks a directory without segments: what comes to stand in it is of this house.
    pub fn mark(&mut self, dir: &Directory) -> io::Result<()> {
        if !self.is_marked && self.of_kind(LOG).next().is_none() {
            dir.open_file(MARK, Open::Create)?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// Whether the log began here, and not in Kafka.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Base offsets and lengths of the segments.
    pub fn segments(&self) -> Vec<(Offset, u64)> {
        self.of_kind(LOG).collect()
    }

    /// Offsets of the producer snapshots, ascending.
    pub fn snapshots(&self) -> Vec<Offset> {
        self.of_kind(SNAPSHOT).map(|(offset, _)| offset).collect()
    }

    /// Whether both indexes of a segment are there and made of whole entries.
    pub fn has_indexes(&self, base: Offset) -> bool {
        let whole = |kind: &str, size: usize| {
            self.files.get(&(kind.to_owned(), base)).is_some_and(|len| len.is_multiple_of(size as u64))
        };
        whole(OFFSET_INDEX, OffsetEntry::SIZE) && whole(TIME_INDEX, TimeEntry::SIZE)
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = (Offset, u64)> {
        self.files.iter().filter(move |((k, _), _)| k == kind).map(|((_, offset), len)| (*offset, *len))
    }

    /// Whether anything was changed.
    fn tidy(&self, dir: &Directory) -> Result<bool, LogError> {
        let swaps = self.finish_swaps(dir)?;
        let logs: BTreeSet<Offset> =
            self.of_kind(LOG).chain(swaps.iter().map(|base| (*base, 0))).map(|(base, _)| base).collect();
        let mut changed = !swaps.is_empty();
        for (kind, offset) in self.files.keys() {
            let orphan =
                [OFFSET_INDEX, TIME_INDEX, TXN_INDEX].contains(&kind.as_str()) && !logs.contains(offset);
            if orphan || kind.ends_with(DELETED) || kind.ends_with(CLEANED) || kind.ends_with(SWAP) {
                // A finished swap has given its files their final names: nothing is left to remove then.
                changed |= if_exists(dir.remove_file(&file_name(*offset, kind)))?.is_some();
            }
        }
        Ok(changed)
    }

    /// Compaction writes `.cleaned` files, renames them to `.swap`, then replaces what they were made of. Swaps at or above
    /// the first `.cleaned` file were not all renamed yet, so the old segments still count; the others are put in place.
    fn finish_swaps(&self, dir: &Directory) -> Result<Vec<Offset>, LogError> {
        let cleaned =
            self.files.keys().filter(|(kind, _)| kind.ends_with(CLEANED)).map(|(_, offset)| *offset).min();
        let complete = |base: &Offset| cleaned.is_none_or(|first| *base < first);
        let swap_log = format!("{LOG}{SWAP}");
        let swaps: Vec<(Offset, u64)> = self.of_kind(&swap_log).filter(|(base, _)| complete(base)).collect();
        for (base, len) in &swaps {
            self.finish_swap(dir, *base, *len)?;
        }
        Ok(swaps.into_iter().map(|(base, _)| base).collect())
    }

    fn finish_swap(&self, dir: &Directory, base: Offset, len: u64) -> Result<(), LogError> {
        let file = dir.open_file(&file_name(base, &format!("{LOG}{SWAP}")), Open::Read)?;
        let last = Scan::new(file, 0, len).last().transpose()?;
        let end = last.map_or(base + 1, |found| found.header.next_offset());
        for (old, _) in self.of_kind(LOG).filter(|(old, _)| (base..end).contains(old)) {
            for kind in [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX] {
                if_exists(dir.remove_file(&file_name(old, kind)))?;
            }
        }
        for kind in [OFFSET_INDEX, TIME_INDEX, TXN_INDEX, LOG] {
            let name = file_name(base, kind);
            if_exists(dir.rename_file(&format!("{name}{SWAP}"), &name))?;
        }
        Ok(())
    }
}
