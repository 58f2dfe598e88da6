//! Kafka's own kafka-dump-log.sh reads what a log has written and finds nothing wrong; damaged files it does report.
//!
//! Runs only with DRAVE_KAFKA_HOME set to the directory of a Kafka release.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use storage::batch::{BatchBuilder, EndTxn, Outcome, ProducerFields};
use storage::compress::{Codec, Compression};
use storage::disk::RealDisk;
use storage::files::FileCache;
use storage::log::{LogConfig, LogEnv, LogWriter, Start};
use storage::producers::Origin;
use storage::time::{Mono, Now, Wall};
use storage::validate::{Rules, validate};

const NOW: Now = Now { mono: Mono(0), wall: Wall(1_700_000_000_000) };
/// What the tool says of files that are not as they should be.
const COMPLAINTS: [&str; 6] = ["isvalid: false", "ismatch", "xception", "orrupt", "out of order", "is empty"];

fn kafka_home() -> Option<PathBuf> {
    let home = std::env::var_os("DRAVE_KAFKA_HOME").map(PathBuf::from);
    if home.is_none() {
        println!("skipped: DRAVE_KAFKA_HOME does not name a Kafka release");
    }
    home
}

/// Runs the tool once over all files of these kinds.
fn dump(home: &Path, dir: &Path, kinds: &[&str], options: &[&str]) -> String {
    let files: Vec<String> =
        kinds.iter().flat_map(|kind| files(dir, kind)).map(|f| f.display().to_string()).collect();
    let output = Command::new(home.join("bin/kafka-dump-log.sh"))
        .args(options)
        .args(["--files", &files.join(",")])
        .output()
        .expect("kafka-dump-log.sh runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success() || complaints(&text) > 0, "{text}");
    text
}

fn complaints(text: &str) -> usize {
    text.lines().filter(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint))).count()
}

fn files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let sorted: BTreeSet<PathBuf> =
        names.filter(|path| path.extension().is_some_and(|ext| ext == kind)).collect();
    sorted.into_iter().collect()
}

fn open(dir: &Path) -> LogWriter {
    let disk = Arc::new(RealDisk);
    let env = LogEnv { disk: disk.clone(), files: Arc::new(FileCache::new(disk, 100)) };
    let config = LogConfig { segment_bytes: 6 << 10, index_interval_bytes: 500, ..LogConfig::default() };
    LogWriter::open(env, dir.to_path_buf(), config, Start::default(), NOW).expect("a log")
}

/// A producer that appends as the leader does for a client.
struct Producer<'a> {
    log: &'a mut LogWriter,
    id: i64,
    sequence: i32,
    transactional: bool,
}

impl Producer<'_> {
    fn send(&mut self, codec: Codec, count: i32, wanted: Option<Compression>) {
        let fields = ProducerFields { id: self.id, epoch: 0, base_sequence: self.sequence };
        let mut builder = BatchBuilder::new(codec.into()).producer(fields);
        if self.transactional {
            builder = builder.transactional();
        }
        for nth in 0..count {
            let value = format!("{} {nth}", codec.name()).repeat(10);
            let key = (nth % 3 > 0).then_some(&b"key"[..]);
            let value = (nth % 4 > 0).then_some(value.as_bytes());
            builder.push(
                NOW.wall.0 + i64::from(nth) * 7 % 5,
                key,
                value,
                &[(b"h", Some(b"v")), (b"n", None)],
            );
        }
        let bytes = builder.finish().expect("a batch").to_bytes();
        let rules = Rules { compression: wanted, ..Rules::default() };
        let mut batch = validate(&bytes, &rules, NOW.wall).expect("valid");
        self.log.append(&mut batch, Origin::Client, 3, NOW).expect("appended");
        self.sequence += count;
    }
}

/// Several segments with each codec, recompression, producers, and transactions that end both ways or not at all.
/// Answers how many records were written.
fn fill(log: &mut LogWriter) -> i64 {
    log.begin_epoch(3);
    for round in 0..8 {
        for (nth, codec) in Codec::ALL.into_iter().enumerate() {
            let wanted = (round % 2 == 1).then(|| Compression::from(Codec::ALL[(nth + round) % 5]));
            let mut producer =
                Producer { log, id: nth as i64, sequence: round as i32 * 20, transactional: false };
            producer.send(codec, 20, wanted);
        }
        for (id, outcome) in [(100, Outcome::Commit), (101, Outcome::Abort), (102, Outcome::Abort)] {
            let mut producer = Producer { log, id, sequence: round as i32 * 5, transactional: true };
            producer.send(Codec::Lz4, 5, None);
            if id < 102 || round < 7 {
                let marker = EndTxn { outcome, coordinator_epoch: 4 };
                log.append_marker((id, 0), marker, false, 3, NOW).expect("a marker");
            }
        }
    }
    log.log_end_offset()
}

#[test]
fn kafka_finds_nothing_wrong() {
    let Some(home) = kafka_home() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = open(dir.path());
    let records = fill(&mut log);
    log.close().expect("closed");
    assert!(files(dir.path(), "log").len() > 3);

    let deep = dump(&home, dir.path(), &["log", "snapshot", "txnindex"], &["--deep-iteration"]);
    assert_eq!(complaints(&deep), 0, "{deep}");
    let printed = |what: &str| deep.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!(printed("| offset: ") as i64, records);
    assert!(printed("producerId: 102 ") > 0 && printed("version: 0 producerId: 101 ") == 8);

    for options in [&["--index-sanity-check"][..], &["--verify-index-only"], &[]] {
        let said = dump(&home, dir.path(), &["index", "timeindex"], options);
        assert_eq!(complaints(&said), 0, "{options:?}: {said}");
        let read = said.lines().filter(|line| line.starts_with("Dumping")).count();
        assert_eq!(read, 2 * files(dir.path(), "log").len(), "{said}");
    }
}

fn overwrite(path: &Path, at: usize, change: impl FnOnce(u8) -> u8) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] = change(bytes[at]);
    fs::File::create(path).and_then(|mut file| file.write_all(&bytes)).expect("written");
}

/// The control: were the complaints not recognised, the test above would prove nothing.
#[test]
fn kafka_reports_what_is_damaged() {
    let Some(home) = kafka_home() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = open(dir.path());
    fill(&mut log);
    log.close().expect("closed");

    // The last bytes of a record's value; an entry's offset; an entry's timestamp; a producer's state.
    overwrite(&files(dir.path(), "log")[0], 200, |byte| byte ^ 1);
    overwrite(&files(dir.path(), "index")[1], 3, |byte| byte + 1);
    overwrite(&files(dir.path(), "timeindex")[1], 7, |byte| byte + 1);
    overwrite(&files(dir.path(), "snapshot")[0], 20, |byte| byte ^ 1);
    for (kind, complaint) in
        [("log", "isvalid: false"), ("index", "ismatch"), ("timeindex", "ismatch"), ("snapshot", "orrupt")]
    {
        let said = dump(&home, dir.path(), &[kind], &[]);
        assert!(said.contains(complaint), "{kind}: {said}");
    }
}
