//! Kafka Connect carries a real log file through a topic, byte for byte, while the broker is killed in between.

mod support;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::broker::Broker;
use support::kafka::{kafka_home, script};
use support::process::{Running, wait_until};

/// Connect loads a few hundred classes on a machine that does much else.
const PATIENCE: Duration = Duration::from_millis(240_000);
/// Text that machines keep about themselves, wherever one of these is found.
const LOGS: &[&str] =
    &["/var/log/dpkg.log", "/var/log/pacman.log", "/var/log/dnf.log", "/var/log/apt/history.log"];

#[test]
fn a_log_file_goes_through_a_topic_unchanged() {
    let Some(home) = kafka_home() else { return };
    let mut broker = Broker::start(&[]);
    let text = a_log();
    let half = text[..text.len() / 2].rfind('\n').map_or(0, |at| at + 1);
    let source = broker.scratch().join("source.log");
    let sink = broker.scratch().join("sink.log");
    std::fs::write(&source, &text[..half]).unwrap();
    let mut connect = start_connect(&home, &broker, &source, &sink);
    until_it_holds(&sink, &text[..half], &mut connect);
    broker.kill9();
    append(&source, &text[half..]);
    broker.restart();
    until_it_holds(&sink, &text, &mut connect);
    connect.terminate(PATIENCE);
}

/// A log of this machine up to its last whole line, or else one made here.
fn a_log() -> String {
    let texts = LOGS.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let made = || (0..5_000).map(|line| format!("line {line} says that all is well\n")).collect();
    let text: String = texts.max_by_key(String::len).filter(|text| text.len() > 10_000).unwrap_or_else(made);
    text[..text.rfind('\n').map_or(0, |at| at + 1)].to_owned()
}

fn append(path: &Path, text: &str) {
    let mut file: File = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn until_it_holds(sink: &Path, text: &str, connect: &mut Running) {
    wait_until("all lines reach the sink", PATIENCE, || {
        assert!(!connect.ended(), "Connect ended");
        std::fs::metadata(sink).is_ok_and(|sink| sink.len() >= text.len() as u64)
    });
    assert!(std::fs::read(sink).unwrap() == text.as_bytes(), "the sink differs from the source");
}

fn start_connect(home: &Path, broker: &Broker, source: &Path, sink: &Path) -> Running {
    let dir = broker.scratch();
    let worker = format!(
        "bootstrap.servers={}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={}
listeners=http://127.0.0.1:0
plugin.discovery=service_load
",
        broker.address(),
        dir.join("connect.offsets").display(),
    );
    let worker = write(dir, "worker.properties", &worker);
    let reader = write(dir, "reader.properties", &connector("FileStreamSource", "topic=lines", source));
    let writer = write(dir, "writer.properties", &connector("FileStreamSink", "topics=lines", sink));
    let mut command = script(home, "connect-standalone");
    Running::start(command.arg(worker).arg(reader).arg(writer), &dir.join("connect.log"))
}

fn connector(class: &str, topic: &str, file: &Path) -> String {
    format!("name={class}\nconnector.class={class}\ntasks.max=1\n{topic}\nfile={}\n", file.display())
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
