//! Real clients against a real broker: librdkafka, kafka-python, aiokafka and kcat.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::broker::Broker;
use support::kafka::skipped;
use support::process::run;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(300_000);

/// The Python that has the clients. Without it a test says that it was skipped, and is.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("DRAVE_PYTHON").map(PathBuf::from).filter(|python| python.is_file());
    if python.is_none() {
        skipped("DRAVE_PYTHON does not name a Python with Kafka clients");
    }
    python
}

/// A run of one of the programs in `tests/clients`.
fn script(python: &Path, name: &str, broker: &Broker) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = Command::new(python);
    command.arg("-B").arg(folder.join(name)).arg(broker.address());
    command
}

fn passes(name: &str) {
    let Some(python) = python() else { return };
    let broker = Broker::start(&[("group.min.session.timeout.ms", "1000")]);
    let out = run(&mut script(&python, name, &broker), b"", LIMIT).ok();
    assert!(out.ends_with("ok\n"), "{out}");
}

#[test]
fn every_client_reads_what_any_wrote_with_any_codec() {
    passes("codecs.py");
}

#[test]
fn every_client_seeks_by_time() {
    passes("seeks.py");
}

#[test]
fn large_records_and_many_partitions_suit_every_client() {
    passes("sizes.py");
}

#[test]
fn members_come_and_go() {
    passes("groups.py");
}
