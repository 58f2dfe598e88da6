//! Indexes: in memory, in their files, found again by search, refused when damaged.

use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use storage::disk::fault::FaultDisk;
use storage::disk::{Disk, File, Open};
use storage::epochs::{EpochCache, EpochEntry};
use storage::index::{
    Aborted, AbortedTxn, Entry, Index, IndexError, OffsetEntry, TimeEntry, collect_aborted, find,
};

const MAX_BYTES: usize = 10 << 20;
const BASE: i64 = 1 << 40;

fn file() -> Arc<dyn File> {
    FaultDisk::new(0).open(Path::new("/index"), Open::Create).expect("a file")
}

/// Entries that grow by the given steps.
fn entries(steps: &[(u8, u8)]) -> Vec<OffsetEntry> {
    let grow = |at: &mut (i64, u32), step: &(u8, u8)| {
        *at = (at.0 + 1 + i64::from(step.0), at.1 + 1 + u32::from(step.1));
        Some(OffsetEntry { offset: at.0, position: at.1 })
    };
    steps.iter().scan((BASE, 0), grow).collect()
}

proptest! {
    #[test]
    fn search_in_memory_and_in_the_file_agree(steps in vec(any::<(u8, u8)>(), 0..700), key in 0i64..90_000) {
        let (file, index) = (file(), Index::new(BASE, MAX_BYTES));
        let entries = entries(&steps);
        for (nth, entry) in entries.iter().enumerate() {
            prop_assert!(index.push(*entry));
            if nth % 50 == 0 {
                index.flush(&*file).expect("written");
            }
        }
        index.flush(&*file).expect("written");
        let expected = entries.iter().rfind(|entry| entry.offset <= BASE + key).copied();
        prop_assert_eq!(index.lookup(BASE + key), expected);
        prop_assert_eq!(find(&*file, BASE, BASE + key).expect("found"), expected);
        let loaded = Index::<OffsetEntry>::load(&*file, BASE, MAX_BYTES).expect("sound");
        prop_assert_eq!(loaded.entries(), entries);
    }

    #[test]
    fn what_is_cut_is_gone_from_the_file(steps in vec(any::<(u8, u8)>(), 1..50), cut in 0i64..5000, flushed: bool) {
        let (file, index) = (file(), Index::new(BASE, MAX_BYTES));
        let entries = entries(&steps);
        entries.iter().for_each(|entry| assert!(index.push(*entry)));
        if flushed {
            index.flush(&*file).expect("written");
        }
        index.truncate(BASE + cut);
        let more = OffsetEntry { offset: BASE + 100_000, position: 1 << 30 };
        prop_assert!(index.push(more));
        index.flush(&*file).expect("written");
        let mut kept: Vec<_> = entries.into_iter().filter(|entry| entry.offset < BASE + cut).collect();
        kept.push(more);
        prop_assert_eq!(Index::<OffsetEntry>::load(&*file, BASE, MAX_BYTES).expect("sound").entries(), kept);
    }

    #[test]
    fn any_bytes_load_or_are_corrupt(bytes in vec(any::<u8>(), 0..200)) {
        let file = file();
        file.write_at(&[std::io::IoSlice::new(&bytes)], 0).expect("written");
        let _ = Index::<OffsetEntry>::load(&*file, BASE, MAX_BYTES);
        let _ = Index::<TimeEntry>::load(&*file, BASE, MAX_BYTES);
        let _ = Index::<AbortedTxn>::load(&*file, BASE, MAX_BYTES);
        let _ = find::<OffsetEntry>(&*file, BASE, BASE + 1000);
        let _ = find::<TimeEntry>(&*file, BASE, 1000);
    }

    /// Against the plain reading of the rules: where an epoch ended is where the next one in the log begins.
    #[test]
    fn epochs_are_those_of_the_log(epochs in vec(0i32..4, 1..30), cut in 0usize..30, start in 0usize..30, asked in -1i32..90) {
        let mut cache = EpochCache::default();
        let log: Vec<i32> = epochs.iter().scan(0, |at, step| { *at += (step - 1).max(0); Some(*at) }).collect();
        log.iter().enumerate().for_each(|(offset, epoch)| cache.assign(*epoch, offset as i64));
        let (start, end) = (start.min(log.len() - 1), cut.min(log.len()));
        cache.truncate_from_end(end as i64);
        cache.truncate_from_start(start.min(end) as i64);
        let left = start.min(end)..end;
        for offset in left.clone() {
            prop_assert_eq!(cache.epoch_at(offset as i64), Some(log[offset]));
        }
        let Some(latest) = left.clone().last().map(|offset| log[offset]) else { return Ok(()) };
        let next = left.clone().find(|offset| log[*offset] > asked);
        let floor = left.clone().rev().map(|offset| log[offset]).find(|epoch| *epoch <= asked);
        let expected = match next.filter(|_| asked >= 0) {
            Some(next) => Some((floor.unwrap_or(asked), next as i64)),
            None if asked == latest => Some((asked, end as i64)),
            None => None,
        };
        prop_assert_eq!(cache.end_offset_for(asked, end as i64), expected);
        prop_assert!(EpochCache::from_entries(cache.entries().to_vec()).is_ok());
    }
}

fn written(bytes: &[u8]) -> Arc<dyn File> {
    let file = file();
    file.write_at(&[std::io::IoSlice::new(bytes)], 0).expect("written");
    file
}

#[test]
fn damaged_files_are_corrupt() {
    let entry = |offset: i64, position| {
        let mut out = Vec::new();
        OffsetEntry { offset, position }.put(0, &mut out);
        out
    };
    let cases = [
        ("half an entry", vec![0; 12]),
        ("preallocated zeros", [entry(3, 7), vec![0; 8]].concat()),
        ("offsets that fall", [entry(3, 7), entry(2, 9)].concat()),
        ("positions that stand", [entry(3, 7), entry(4, 7)].concat()),
        ("a negative offset", [entry(3, 7), entry(-1, 9)].concat()),
    ];
    for (what, bytes) in cases {
        let loaded = Index::<OffsetEntry>::load(&*written(&bytes), 0, MAX_BYTES);
        assert!(matches!(loaded, Err(IndexError::Corrupt(_))), "{what}: {loaded:?}");
    }
}

#[test]
fn a_full_index_says_so() {
    let index = Index::new(0, 17);
    assert!(index.push(OffsetEntry { offset: 1, position: 1 }));
    assert!(!index.is_full());
    assert!(index.push(OffsetEntry { offset: 2, position: 2 }));
    assert!(index.is_full());
    assert!(!index.push(OffsetEntry { offset: 3, position: 3 }));
}

#[test]
fn a_time_that_does_not_advance_is_left_out() {
    let index = Index::new(0, MAX_BYTES);
    for (timestamp, offset) in [(5, 1), (5, 2), (4, 3), (6, 3)] {
        assert!(index.push(TimeEntry { timestamp, offset }));
    }
    let entries: Vec<_> = index.entries().iter().map(|e| (e.timestamp, e.offset)).collect();
    assert_eq!(entries, [(5, 1), (6, 3)]);
}

#[test]
fn aborted_transactions_of_a_fetch() {
    let txn = |first_offset, last_offset, last_stable_offset| AbortedTxn {
        producer_id: 1,
        first_offset,
        last_offset,
        last_stable_offset,
    };
    let txns = [txn(0, 10, 5), txn(5, 20, 21), txn(22, 30, 31)];
    let cases = [
        (0, 4, vec![txns[0]], true),
        (11, 21, vec![txns[1]], true),
        (0, 22, vec![txns[0], txns[1]], true),
        (0, 100, txns.to_vec(), false),
        (31, 100, vec![], false),
    ];
    for (from, below, expected, complete) in cases {
        let found = collect_aborted(&txns, from, below);
        assert_eq!(found, Aborted { txns: expected, complete }, "{from}..{below}");
    }
    // What begins at the stable offset of the last one is beyond a fetch that ends there.
    assert!(collect_aborted(&txns[..2], 11, 21).complete);
}

#[test]
fn epochs_that_contradict_the_log_give_way() {
    let entry = |(epoch, start_offset)| EpochEntry { epoch, start_offset };
    let mut cache = EpochCache::default();
    for (epoch, start_offset) in [(0, 0), (2, 10), (2, 15), (4, 20)] {
        cache.assign(epoch, start_offset);
    }
    assert_eq!(cache.entries(), [(0, 0), (2, 10), (4, 20)].map(entry));
    assert!(cache.take_changed() && !cache.take_changed());
    cache.assign(3, 12);
    assert_eq!(cache.entries(), [(0, 0), (2, 10), (3, 12)].map(entry));
    assert!(EpochCache::from_entries(vec![entry((1, 5)), entry((1, 6))]).is_err());
    assert!(EpochCache::from_entries(vec![entry((1, 5)), entry((2, 5))]).is_err());
    assert!(EpochCache::from_entries(vec![entry((-1, 5))]).is_err());
}
