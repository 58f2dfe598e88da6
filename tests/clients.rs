//! Real clients against a real broker: librdkafka, kafka-python, aiokafka and kcat.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use support::broker::Broker;
use support::kafka::skipped;
use support::process::{run, wait_until};

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

/// Runs one of the programs in `tests/clients` to its good end.
fn script(python: &Path, name: &str, broker: &str, args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = Command::new(python);
    command.arg("-B").arg(folder.join(name)).arg(broker).args(args);
    let out = run(&mut command, b"", LIMIT).ok();
    assert!(out.ends_with("ok\n"), "{out}");
    out
}

fn passes(name: &str) {
    let Some(python) = python() else { return };
    // Clients that outlive a topic would make it again by asking for it.
    let overrides = [("group.min.session.timeout.ms", "1000"), ("auto.create.topics.enable", "false")];
    let broker = Broker::start(&overrides);
    script(&python, name, &broker.address(), &[]);
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

#[test]
fn clients_outlive_a_topic_that_is_made_again() {
    passes("topics.py");
}

#[test]
fn groups_go_on_from_what_they_committed() {
    let Some(python) = python() else { return };
    let mut broker = Broker::start(&[]);
    script(&python, "commits.py", &broker.address(), &["write"]);
    broker.kill9();
    broker.restart();
    script(&python, "commits.py", &broker.address(), &["check"]);
}

const PRODUCERS: &[&str] = &["confluent-kafka", "kafka-python", "aiokafka"];
/// Records that each producer has acknowledged between two restarts.
const PROGRESS: u64 = 500;

#[test]
fn restarts_lose_double_and_reorder_nothing() {
    let Some(python) = python() else { return };
    let mut broker = Broker::start(&[]);
    let (address, folder) = (broker.address(), broker.scratch().to_owned());
    std::thread::scope(|scope| {
        let stop = OnDrop(|| std::fs::write(folder.join("stop"), "").unwrap());
        let produce = |client: &&'static str| {
            let args = [*client, folder.to_str().unwrap()];
            script(&python, "survive.py", &address, &args)
        };
        let runs: Vec<_> = PRODUCERS.iter().map(|client| scope.spawn(move || produce(client))).collect();
        for clean in [true, false, false] {
            progress(&folder, &runs);
            match clean {
                true => assert!(broker.terminate().success()),
                false => broker.kill9(),
            }
            broker.restart();
        }
        progress(&folder, &runs);
        drop(stop);
        runs.into_iter().for_each(|run| print!("{}", run.join().unwrap()));
    });
}

/// Waits until every producer has come further, or one has ended, which its run will explain.
fn progress<T>(folder: &Path, runs: &[ScopedJoinHandle<T>]) {
    let read = |client: &&str| std::fs::read_to_string(folder.join(client)).unwrap_or_default();
    let acknowledged = || PRODUCERS.iter().map(|client| read(client).parse().unwrap_or(0));
    let before: Vec<u64> = acknowledged().collect();
    wait_until("all producers are acknowledged", LIMIT, || {
        acknowledged().zip(&before).all(|(now, before)| now >= before + PROGRESS)
            || runs.iter().any(ScopedJoinHandle::is_finished)
    });
}

/// Does something at its end, also when a test fails before.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn kcat_passes_the_first_minute() {
    if Command::new("kcat").arg("-V").output().is_err() {
        return skipped("kcat is not installed");
    }
    let broker = Broker::start(&[]);
    let address = broker.address();
    let kcat = |args: &str, stdin: &str| {
        let mut command = Command::new("kcat");
        command.args(["-b", &address]).args(args.split(' '));
        run(&mut command, stdin.as_bytes(), LIMIT).ok()
    };
    kcat("-P -t greetings", "hello\nthere\n");
    assert_eq!(kcat("-C -t greetings -o beginning -e -q", ""), "hello\nthere\n");
    assert_eq!(kcat("-C -t greetings -o -1 -e -q", ""), "there\n");
    assert_eq!(kcat("-G readers -X auto.offset.reset=earliest -c 2 -q greetings", ""), "hello\nthere\n");
    assert!(kcat("-L -t greetings", "").contains("topic \"greetings\" with 1 partitions"));
}
