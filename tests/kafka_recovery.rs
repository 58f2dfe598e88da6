//! Partitions that a broker of this build wrote are put under Apache Kafka, which finds nothing to repair in them.
//!
//! Kafka trusts nothing of what it finds: no clean-shutdown marker, recovery points of zero. A copy with one
//! flipped bit shows that it would complain.

mod support;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::broker::Broker;
use support::kafka::{kafka_home, script};
use support::port::Port;
use support::process::{Running, run, wait_until};
use support::tool_server::shared_tool;

/// Kafka's start, on a machine that does much else.
const PATIENCE: Duration = Duration::from_millis(240_000);
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// Topics of a single partition each, the second of which is damaged.
const TOPICS: &[&str] = &["whole", "damaged"];
/// Topic configuration under which the records fill some segments.
const SEGMENTS: &[&str] = &["--config", "segment.bytes=1048576"];
/// Words of a log that repairs something.
const REPAIRS: &[&str] = &["] WARN ", "] ERROR ", "corrupt", "truncat", "invalid", "could not find"];
/// Words of a dump that finds something wrong.
const WRONG: &[&str] =
    &["isvalid: false", "mismatch", "out of order", "Exception", "not found", "non consecutive"];

#[test]
fn kafka_finds_nothing_to_repair() {
    let Some(home) = kafka_home() else { return };
    let written = partitions_written_by_us();
    let dumped = dump(&written.data().join("whole-0"));
    WRONG.iter().for_each(|word| assert!(!dumped.contains(word), "{word}:\n{dumped}"));
    assert!(dumped.matches("isvalid: true").count() > 100, "{dumped}");
    let kafka = Kafka::format(&home);
    let mut first = kafka.start("first.log");
    TOPICS.iter().for_each(|topic| create(&kafka.address(), topic));
    first.terminate(PATIENCE);
    TOPICS.iter().for_each(|topic| kafka.adopt(&written.data(), topic));
    kafka.forget_what_is_safe();
    damage(&kafka.partition("damaged"));
    let dumped = dump(&kafka.partition("damaged"));
    assert!(WRONG.iter().any(|word| dumped.contains(word)), "the dump does not see the flipped bit");
    let second = kafka.start("second.log");
    assert!(!repairs(&second, "damaged").is_empty(), "Kafka does not see the flipped bit");
    assert_eq!(repairs(&second, "whole"), [""; 0]);
    let ends = ask(&kafka.address(), "kafka-get-offsets", &["--topic", "whole"]);
    assert_eq!(ends.trim(), "whole:0:15010");
    let args = ["--topic", "whole", "--num-records", "15010", "--timeout", "60000"];
    assert!(ask(&kafka.address(), "kafka-consumer-perf-test", &args).contains(" 15010, "));
}

/// Records in all codecs and in several segments, by a broker that is killed.
fn partitions_written_by_us() -> Broker {
    let mut broker = Broker::start(&[]);
    for topic in TOPICS {
        create(&broker.address(), topic);
        for codec in ["gzip", "snappy", "lz4", "zstd", "none"] {
            let codec = format!("compression.type={codec}");
            let load =
                ["--topic", topic, "--num-records", "3000", "--record-size", "300", "--throughput", "-1"];
            let args = [load.as_slice(), &["--command-property", "acks=all", &codec]].concat();
            ask(&broker.address(), "kafka-producer-perf-test", &args);
        }
        let ten = (0..10).map(|n| format!("last {n}\n")).collect::<String>();
        let args = ["--bootstrap-server", &broker.address(), "--topic", topic, "--sync"];
        shared_tool("kafka-console-producer", &args, &ten).ok();
    }
    broker.kill9();
    broker
}

fn create(address: &str, topic: &str) {
    ask(address, "kafka-topics", &[&["--create", "--topic", topic], SEGMENTS].concat());
}

fn ask(address: &str, tool: &str, args: &[&str]) -> String {
    shared_tool(tool, &[&["--bootstrap-server", address], args].concat(), "").ok()
}

/// A single node of Apache Kafka.
struct Kafka {
    home: PathBuf,
    dir: tempfile::TempDir,
    port: Port,
    controller: Port,
}

impl Kafka {
    fn format(home: &Path) -> Kafka {
        let (dir, port, controller) = (tempfile::tempdir().unwrap(), Port::reserve(), Port::reserve());
        let kafka = Kafka { home: home.to_owned(), dir, port, controller };
        std::fs::write(kafka.properties(), kafka.config()).unwrap();
        let mut format = script(home, "kafka-storage");
        format.args(["format", "-t", CLUSTER, "-c"]).arg(kafka.properties());
        run(&mut format, b"", PATIENCE).ok();
        kafka
    }

    fn config(&self) -> String {
        let (port, controller) = (self.port.number(), self.controller.number());
        format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
",
            self.data().display()
        )
    }

    /// Returns when Kafka says that it has started: its logs are recovered then.
    fn start(&self, log: &str) -> Running {
        let mut command: Command = script(&self.home, "kafka-server-start");
        let mut running = Running::start(command.arg(self.properties()), &self.dir.path().join(log));
        wait_until("Kafka starts", PATIENCE, || {
            assert!(!running.ended(), "Kafka ended");
            running.said().contains("Kafka Server started")
        });
        running
    }

    /// Gives the topic's partition what the broker has in its data directory, under Kafka's topic id.
    fn adopt(&self, data: &Path, topic: &str) {
        let partition = self.partition(topic);
        let id = std::fs::read(partition.join("partition.metadata")).unwrap();
        std::fs::remove_dir_all(&partition).unwrap();
        std::fs::create_dir(&partition).unwrap();
        for entry in std::fs::read_dir(data.join(format!("{topic}-0"))).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), partition.join(entry.file_name())).unwrap();
        }
        std::fs::write(partition.join("partition.metadata"), id).unwrap();
    }

    /// As after a crash before the first flush.
    fn forget_what_is_safe(&self) {
        std::fs::remove_file(self.data().join(".kafka_cleanshutdown")).unwrap();
        for checkpoint in ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint"] {
            std::fs::write(self.data().join(checkpoint), "0\n0\n").unwrap();
        }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn partition(&self, topic: &str) -> PathBuf {
        self.data().join(format!("{topic}-0"))
    }

    fn properties(&self) -> PathBuf {
        self.dir.path().join("server.properties")
    }
}

/// What Kafka's tool says of all files of a partition, indexes compared with their logs.
fn dump(partition: &Path) -> String {
    let files = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    let is_dumped = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| ["log", "index", "timeindex", "snapshot"].contains(&extension))
    };
    let mut files: Vec<String> = files.filter(is_dumped).map(|path| path.display().to_string()).collect();
    files.sort();
    let dumped = shared_tool("kafka-dump-log", &["--deep-iteration", "--files", &files.join(",")], "");
    dumped.out + &dumped.err
}

/// Flips a bit in the middle of the last segment.
fn damage(partition: &Path) {
    let files = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let last = logs.max().unwrap();
    let mut file = File::options().read(true).write(true).open(&last).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

/// What Kafka said of repairs in the partition of this topic.
fn repairs(kafka: &Running, topic: &str) -> Vec<String> {
    let partition = format!("{topic}-0");
    let repairs = |line: &&str| {
        let said = |word: &&str| line.contains(*word) || line.to_lowercase().contains(*word);
        line.contains(&partition) && REPAIRS.iter().any(said)
    };
    kafka.said().lines().filter(repairs).map(str::to_owned).collect()
}
