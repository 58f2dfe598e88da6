//! A partition directory that Apache Kafka wrote and closed (see `../golden/README.md`) opens as it is.

use std::fs;
use std::path::{Path, PathBuf};

use storage::log::{LogConfig, Start};

use crate::fixture::*;

const END: i64 = 131;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/partition")
}

/// A copy, with what was configured when it was written.
fn copied() -> Fixture {
    let fixture = Fixture::new(LogConfig { index_interval_bytes: 200, ..LogConfig::default() });
    fs::create_dir_all(&fixture.dir).unwrap();
    for entry in fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, fixture.dir.join(path.file_name().unwrap())).unwrap();
    }
    fixture
}

fn starts() -> [Start; 3] {
    [CLEAN, CRASHED, Start { recovery_point: END, ..CRASHED }]
}

#[test]
fn all_of_it_is_read() {
    for start in starts() {
        let fixture = copied();
        let log = fixture.open(start);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, END), "{start:?}");
        let mut at = 0;
        for (base, last) in read_all(&log, 0, 700) {
            assert_eq!(base, at, "{start:?}");
            at = last + 1;
        }
        assert_eq!(at, END);
        assert_eq!(log.epochs().latest().map(|e| (e.epoch, e.start_offset)), Some((0, 0)));
        let open = log.producers().get(5).and_then(|producer| producer.txn_first_offset);
        assert_eq!(open, Some(129), "{start:?}");
        assert!(!log.reader().aborted_transactions(0, END).unwrap().is_empty(), "{start:?}");
    }
}

#[test]
fn closing_it_again_leaves_the_bytes_that_kafka_wrote() {
    for start in starts() {
        let fixture = copied();
        let mut log = fixture.open(start);
        log.close().unwrap();
        for name in fixture.names() {
            let (ours, theirs) = (fs::read(fixture.dir.join(&name)).unwrap(), fs::read(golden().join(&name)));
            assert_eq!(ours, theirs.unwrap(), "{name} after {start:?}");
        }
    }
}
