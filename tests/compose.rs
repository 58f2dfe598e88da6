//! The cluster of `docker-compose.yml` as it stands: clients of this machine lose nothing, whatever happens to containers.

mod support;

use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use parking_lot::Mutex;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::kafka::{home_or, skipped};
use support::process::{poll, run, wait_until};
use support::quorum_table::{members, voting_directory};
use support::survivors::{self, Survivors};
use support::wire::{Wire, batch};
use tempfile::NamedTempFile;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(120_000);
const METADATA: i16 = 12;
const IMAGE: &str = "drave";
const NODES: [i32; 3] = [1, 2, 3];

/// It takes minutes, the ports that the file names, and a docker engine: whoever wants that says so.
const ASKED: &str = "DRAVE_COMPOSE";
/// The ports are there once.
static PORTS: Mutex<()> = Mutex::new(());
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml");
const SMALL_DISKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compose/small-disks.yml");

/// How to run Compose, where that is asked for and can be done.
fn compose() -> Option<&'static [&'static str]> {
    let busy = || NODES.map(port).into_iter().find(|port| TcpListener::bind(("0.0.0.0", *port)).is_err());
    let found = match std::env::var_os(ASKED) {
        None => Err(format!("{ASKED} is not set: it runs docker-compose.yml for minutes")),
        Some(_) => {
            Compose::command().ok_or("there is no docker engine with docker compose or docker-compose".into())
        }
    };
    let free = found.and_then(|found| match busy() {
        Some(port) => Err(format!("port {port} is busy")),
        None => Ok(found),
    });
    free.inspect_err(|why| skipped(why)).ok()
}

#[test]
fn clients_lose_double_and_reorder_nothing_while_containers_go() {
    let _alone = PORTS.lock();
    let Some(compose) = compose() else { return };
    let Some(python) = survivors::python() else {
        return skipped("DRAVE_PYTHON does not name a Python with Kafka clients");
    };
    let cluster = Compose::up(compose, &[FILE, SMALL_DISKS]);
    cluster.keep_disks();
    let survivors = Survivors::start(&python, &NODES.map(address).join(","));
    for (name, mishap) in MISHAPS {
        survivors.endure(name, || mishap(&cluster));
    }
    survivors.end();
}

#[test]
fn volumes_outlive_containers_and_a_lost_one_is_made_up_for() {
    let _alone = PORTS.lock();
    let Some(compose) = compose() else { return };
    let cluster = Compose::up(compose, &[FILE]);
    cluster.create_topic(KEPT);
    assert_eq!(cluster.produce(), 0);
    for (offset, commands) in [(1, [&["stop"][..], &["start"]]), (2, [&["down"], &["up", "--detach"]])] {
        commands.iter().for_each(|command| cluster.compose(command));
        cluster.all_in_sync();
        assert_eq!(cluster.produce(), offset, "what was acknowledged is still there");
    }
    cluster.lose_volume(LOST);
    cluster.all_in_sync();
    assert_eq!(cluster.produce(), 3);
    let Some(home) = home_or("the vote of who lost its volume, since DRAVE_KAFKA_HOME names no Apache Kafka")
    else {
        return;
    };
    cluster.follow_the_file(&home);
    // With the lost vote among three these two could decide nothing.
    cluster.docker("kill", other(LOST));
    cluster.create_topic("decided-by-two");
}

/// In docker-compose.yml, for what is known only then.
const PLACEHOLDER: &str = "LOST-DIRECTORY-ID";
/// The node that loses its volume, and a topic that is kept nevertheless.
const LOST: i32 = 2;
const KEPT: &str = "survive-volumes";

type Mishap = (&'static str, fn(&Compose));

const MISHAPS: &[Mishap] = &[
    ("nothing", |cluster| cluster.all_in_sync()),
    ("a leader dies", |cluster| {
        let leads = cluster.leader();
        cluster.docker("kill", leads);
        cluster.until_other_leader(leads);
        cluster.docker("start", leads);
        cluster.all_in_sync();
    }),
    ("the controller dies", |cluster| {
        let decides = cluster.controller();
        cluster.docker("kill", decides);
        cluster.until_other_controller(decides);
        cluster.docker("start", decides);
        cluster.all_in_sync();
    }),
    ("a leader stands still until it is replaced", |cluster| {
        let leads = cluster.leader();
        cluster.pause(leads);
        cluster.until_other_leader(leads);
        cluster.docker("unpause", leads);
        cluster.all_in_sync();
    }),
    ("a leader is cut off until it is replaced", |cluster| {
        let leads = cluster.leader();
        cluster.cut(leads);
        cluster.until_other_leader(leads);
        cluster.join(leads);
        cluster.all_in_sync();
    }),
    ("the controller is cut off until it is replaced", |cluster| {
        let decides = cluster.controller();
        cluster.cut(decides);
        cluster.until_other_controller(decides);
        cluster.join(decides);
        cluster.all_in_sync();
    }),
    ("each is restarted in turn", |cluster| {
        for node in NODES {
            cluster.docker("restart", node);
            cluster.all_in_sync();
        }
    }),
    ("one is made anew and has another address", |cluster| {
        let node = cluster.leader();
        let before = cluster.ip(node);
        cluster.compose(&["rm", "--force", "--stop", &service(node)]);
        cluster.take_the_free_address();
        cluster.compose(&["up", "--detach", &service(node)]);
        assert_ne!(cluster.ip(node), before);
        cluster.all_in_sync();
    }),
    ("a disk is full", |cluster| {
        cluster.put_ballast(FULL, MORE_THAN_FITS);
        cluster.until(other(FULL), "others go on without it", |seen| {
            seen.topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .all(|one| goes_on_without(one, FULL))
                .then_some(())
        });
    }),
    ("it has room again, and the engine starts the node", |cluster| {
        cluster.put_ballast(FULL, 0);
        cluster.all_in_sync();
    }),
];

/// The node whose disk becomes full.
const FULL: i32 = 2;
/// Bytes: `tests/compose/small-disks.yml` says what does.
const MORE_THAN_FITS: u64 = 1 << 30;

/// Where clients of this machine reach a node.
fn port(node: i32) -> u16 {
    9091 + node as u16
}

fn address(node: i32) -> String {
    format!("localhost:{}", port(node))
}

fn service(node: i32) -> String {
    format!("node{node}")
}

/// Another node than `one`.
fn other(one: i32) -> i32 {
    one % 3 + 1
}

/// Runs a program that must end well; returns what it printed.
#[track_caller]
fn ok(program: &str, args: &[&str]) -> String {
    run(Command::new(program).args(args), b"", LIMIT).ok().trim().to_owned()
}

/// The containers, network and volumes of a project of the test's own. All of it goes with this.
struct Compose {
    command: &'static [&'static str],
    project: String,
    files: &'static [&'static str],
    /// The image that had the name before, if any. It gets the name back.
    image: String,
}

impl Compose {
    /// How this machine runs Compose, where there is an engine to run it on.
    fn command() -> Option<&'static [&'static str]> {
        let works = |command: &[&str]| {
            let out = Command::new(command[0]).args(&command[1..]).output();
            out.is_ok_and(|out| out.status.success())
        };
        let known: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        let found = known.into_iter().find(|command| works(&[command, &["version"][..]].concat()));
        found.filter(|_| works(&["docker", "info"]))
    }

    fn up(command: &'static [&'static str], files: &'static [&'static str]) -> Compose {
        let image = ok("docker", &["images", "--quiet", IMAGE]);
        let project = format!("drave-test-{}", std::process::id());
        let cluster = Compose { command, project, files, image };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compose/image.sh");
        ok("sh", &[script, env!("CARGO_BIN_EXE_drave")]);
        cluster.compose(&["up", "--detach"]);
        wait_until("all are healthy", LIMIT, || {
            cluster.containers(&["--filter", "health=healthy"]).lines().count() == NODES.len()
        });
        cluster
    }

    /// A node is made anew without what it had.
    fn lose_volume(&self, node: i32) {
        self.compose(&["rm", "--force", "--stop", &service(node)]);
        ok("docker", &["volume", "rm", &format!("{}_{}", self.project, service(node))]);
        self.compose(&["up", "--detach", &service(node)]);
    }

    /// Types what docker-compose.yml has for a node that lost its volume.
    fn follow_the_file(&self, kafka: &Path) {
        let text = std::fs::read_to_string(FILE).unwrap();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
        let commands = lines.join("\n").replace("\\\n", " ");
        let (folder, lost) = (tempfile::tempdir().unwrap(), LOST.to_string());
        let mut described = vec![];
        for command in commands.lines() {
            let directory = || voting_directory(&described, &lost).to_owned();
            let command = match command.contains(PLACEHOLDER) {
                true => command.replace(PLACEHOLDER, &directory()),
                false => command.to_owned(),
            };
            described.extend(members(&self.shell(&command, folder.path(), kafka)));
        }
        let describe = commands.lines().find(|line| line.ends_with("describe --replication"));
        let left = members(&self.shell(describe.expect("the quorum is described"), folder.path(), kafka));
        let voters = left.iter().filter(|one| one.votes).count();
        let gone = voting_directory(&described, &lost);
        assert!(voters == NODES.len() && left.iter().all(|one| one.directory != gone), "{left:?}");
    }

    /// What a line for a shell prints that ends well.
    fn shell(&self, line: &str, folder: &Path, kafka: &Path) -> String {
        let line = line.replace("docker compose", &self.command.join(" "));
        let path = format!("{}:{}", kafka.join("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(folder).env("PATH", path);
        shell.env("COMPOSE_FILE", FILE).env("COMPOSE_PROJECT_NAME", &self.project);
        run(&mut shell, b"", LIMIT).ok()
    }

    /// Makes a topic, which only a majority of the voters can. Those that are down are not asked.
    fn create_topic(&self, name: &str) {
        let made = poll(LIMIT, || {
            let node = NODES.into_iter().find(|node| metadata(*node).is_some())?;
            std::panic::catch_unwind(|| Wire::connect(&address(node)).create_topic(name, 1)).ok()
        });
        assert!(made.is_some(), "no topic is made");
    }

    /// Appends a record to the topic that is kept; returns its offset.
    fn produce(&self) -> i64 {
        let acknowledged = poll(LIMIT, || {
            let leader = leader(&metadata(1)?)?;
            Wire::reach(&address(leader)).ok()?.produce(KEPT, 0, batch()).ok()
        });
        acknowledged.expect("a record is acknowledged")
    }

    fn keeper(&self) -> String {
        format!("{}-keeper", self.project)
    }

    /// A stranger has all disks, which keep what is on them no longer than someone has them.
    fn keep_disks(&self) {
        let disks = NODES.map(|node| format!("--volume={}_{}:/disks/{node}", self.project, service(node)));
        let disks: Vec<&str> = disks.iter().map(String::as_str).collect();
        ok("docker", &[&["run", "--detach", "--name", &self.keeper()], &disks[..], &[IMAGE]].concat());
    }

    /// Has so many bytes lie beside a node's data, or as many as fit.
    fn put_ballast(&self, node: i32, bytes: u64) {
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        let (from, to) =
            (file.path().display().to_string(), format!("{}:/disks/{node}/ballast", self.keeper()));
        let copied = run(Command::new("docker").args(["cp", &from, &to]), b"", LIMIT);
        assert_eq!(copied.status.success(), bytes == 0, "{copied}");
    }

    #[track_caller]
    fn compose(&self, args: &[&str]) {
        let command = self.on_the_file(args);
        run(Command::new(&command[0]).args(&command[1..]), b"", LIMIT).ok();
    }

    /// The command line that does something to the project.
    fn on_the_file(&self, args: &[&str]) -> Vec<String> {
        let files: Vec<&str> = self.files.iter().flat_map(|file| ["--file", *file]).collect();
        let own = ["--project-name", &self.project];
        [self.command, &own, &files, args].concat().into_iter().map(str::to_owned).collect()
    }

    /// Does something to the container of a node.
    #[track_caller]
    fn docker(&self, what: &str, node: i32) {
        ok("docker", &[what, &self.container(node)]);
    }

    /// The engine may fail to freeze a process while the machine is busy.
    fn pause(&self, node: i32) {
        let pause = || run(Command::new("docker").args(["pause", &self.container(node)]), b"", LIMIT);
        wait_until("a container stands still", LIMIT, || pause().status.success());
    }

    fn container(&self, node: i32) -> String {
        self.containers(&["--filter", &format!("label=com.docker.compose.service={}", service(node))])
    }

    fn containers(&self, filters: &[&str]) -> String {
        let own = format!("label=com.docker.compose.project={}", self.project);
        ok("docker", &[&["ps", "--all", "--quiet", "--filter", &own], filters].concat())
    }

    fn network(&self) -> String {
        format!("{}_drave", self.project)
    }

    fn ip(&self, node: i32) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        ok("docker", &["inspect", "--format", format, &self.container(node)])
    }

    fn cut(&self, node: i32) {
        ok("docker", &["network", "disconnect", &self.network(), &self.container(node)]);
    }

    /// Undoes `cut`, with the name by which the others know the node.
    fn join(&self, node: i32) {
        let (network, container) = (self.network(), self.container(node));
        ok("docker", &["network", "connect", "--alias", &service(node), &network, &container]);
    }

    fn guest(&self) -> String {
        format!("{}-guest", self.project)
    }

    /// A stranger moves in where a node was.
    fn take_the_free_address(&self) {
        ok("docker", &["run", "--detach", "--name", &self.guest(), "--network", &self.network(), IMAGE]);
    }

    /// Waits until a node sees the cluster as `wanted` has it; returns what that found.
    fn until<T>(&self, node: i32, what: &str, wanted: impl Fn(&MetadataResponse) -> Option<T>) -> T {
        let found = poll(LIMIT, || wanted(&metadata(node)?));
        found.unwrap_or_else(|| panic!("node {node}: {what}: {:?}", metadata(node)))
    }

    fn leader(&self) -> i32 {
        self.until(1, "a leader", leader)
    }

    fn until_other_leader(&self, before: i32) {
        self.until(other(before), "another leader", |seen| leader(seen).filter(|leader| *leader != before));
    }

    fn controller(&self) -> i32 {
        self.until(1, "a controller", controller)
    }

    fn until_other_controller(&self, before: i32) {
        let wanted = |seen: &MetadataResponse| controller(seen).filter(|id| *id != before);
        self.until(other(before), "another controller", wanted);
    }

    /// Waits until every node sees all copies of all partitions in sync.
    fn all_in_sync(&self) {
        for node in NODES {
            self.until(node, "all in sync", |seen| {
                let mut partitions = seen.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.all(|partition| partition.isr_nodes.len() == NODES.len()).then_some(())
            });
        }
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if std::thread::panicking() {
            NODES
                .iter()
                .for_each(|node| attempt(&["docker", "logs", "--tail", "200", &self.container(*node)]));
        }
        // Network and disks outlive none of their guests.
        let guests = [self.guest(), self.keeper()];
        let _ = Command::new("docker").args(["rm", "--force", "--volumes"]).args(guests).output();
        let down = self.on_the_file(&["down", "--volumes"]);
        attempt(&down.iter().map(String::as_str).collect::<Vec<_>>());
        attempt(&["docker", "rmi", IMAGE]);
        if !self.image.is_empty() {
            attempt(&["docker", "tag", &self.image, IMAGE]);
        }
    }
}

/// Runs a program of the cleaning up, in which nothing keeps the rest from being done. What it says is shown if it fails, or
/// the test did.
fn attempt(command: &[&str]) {
    let out = run(Command::new(command[0]).args(&command[1..]), b"", LIMIT);
    if !out.status.success() || std::thread::panicking() {
        eprintln!("{out}");
    }
}

/// What a node says of all topics, if it answers.
fn metadata(node: i32) -> Option<MetadataResponse> {
    Wire::reach(&address(node)).ok()?.try_call(METADATA, &MetadataRequest::default().with_topics(None)).ok()
}

/// Who leads the first partition that a producer writes to.
fn leader(seen: &MetadataResponse) -> Option<i32> {
    let wanted = |name: &str| name.starts_with("survive-");
    let topic = seen.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|name| wanted(name)))?;
    let first = topic.partitions.iter().find(|partition| partition.partition_index == 0)?;
    Some(first.leader_id.0).filter(|id| *id > 0)
}

fn goes_on_without(partition: &MetadataResponsePartition, node: i32) -> bool {
    ![-1, node].contains(&partition.leader_id.0) && !partition.isr_nodes.contains(&BrokerId(node))
}

fn controller(seen: &MetadataResponse) -> Option<i32> {
    Some(seen.controller_id.0).filter(|id| *id > 0)
}
