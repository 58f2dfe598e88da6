//! Any sequence of changes, compared with a list of batches in memory.

use std::sync::Arc;

use proptest::prelude::*;
use storage::disk::fault::FaultDisk;
use storage::log::{LogConfig, LogWriter, Start};

use crate::fixture::*;

#[derive(Clone, Debug)]
enum Step {
    Append { records: usize, bytes: usize },
    Follow { gap: i64, records: usize },
    Truncate { back: i64 },
    RaiseStart { by: i64 },
    Retain,
    Sync,
    Close,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1usize..5, 0usize..200).prop_map(|(records, bytes)| Step::Append { records, bytes }),
        4 => (0i64..4, 1usize..4).prop_map(|(gap, records)| Step::Follow { gap, records }),
        2 => (0i64..20).prop_map(|back| Step::Truncate { back }),
        1 => (0i64..8).prop_map(|by| Step::RaiseStart { by }),
        1 => Just(Step::Retain),
        1 => Just(Step::Sync),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
    ]
}

fn open(disk: &FaultDisk, start: Start) -> LogWriter {
    let small = LogConfig { segment_bytes: 900, index_interval_bytes: 200, ..LogConfig::default() };
    let config = LogConfig { retention_ms: None, ..small };
    LogWriter::open(env_on(Arc::new(disk.clone())), "/t-0".into(), config, start, at(0)).unwrap()
}

struct Model {
    disk: FaultDisk,
    log: LogWriter,
    batches: Vec<(i64, i64)>,
    start: i64,
    end: i64,
}

impl Model {
    fn new() -> Model {
        let disk = FaultDisk::new(0);
        let log = open(&disk, CLEAN);
        Model { disk, log, batches: Vec::new(), start: 0, end: 0 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append { records, bytes } => {
                let done = append(&mut self.log, batch(records, bytes, self.end), 1);
                self.note(done.base_offset, records);
            }
            Step::Follow { gap, records } => {
                let mut sent = batch(records, 60, self.end);
                sent.assign(self.end + gap, 1);
                let base = self.log.append_as_follower(&sent.to_bytes(), at(0)).unwrap().base_offset;
                self.note(base, records);
            }
            Step::Truncate { back } => {
                let to = (self.end - back).max(self.start);
                let end = self.log.truncate_to(to, at(0)).unwrap();
                assert!(end <= to && self.batches.iter().all(|(_, last)| *last < end || *last >= to));
                self.batches.retain(|(_, last)| *last < end);
                (self.start, self.end) = (self.log.log_start_offset(), end);
            }
            Step::RaiseStart { by } => {
                self.start = (self.start + by).min(self.end);
                self.log.advance_log_start(self.start).unwrap();
            }
            Step::Retain => {
                sync(&mut self.log);
                self.start = self.log.retain(at(0), self.end).unwrap().log_start_offset;
            }
            Step::Sync => sync(&mut self.log),
            Step::Close => {
                self.log.close().unwrap();
                self.reopen(true);
            }
            Step::Crash => self.reopen(false),
        }
    }

    fn note(&mut self, base: i64, records: usize) {
        self.end = base + records as i64;
        self.batches.push((base, self.end - 1));
    }

    fn reopen(&mut self, clean: bool) {
        let recovery_point = self.log.synced_end_offset();
        self.log = open(&self.disk, Start { recovery_point, log_start_offset: self.start, clean });
    }

    fn check(&self) {
        let log = &self.log;
        // A gap before the end is not in any file: a crash or a cut batch may take it.
        let end = log.log_end_offset();
        assert!(end == self.end || self.batches.last().is_none_or(|(_, last)| end == last + 1), "{end}");
        assert_eq!(log.log_start_offset(), self.start);
        for from in self.start..end {
            let expected: Vec<_> = self.batches.iter().copied().filter(|(_, last)| *last >= from).collect();
            for max in [1, 250, 1 << 20] {
                assert_eq!(read_all(log, from, max), expected, "from {from} by {max}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn reads_give_exactly_what_was_appended(steps in prop::collection::vec(step(), 1..40)) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
        }
        model.check();
    }
}
