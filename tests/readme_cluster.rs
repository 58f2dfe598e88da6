//! What the README says of clusters, typed as it stands there: each command does what it is there for.

mod support;

use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::kafka::home_or;
use support::port::Port;
use support::process::{Running, poll, run, wait_until};
use support::quorum_table::{Member, members, voting_directory};
use support::wire::{Wire, batch};
use tempfile::TempDir;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
const README: &str = include_str!("../README.md");
const CHAPTER: &str = "Three nodes\n";
/// Where the README has the clients of node 1, and how much higher controllers are.
const FIRST: u16 = 9092;
const CONTROLLERS: u16 = 10_000;
/// Nodes that it speaks of; so many are there in the beginning.
const NODES: u16 = 5;
const FIRST_NODES: &[&str] = &["1", "2", "3"];
const TOPIC: &str = "orders";
const METADATA: i16 = 12;
/// The commands of an upgrade, of one node.
const UPGRADE: usize = 3;

/// What the chapter has to show.
const SHOWN: &[&str] = &[
    "a broker is forgotten",
    "a cluster is started",
    "a node is started",
    "a node is stopped",
    "a topic is made",
    "a vote is given",
    "a vote is taken",
    "all replicas are in sync",
    "leaderships go back",
    "partitions have moved",
    "partitions move",
    "the quorum is described",
];

#[test]
fn the_commands_for_clusters_do_what_the_readme_says() {
    let Some(home) = home_or("DRAVE_KAFKA_HOME does not name a directory with Apache Kafka's tools") else {
        return;
    };
    let commands = commands();
    let mut newcomer = Newcomer::new(&home);
    newcomer.begin_and_end();
    commands.iter().for_each(|command| newcomer.follow(command));
    let upgrade = commands.iter().position(|command| command == "docs/node.sh 1 stop").expect("an upgrade");
    for node in &FIRST_NODES[1..] {
        let other = format!("docs/node.sh {node} ");
        let commands = commands[upgrade..][..UPGRADE].iter();
        commands.for_each(|command| newcomer.follow(&command.replace("docs/node.sh 1 ", &other)));
    }
    assert_eq!(newcomer.shown, SHOWN.iter().copied().collect());
    assert_eq!(newcomer.voters(), FIRST_NODES);
    assert_eq!(newcomer.produce(), 1, "what was acknowledged in the beginning is still there");
}

/// The commands of the chapter.
fn commands() -> Vec<String> {
    let chapter = README.split("\n## ").find_map(|chapter| chapter.strip_prefix(CHAPTER));
    let blocks = chapter.expect("the chapter").split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let commands = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    commands.filter(|command| !command.is_empty()).map(str::to_owned).collect()
}

/// Someone with this build and Kafka's tools, who does what the README says.
struct Newcomer {
    /// Dropped first, as the nodes have their data in the folder.
    running: Vec<Running>,
    folder: TempDir,
    path: String,
    ports: Vec<Port>,
    /// The quorum as it was described last.
    described: Vec<Member>,
    shown: BTreeSet<&'static str>,
    begun: Instant,
}

impl Newcomer {
    /// Nothing is built once more: what a build leaves behind is there, and `cargo` does nothing.
    fn new(kafka: &Path) -> Newcomer {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["docs", "bin", "target/release"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for script in ["docs/node.sh", "docs/three-nodes.sh"] {
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(script), at(script)).unwrap();
        }
        let ports = format!("PORT:-{FIRST}");
        assert!(
            fs::read_to_string(at("docs/node.sh")).unwrap().contains(&ports),
            "the README names other ports"
        );
        symlink(env!("CARGO_BIN_EXE_drave"), at("target/release/drave")).unwrap();
        fs::write(at("bin/cargo"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(at("bin/cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        let own = format!("{}:{}", at("bin").display(), kafka.join("bin").display());
        let path = format!("{own}:{}", std::env::var("PATH").unwrap());
        let distances: Vec<u16> = (0..NODES).flat_map(|node| [node, CONTROLLERS + node]).collect();
        let ports = Port::reserve_at(&distances);
        let (described, shown, begun) = (vec![], BTreeSet::new(), Instant::now());
        Newcomer { running: vec![], folder, path, ports, described, shown, begun }
    }

    fn follow(&mut self, line: &str) {
        println!("{:>6.1} s $ {line}", self.begun.elapsed().as_secs_f64());
        let words: Vec<&str> = line.split_whitespace().collect();
        let shown = match words[..] {
            // tests/compose.rs does.
            ["docker", "compose", "up"] => return,
            ["echo" | "rm", ..] => return drop(self.run(line)),
            ["docs/three-nodes.sh"] => self.start(line, FIRST_NODES, "a cluster is started"),
            ["docs/node.sh", node, .., "&"] => self.start(line, &[node], "a node is started"),
            ["docs/node.sh", node, "stop"] => self.stop(line, node),
            ["kafka-topics.sh", .., "--create", "--topic", _, "--partitions", _] => self.make_topic(line),
            ["kafka-topics.sh", .., "--under-replicated-partitions"] => self.await_replicas(line),
            ["kafka-reassign-partitions.sh", .., "--execute"] => self.move_partitions(line),
            ["kafka-reassign-partitions.sh", .., file, "--verify"] => self.verify(line, file),
            ["kafka-cluster.sh", "unregister", .., "--id", id] => self.forget(line, id),
            ["kafka-metadata-quorum.sh", .., "add-controller"] => self.give_vote(line),
            ["kafka-metadata-quorum.sh", .., "describe", "--replication"] => self.describe(line),
            ["kafka-metadata-quorum.sh", .., "remove-controller", "-i", node, "-d", directory] => {
                self.take_vote(line, node, directory)
            }
            ["kafka-leader-election.sh", ..] => self.elect(line),
            _ => panic!("what this is to do is not tested"),
        };
        self.shown.insert(shown);
    }

    /// The shell that runs a line, in which only the ports are others.
    fn shell(&self, line: &str) -> Command {
        let line = line.replace(&format!(":{FIRST}"), &format!(":{}", self.ports[0].number()));
        let mut command = Command::new("sh");
        std::env::vars().filter(|(name, _)| name.starts_with("KAFKA_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        if line.starts_with("kafka-") {
            command.env("KAFKA_HEAP_OPTS", "-Xmx256m -XX:TieredStopAtLevel=1");
        }
        command.args(["-c", &line]).current_dir(&self.folder).env("PATH", &self.path).env_remove("FOLDER");
        command.env("PORT", self.ports[0].number().to_string());
        command
    }

    /// What a line prints that ends well.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        run(&mut self.shell(line), b"", LIMIT).ok()
    }

    fn begin(&mut self, line: &str, nodes: &[&str]) -> &mut Running {
        let said = self.folder.path().join(format!("said-{}", self.running.len()));
        let line = format!("exec {}", line.trim_end_matches(" &"));
        self.running.push(Running::start(&mut self.shell(&line), &said));
        let running = self.running.last_mut().unwrap();
        wait_until("the nodes say that they serve", LIMIT, || {
            assert!(!running.ended() && !running.said().contains("ended"), "a node ended");
            nodes.iter().all(|node| running.said().contains(&format!("node {node} serves")))
        });
        running
    }

    /// Ctrl-C ends what runs in the foreground.
    fn begin_and_end(&mut self) {
        self.begin("docs/three-nodes.sh", FIRST_NODES).interrupt(LIMIT);
        FIRST_NODES.iter().for_each(|node| self.has_stopped(node));
    }

    fn start(&mut self, line: &str, nodes: &[&str], shown: &'static str) -> &'static str {
        self.begin(line, nodes);
        shown
    }

    fn stop(&mut self, line: &str, node: &str) -> &'static str {
        self.run(line);
        self.has_stopped(node);
        "a node is stopped"
    }

    #[track_caller]
    fn has_stopped(&self, node: &str) {
        let log = self.folder.path().join(format!("three-nodes/node{node}.log"));
        assert!(fs::read_to_string(log).unwrap().ends_with("stopped\n"), "node {node} has not stopped");
    }

    fn make_topic(&mut self, line: &str) -> &'static str {
        assert!(self.run(line).contains(&format!("Created topic {TOPIC}.")));
        self.until("three replicas", |seen| all(seen, |one| one.isr_nodes.len() == 3));
        assert_eq!(self.produce(), 0);
        "a topic is made"
    }

    fn await_replicas(&mut self, line: &str) -> &'static str {
        wait_until("nothing is printed", LIMIT, || self.run(line).trim().is_empty());
        self.until("all in sync", |seen| all(seen, is_whole));
        "all replicas are in sync"
    }

    fn move_partitions(&mut self, line: &str) -> &'static str {
        assert!(self.run(line).contains("Successfully started partition reassignment"));
        "partitions move"
    }

    fn verify(&mut self, line: &str, file: &str) -> &'static str {
        wait_until("they have moved", LIMIT, || self.run(line).contains("is completed"));
        let wanted = self.wanted(file);
        self.until("the replicas that the file asks for", |seen| {
            first(seen).is_some_and(|one| is_whole(one) && one.replica_nodes == wanted)
        });
        "partitions have moved"
    }

    /// The replicas that a file asks for.
    fn wanted(&self, file: &str) -> Vec<BrokerId> {
        let text = fs::read_to_string(self.folder.path().join(file)).unwrap();
        let list = text.split_once("\"replicas\":[").and_then(|(_, rest)| rest.split_once(']'));
        let (list, _) = list.expect("a list of replicas");
        list.split(',').map(|id| BrokerId(id.trim().parse().unwrap())).collect()
    }

    fn forget(&mut self, line: &str, id: &str) -> &'static str {
        assert!(self.run(line).contains(&format!("Broker {id} is no longer registered")));
        self.until("it is gone", |seen| seen.brokers.iter().all(|broker| broker.node_id.0.to_string() != id));
        "a broker is forgotten"
    }

    fn give_vote(&mut self, line: &str) -> &'static str {
        let said = self.run(line);
        let added = said.split_once("Added controller ").and_then(|(_, rest)| {
            let (node, rest) = rest.split_once(" with directory id ")?;
            Some((node, rest.split_once(' ')?.0))
        });
        let (node, directory) = added.unwrap_or_else(|| panic!("{said}"));
        let has_vote = |one: &Member| one.votes && one.node == node && one.directory == directory;
        assert!(self.members().iter().any(has_vote), "{node} with {directory}: {:?}", self.members());
        "a vote is given"
    }

    fn describe(&mut self, line: &str) -> &'static str {
        self.described = members(&self.run(line));
        "the quorum is described"
    }

    /// Of the directory that had a vote when the quorum was described.
    fn take_vote(&mut self, line: &str, node: &str, placeholder: &str) -> &'static str {
        let directory = voting_directory(&self.described, node);
        self.run(&line.replace(placeholder, directory));
        let has_vote = |one: &Member| one.votes && one.directory == directory;
        assert!(!self.members().iter().any(has_vote), "{node} with {directory}: {:?}", self.members());
        "a vote is taken"
    }

    fn elect(&mut self, line: &str) -> &'static str {
        self.run(line);
        let is_back = |one: &MetadataResponsePartition| one.leader_id == one.replica_nodes[0];
        self.until("preferred leaders", |seen| all(seen, is_back));
        "leaderships go back"
    }

    fn members(&self) -> Vec<Member> {
        let servers = format!("--bootstrap-server localhost:{FIRST}");
        members(&self.run(&format!("kafka-metadata-quorum.sh {servers} describe --replication")))
    }

    fn voters(&self) -> Vec<String> {
        let voters = self.members().into_iter().filter(|one| one.votes).map(|one| one.node);
        let mut voters: Vec<String> = voters.collect();
        voters.sort();
        voters
    }

    /// Appends one record to the first partition; returns the offset that it has.
    fn produce(&self) -> i64 {
        let acknowledged = poll(LIMIT, || {
            let leader = first(&self.metadata(1)?)?.leader_id.0;
            Wire::reach(&self.address(u16::try_from(leader).ok()?)).ok()?.produce(TOPIC, 0, batch()).ok()
        });
        acknowledged.expect("a record is acknowledged")
    }

    fn address(&self, node: u16) -> String {
        format!("localhost:{}", self.ports[0].number() + node - 1)
    }

    /// What a node says of all topics, if it answers.
    fn metadata(&self, node: u16) -> Option<MetadataResponse> {
        let asked = MetadataRequest::default().with_topics(None);
        Wire::reach(&self.address(node)).ok()?.try_call(METADATA, &asked).ok()
    }

    /// Waits until the first nodes see the cluster so, but for one that is down.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&MetadataResponse) -> bool) {
        wait_until(what, LIMIT, || {
            let seen: Vec<_> = (1..=3).filter_map(|node| self.metadata(node)).collect();
            seen.len() >= 2 && seen.iter().all(&is_so)
        });
    }
}

fn partitions(seen: &MetadataResponse) -> &[MetadataResponsePartition] {
    let is_it = |name: &TopicName| name.as_str() == TOPIC;
    let topic = seen.topics.iter().find(|topic| topic.name.as_ref().is_some_and(is_it));
    topic.map_or(&[], |topic| &topic.partitions)
}

/// Whether the topic is there, and each of its partitions is so.
fn all(seen: &MetadataResponse, is_so: impl Fn(&MetadataResponsePartition) -> bool) -> bool {
    let partitions = partitions(seen);
    !partitions.is_empty() && partitions.iter().all(is_so)
}

fn first(seen: &MetadataResponse) -> Option<&MetadataResponsePartition> {
    partitions(seen).iter().find(|one| one.partition_index == 0)
}

fn is_whole(partition: &MetadataResponsePartition) -> bool {
    partition.isr_nodes.len() == partition.replica_nodes.len()
}
