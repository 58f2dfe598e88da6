//! Kafka's tools in one JVM: starting one for each takes longer than all that they do.

use super::kafka::{LIMIT, kafka_home};
use super::process::Output;
use parking_lot::Mutex;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

/// What each tool's script runs.
const TOOLS: &[(&str, &str)] = &[
    ("kafka-broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("kafka-client-compatibility", "org.apache.kafka.tools.ClientCompatibilityTest"),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    ("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
    ("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("kafka-e2e-latency", "org.apache.kafka.tools.EndToEndLatency"),
    ("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
    ("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("kafka-metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
];

/// The JVM, one for all tests of this process. It ends with the process, whose end closes its stdin.
static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();

struct Server {
    requests: ChildStdin,
    replies: Receiver<(i32, String, String)>,
}

/// Runs one of Kafka's tools, named as its script without `.sh`.
pub fn shared_tool(name: &str, args: &[&str], stdin: &str) -> Output {
    let class = TOOLS.iter().find(|(tool, _)| *tool == name);
    let (_, class) = class.unwrap_or_else(|| panic!("no tool is called {name}"));
    let mut server = SERVER.get_or_init(|| Mutex::new(Server::start())).lock();
    let command = [&[*class], args].concat();
    server.requests.write_all(&request(&command, stdin)).expect("the JVM runs");
    let command = format!("{name} {}", args.join(" "));
    let reply = server.replies.recv_timeout(LIMIT);
    let (status, out, err) =
        reply.unwrap_or_else(|error| panic!("{command}: no end within {LIMIT:?}: {error}"));
    Output { command, status: ExitStatus::from_raw(status << 8), out, err }
}

impl Server {
    fn start() -> Server {
        let home = kafka_home().expect("a test without Kafka's tools is skipped before");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/ToolServer.java");
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.arg("-Dorg.apache.logging.log4j.level=OFF");
        command.arg("-cp").arg(home.join("libs/*")).arg(source);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("java can be run");
        let (requests, mut replies) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            while let Ok(one) = reply(&mut replies)
                && sender.send(one).is_ok()
            {}
            child.wait()
        });
        Server { requests, replies: receiver }
    }
}

/// The form that `ToolServer.java` describes.
fn request(command: &[&str], stdin: &str) -> Vec<u8> {
    let mut bytes = (command.len() as u32).to_be_bytes().to_vec();
    for text in command.iter().chain([&stdin]) {
        bytes.extend((text.len() as u32).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn reply(from: &mut BufReader<ChildStdout>) -> io::Result<(i32, String, String)> {
    let status = number(from)?;
    Ok((status as i32, text(from)?, text(from)?))
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn text(from: &mut impl Read) -> io::Result<String> {
    let mut bytes = vec![0; number(from)? as usize];
    from.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
