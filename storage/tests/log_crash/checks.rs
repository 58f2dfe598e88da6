//! What must agree with the batches of a log, whatever happened to its files.

use bytes::Bytes;
use storage::batch::batches;
use storage::disk::fault::Rng;
use storage::log::LogWriter;
use storage::producers::{ProducerState, Producers};

use crate::history::{Batch, History};

/// All batches, read in pieces of random size; none is torn.
pub fn read_all(log: &LogWriter, rng: &mut Rng) -> Vec<Batch> {
    let (reader, mut from, mut all) = (log.reader(), log.log_start_offset(), Vec::new());
    loop {
        let read = reader.read(from, i64::MAX, rng.below(700) as u64, true).unwrap();
        let Some(slice) = read.slice else { break };
        for batch in batches(&Bytes::from(slice.read().unwrap())) {
            let batch = Batch::new(batch.unwrap().bytes);
            from = batch.next_offset();
            all.push(batch);
        }
    }
    all
}

/// Indexes, epochs and producer state say what the batches say.
pub fn agrees(log: &LogWriter, history: &History, rng: &mut Rng) {
    finds_offsets(log, history, rng);
    finds_timestamps(log, history, rng);
    knows_epochs(log, history);
    knows_producers(log, history);
}

fn finds_offsets(log: &LogWriter, history: &History, rng: &mut Rng) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    for _ in 0..20 {
        let offset = start + rng.below((end - start) as usize + 1) as i64;
        let expected = history.batches.get(history.count_below(offset)).map(|batch| &batch.bytes);
        let read = log.reader().read(offset, i64::MAX, 1, true).unwrap();
        let found = read.slice.map(|slice| slice.read().unwrap());
        assert_eq!(found.as_deref(), expected.map(|bytes| &bytes[..]), "at offset {offset}");
    }
}

/// By time the first record is found whose batch and itself are not older.
fn finds_timestamps(log: &LogWriter, history: &History, rng: &mut Rng) {
    let start = log.log_start_offset();
    let batches = &history.batches[history.count_below(start)..];
    let times: Vec<(i64, i64)> =
        batches.iter().flat_map(Batch::times).filter(|(_, offset)| *offset >= start).collect();
    for _ in 0..5.min(times.len()) {
        let wanted = times[rng.below(times.len())].0 + rng.below(3) as i64 - 1;
        let found = log.reader().offset_for_timestamp(wanted, i64::MAX).unwrap();
        let expected = times.iter().find(|(timestamp, _)| *timestamp >= wanted);
        assert_eq!(found.map(|f| (f.timestamp, f.offset)), expected.copied(), "at time {wanted}");
    }
}

/// Deleted records that came back, because the log start was not noted down in time, may have lost their epochs.
fn knows_epochs(log: &LogWriter, history: &History) {
    let start = log.log_start_offset().max(history.raised);
    for header in history.batches[history.count_below(start)..].iter().map(|batch| &batch.header) {
        let offset = header.base_offset.max(start);
        assert_eq!(log.epochs().epoch_at(offset), Some(header.partition_leader_epoch), "at offset {offset}");
    }
}

/// Where records were deleted, of producers only those that have batches left, of aborted transactions those that end there.
fn knows_producers(log: &LogWriter, history: &History) {
    let (expected, aborted) = history.producers();
    let (start, local) = (log.log_start_offset(), log.view().local_log_start_offset());
    let left = |of: &Producers| {
        let mut all = essence(of);
        if local > 0 {
            all.retain(|known| known.last.is_some_and(|(_, offset, _)| offset >= start));
            all.iter_mut().for_each(|known| (known.epochs.1, known.txn_first_offset) = (-1, None));
        }
        all
    };
    assert_eq!(left(log.producers()), left(&expected));
    let found = log.reader().aborted_transactions(start, log.log_end_offset()).unwrap();
    if local == 0 {
        assert_eq!(log.producers().first_undecided(), expected.first_undecided());
        assert_eq!(found, aborted.into_iter().filter(|txn| txn.last_offset >= start).collect::<Vec<_>>());
    }
}

/// What Kafka's snapshots keep of each producer: of its batches the last alone, without its own timestamp.
#[derive(Debug, PartialEq)]
struct Essence {
    id: i64,
    epochs: (i16, i32),
    last_timestamp: i64,
    txn_first_offset: Option<i64>,
    /// Sequence, offset, records less one.
    last: Option<(i32, i64, i32)>,
}

fn essence(producers: &Producers) -> Vec<Essence> {
    let one = |(id, state): (i64, &ProducerState)| Essence {
        id,
        epochs: (state.epoch, state.coordinator_epoch),
        last_timestamp: state.last_timestamp,
        txn_first_offset: state.txn_first_offset,
        last: state.last_batch().map(|mark| (mark.last_sequence, mark.last_offset, mark.offset_delta)),
    };
    producers.iter().map(one).collect()
}
