//! The log against openraft's own suite, against crashes, and against damage.

use std::path::Path;
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, StorageError};
use storage::disk::fault::{Errno, Fault, FaultDisk, Op, Rng, When};
use storage::disk::{Disk, Open, RealDisk};

use super::record::Record;
use super::state::State;
use super::{IOFlushed, Store};
use crate::applier::Applier;
use crate::machine::{At, Frozen, Machine, RestoreError};
use crate::settings::{Lane, Pace, Settings};
use crate::snapshot::Snapshots;
use crate::types::{Command, Entry, LogId, Types, Vote};

/// Remembers nothing.
struct Nothing;

impl Machine for Nothing {
    fn apply(&mut self, _at: At, _command: &[u8]) -> bytes::Bytes {
        bytes::Bytes::new()
    }

    fn freeze(&self) -> Frozen {
        Box::new(|out| out.write_all(b"nothing"))
    }

    fn restore(&mut self, _at: At, _snapshot: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// Fresh stores on the real disk or on the failing one, for openraft's suite.
struct Fresh(Lane, bool);

impl StoreBuilder<Types, Store, Applier, tempfile::TempDir> for Fresh {
    async fn build(&self) -> Result<(tempfile::TempDir, Store, Applier), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = if self.1 { Arc::new(RealDisk) } else { Arc::new(FaultDisk::new(1)) };
        let settings = Settings { lane: self.0.clone(), ..Settings::new(1, dir.path()) };
        let store = Store::open(disk.clone(), &settings).unwrap();
        let snapshots = Arc::new(Snapshots::open(disk, dir.path()).unwrap());
        Ok((dir, store, Applier::new(Box::new(Nothing), snapshots, self.0.clone())))
    }
}

#[tokio::test(start_paused = true)]
async fn openraft_finds_nothing_wrong() {
    Suite::test_all(Fresh(Lane::Threads, true)).await.unwrap();
    Suite::test_all(Fresh(Lane::Inline, false)).await.unwrap();
    let pace = Pace::new(|| Box::pin(tokio::task::yield_now()));
    Suite::test_all(Fresh(Lane::Paced(pace), false)).await.unwrap();
}

fn settings(lane: Lane) -> Settings {
    Settings { lane, segment_bytes: 600, ..Settings::new(7, "/log") }
}

fn entry(term: u64, index: u64, len: usize) -> Entry {
    let payload = EntryPayload::Normal(Command(vec![index as u8; len].into()));
    <Entry as RaftEntry>::new(LogId::new(term.into(), index), payload)
}

fn vote(term: u64) -> Vote {
    Vote::new(term, 7)
}

impl Store {
    fn snapshot_of_state(&self) -> State {
        let state = self.shared.state.lock();
        State {
            vote: state.vote,
            committed: state.committed,
            purged: state.purged,
            entries: state.entries.clone(),
            weight: state.weight,
        }
    }
}

/// Something that openraft may ask of the log when it says `state`.
fn some_record(state: &State, term: u64, rng: &mut Rng) -> Vec<Record> {
    let next = state.last().map_or(0, |id| id.index + 1);
    let first = state.purged.map_or(0, |id| id.index + 1);
    let existing =
        (next > first).then(|| state.entries[&(first + rng.below((next - first) as usize) as u64)].log_id);
    match (rng.below(10), existing) {
        (0 | 1, _) => vec![Record::Vote(vote(term))],
        (2, Some(id)) => vec![Record::Truncate(Some(id))],
        (3, Some(id)) => vec![Record::Purge(id)],
        (4, Some(id)) => vec![Record::Committed(id)],
        _ => (0..1 + rng.below(4) as u64)
            .map(|i| Record::Entry(entry(term, next + i, rng.below(200))))
            .collect(),
    }
}

/// Asks the store as openraft does. Returns whether all that was asked so far is acknowledged.
async fn ask(store: &mut Store, records: &[Record], wait: bool) -> bool {
    match &records[0] {
        Record::Vote(vote) => store.save_vote(vote).await.is_ok(),
        Record::Truncate(after) => store.truncate_after(*after).await.is_ok(),
        Record::Purge(upto) => store.purge(*upto).await.is_err(),
        Record::Committed(upto) => store.save_committed(Some(*upto)).await.is_err(),
        Record::Head(_) => unreachable!("never asked for"),
        Record::Entry(_) => {
            let entries = records.iter().map(|record| match record {
                Record::Entry(entry) => entry.clone(),
                other => unreachable!("{other:?} among entries"),
            });
            let (tell, told) = Types::oneshot();
            store.append(entries.collect::<Vec<_>>(), IOFlushed::signal(tell)).await.unwrap();
            wait && told.await.unwrap().is_ok()
        }
    }
}

/// After a crash the log says what it said after some number of the records asked for, in their order, and of these
/// at least those that were acknowledged.
#[tokio::test]
async fn a_crash_leaves_a_prefix_with_all_that_was_acknowledged() {
    for seed in 0..400 {
        let (disk, mut rng) = (FaultDisk::new(seed), Rng::new(seed));
        let lane = if seed % 4 == 0 { Lane::Threads } else { Lane::Inline };
        let mut possible = vec![State::default()];
        for term in 1..6 {
            disk.power_off_after(rng.below(60) as u64);
            if let Ok(store) = Store::open(Arc::new(disk.clone()), &settings(lane.clone())) {
                let found = store.snapshot_of_state();
                assert_found(&possible, &found, seed);
                possible = live(store, found, term, &mut rng).await;
            }
            disk.crash();
        }
        let store = Store::open(Arc::new(disk), &settings(lane.clone())).unwrap();
        assert_found(&possible, &store.snapshot_of_state(), seed);
    }
}

/// What the log may say after this life.
async fn live(mut store: Store, mut state: State, term: u64, rng: &mut Rng) -> Vec<State> {
    let mut possible = vec![copy(&state)];
    for _ in 0..40 {
        let records = some_record(&state, term, rng);
        for record in &records {
            state.apply(record.clone());
            possible.push(copy(&state));
        }
        if ask(&mut store, &records, rng.one_in(2)).await {
            possible = vec![copy(&state)];
        }
    }
    // The thread may still be at work: let it come to an end, so that the crash finds it idle.
    let _power_is_gone = store.close().await;
    possible
}

fn copy(state: &State) -> State {
    let State { vote, committed, purged, entries, weight } = state;
    State { vote: *vote, committed: *committed, purged: *purged, entries: entries.clone(), weight: *weight }
}

/// The commit point is written with whatever comes next, so it may be older or newer than the rest.
fn assert_found(possible: &[State], found: &State, seed: u64) {
    let same = |state: &State| *state == State { committed: state.committed, ..copy(found) };
    assert!(possible.iter().any(same), "seed {seed}: found {found:?}");
    assert!(
        possible.iter().any(|state| state.committed == found.committed),
        "seed {seed}: made up {found:?}"
    );
}

/// A log of three files, the last one with two frames.
async fn three_files(disk: &FaultDisk) -> State {
    let mut store = Store::open(Arc::new(disk.clone()), &settings(Lane::Inline)).unwrap();
    for index in 0..8 {
        assert!(ask(&mut store, &[Record::Entry(entry(1, index, 200))], true).await);
    }
    assert_eq!(disk.list(Path::new("/log")).unwrap().len(), 3);
    store.snapshot_of_state()
}

fn reopen(disk: &FaultDisk) -> Result<State, String> {
    let store = Store::open(Arc::new(disk.clone()), &settings(Lane::Inline));
    store.map(|store| store.snapshot_of_state()).map_err(|e| e.to_string())
}

fn file(disk: &FaultDisk, number: u64) -> Arc<dyn storage::disk::File> {
    disk.open(&super::wal::path(Path::new("/log"), number), Open::Write).unwrap()
}

#[tokio::test]
async fn damage_before_the_last_frame_is_an_error_that_names_the_file() {
    for number in 1..=3 {
        for at in [0, 5, 9, 15, 30, 100] {
            let disk = FaultDisk::new(1);
            three_files(&disk).await;
            let mut byte = [0];
            file(&disk, number).read_exact_at(&mut byte, at).unwrap();
            file(&disk, number).write_at(&[std::io::IoSlice::new(&[byte[0] ^ 1])], at).unwrap();
            let e = reopen(&disk).unwrap_err();
            assert!(
                e.contains(&format!("{number:020}.wal")) && e.contains("damaged"),
                "{number} at {at}: {e}"
            );
        }
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_written_over() {
    let disk = FaultDisk::new(1);
    let mut whole = three_files(&disk).await;
    let len = file(&disk, 3).len().unwrap();
    for cut in [1, 50, 230] {
        let disk = FaultDisk::new(1);
        three_files(&disk).await;
        file(&disk, 3).set_len(len - cut).unwrap();
        let mut found = reopen(&disk).unwrap();
        assert_eq!(found.entries.len(), 7, "{cut}");
        let mut store = Store::open(Arc::new(disk.clone()), &settings(Lane::Inline)).unwrap();
        assert!(ask(&mut store, &[Record::Entry(entry(2, 7, 10))], true).await);
        found.apply(Record::Entry(entry(2, 7, 10)));
        assert_eq!(reopen(&disk).unwrap(), found);
    }
    // Zeros behind the end, as a file that grew before a crash has them.
    file(&disk, 3).set_len(len + 4096).unwrap();
    assert_eq!(reopen(&disk).unwrap(), whole);
    assert_eq!(file(&disk, 3).len().unwrap(), len);
    whole.apply(Record::Vote(vote(3)));
    let mut store = Store::open(Arc::new(disk.clone()), &settings(Lane::Inline)).unwrap();
    store.save_vote(&vote(3)).await.unwrap();
    assert_eq!(reopen(&disk).unwrap(), whole);
}

/// A shortage of descriptors keeps the log in its old file, which then ends as any last file may.
#[tokio::test]
async fn a_file_that_could_not_be_begun_leaves_no_trace() {
    let disk = FaultDisk::new(1);
    let mut store = Store::open(Arc::new(disk.clone()), &settings(Lane::Inline)).unwrap();
    assert!(ask(&mut store, &[Record::Entry(entry(1, 0, 600))], true).await);
    disk.inject(Fault { op: Op::SyncDir, under: "/log".into(), when: When::Nth(1), errno: Errno::MFILE });
    assert!(ask(&mut store, &[Record::Entry(entry(1, 1, 10))], true).await);
    file(&disk, 1).set_len(file(&disk, 1).len().unwrap() - 1).unwrap();
    assert_eq!(reopen(&disk).map(|state| state.entries.len()), Ok(1), "the torn write is gone");
}

#[tokio::test]
async fn a_missing_file_is_an_error() {
    for number in 1..=2 {
        let disk = FaultDisk::new(1);
        three_files(&disk).await;
        disk.remove(&super::wal::path(Path::new("/log"), number)).unwrap();
        let e = reopen(&disk).unwrap_err();
        assert!(e.contains("entry 0 is missing"), "{number}: {e}");
    }
}

/// The kernel counts the pages of a failed fsync as clean: a frame may be readable and never reach the disk.
#[tokio::test]
async fn what_a_failed_sync_left_is_made_durable_before_it_counts() {
    for seed in 0..20 {
        let disk = FaultDisk::new(seed);
        let mut store = Store::open(Arc::new(disk.clone()), &settings(Lane::Inline)).unwrap();
        assert!(ask(&mut store, &[Record::Entry(entry(1, 0, 10))], true).await);
        disk.inject(Fault { op: Op::Sync, under: "/log".into(), when: When::Nth(1), errno: Errno::IO });
        assert!(!ask(&mut store, &[Record::Entry(entry(1, 1, 10))], true).await);
        assert!(
            !ask(&mut store, &[Record::Entry(entry(1, 2, 10))], true).await,
            "nothing is written after it"
        );
        drop(store);
        disk.heal();
        let found = reopen(&disk).unwrap();
        disk.crash();
        assert_eq!(reopen(&disk).unwrap(), found);
    }
}

#[tokio::test]
async fn a_message_to_a_peer_is_bounded_but_never_empty() {
    let mut store = Store::open(Arc::new(FaultDisk::new(1)), &settings(Lane::Inline)).unwrap();
    for (index, len) in [10, 2 << 20, 600_000, 300_000, 300_000].into_iter().enumerate() {
        assert!(ask(&mut store, &[Record::Entry(entry(1, index as u64, len))], true).await);
    }
    let mut counts = Vec::new();
    let mut next = 0;
    while next < 5 {
        let got = store.limited_get_log_entries(next, 5).await.unwrap();
        counts.push(got.len());
        next += got.len() as u64;
    }
    assert_eq!(counts, [1, 1, 2, 1]);
}
