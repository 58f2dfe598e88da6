//! What a broker spends on the same work, beside Apache Kafka on the same machine in one run.
//!
//! `cargo bench --bench beside_kafka` (with `DRAVE_KAFKA_HOME` naming an unpacked Apache Kafka, else Drave alone).
//! The load comes from this process over raw sockets and costs next to nothing; the broker's CPU is what the kernel
//! accounts to its process. Rounds alternate between the brokers; a JVM is warmed by 2 GB before the first one counts.
//! Read ratios within a run, never one absolute figure. `DRAVE_BENCH_MB` sets the bytes of a round.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use storage::batch::{BatchBuilder, batches};
use storage::compress::Compression;

/// Clock ticks of `/proc/PID/stat` in a second, as Linux fixes it for programs.
const TICKS: f64 = 100.0;
const ROUNDS: usize = 3;
const WARM_UP_BYTES: usize = 2 << 30;

/// A broker under test: how to reach it and whose CPU to count.
struct Target {
    name: &'static str,
    address: String,
    pid: u32,
}

/// What one round of some work cost.
#[derive(Clone, Copy)]
struct Cost {
    bytes: usize,
    requests: usize,
    wall: Duration,
    cpu: f64,
}

struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let round_bytes =
        std::env::var("DRAVE_BENCH_MB").map_or(512, |mb| mb.parse().expect("a number of MB")) << 20;
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let drave = Drave::start(scratch.path());
    let kafka = Kafka::start(scratch.path());
    let targets: Vec<&Target> =
        [Some(&drave.target), kafka.as_ref().map(|kafka| &kafka.target)].into_iter().flatten().collect();
    println!("| work | broker | MB/s | requests/s | CPU s/GB | CPU µs/request |");
    println!("|---|---|---|---|---|---|");
    if let Some(kafka) = &kafka {
        produce(&kafka.target, "warm-up", 16 << 10, WARM_UP_BYTES, 5);
    }
    for (work, batch, bytes, depth) in [
        ("produce 16 KiB batches, acks=1, 5 in flight", 16 << 10, round_bytes, 5),
        ("produce 256 KiB batches, acks=1, 5 in flight", 256 << 10, round_bytes, 5),
        ("produce 1 KiB batches, acks=1, one at a time", 1 << 10, round_bytes / 64, 1),
    ] {
        compare(&targets, work, |target, round| {
            produce(target, &format!("b{batch}-{round}"), batch, bytes, depth)
        });
    }
    compare(&targets, "fetch what was produced in 16 KiB batches", |target, round| {
        fetch(target, &format!("b{}-{round}", 16 << 10))
    });
    for target in targets {
        println!("{}: {} MiB resident", target.name, resident_mib(target.pid));
    }
}

/// Runs the rounds A B A B, and prints each broker's median by CPU.
fn compare(targets: &[&Target], work: &str, run: impl Fn(&Target, usize) -> Cost) {
    let mut costs: Vec<Vec<Cost>> = targets.iter().map(|_| vec![]).collect();
    for round in 0..ROUNDS {
        for (target, costs) in targets.iter().zip(&mut costs) {
            costs.push(run(target, round));
        }
    }
    for (target, costs) in targets.iter().zip(&mut costs) {
        costs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
        print_row(work, target.name, costs[costs.len() / 2]);
    }
}

fn print_row(work: &str, name: &str, cost: Cost) {
    let (seconds, bytes) = (cost.wall.as_secs_f64(), cost.bytes as f64);
    println!(
        "| {work} | {name} | {:.0} | {:.0} | {:.2} | {:.1} |",
        bytes / 1e6 / seconds,
        cost.requests as f64 / seconds,
        cost.cpu / (bytes / 1e9),
        cost.cpu * 1e6 / cost.requests as f64,
    );
}

fn produce(target: &Target, topic: &str, batch_bytes: usize, bytes: usize, depth: usize) -> Cost {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let mut wire = Wire::connect(&target.address);
    wire.create(topic);
    let batch = batch(batch_bytes);
    let batch_bytes = batch.len();
    let partition = PartitionProduceData::default().with_records(Some(batch));
    let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    let frame = frame(9, &request);
    let requests = (bytes / batch_bytes).max(depth);
    measured(target.pid, requests * batch_bytes, requests, || {
        (0..depth).for_each(|_| wire.write(&frame));
        for done in 1..=requests {
            let answer: ProduceResponse = wire.read(9);
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            if done + depth <= requests {
                wire.write(&frame);
            }
        }
    })
}

/// Reads a topic from its start to its end.
fn fetch(target: &Target, topic: &str) -> Cost {
    use fetch_request::{FetchPartition, FetchTopic};
    let mut wire = Wire::connect(&target.address);
    let (mut offset, mut got, mut requests) = (0, 0, 0);
    let cost = measured(target.pid, 0, 0, || {
        loop {
            let partition =
                FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
            let asked = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_wait_ms(0)
                .with_min_bytes(1)
                .with_max_bytes(1 << 20)
                .with_session_epoch(-1)
                .with_topics(vec![asked]);
            wire.write(&frame(11, &request));
            let answer: FetchResponse = wire.read(11);
            let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
            if records.is_empty() {
                break;
            }
            (got, requests) = (got + records.len(), requests + 1);
            offset = batches(&records)
                .map_while(Result::ok)
                .last()
                .map_or(offset, |last| last.header.next_offset());
        }
    });
    Cost { bytes: got, requests, ..cost }
}

fn measured(pid: u32, bytes: usize, requests: usize, work: impl FnOnce()) -> Cost {
    let (cpu, begun) = (cpu_seconds(pid), Instant::now());
    work();
    Cost { bytes, requests, wall: begun.elapsed(), cpu: cpu_seconds(pid) - cpu }
}

/// One batch of about `bytes`, in records of about 1 KiB.
fn batch(bytes: usize) -> Bytes {
    const RECORD: usize = 1 << 10;
    let value = vec![b'x'; RECORD.min(bytes) - 80];
    let mut batch = BatchBuilder::new(Compression::NONE);
    (0..(bytes / RECORD).max(1)).for_each(|_| batch.push(1_700_000_000_000, None, Some(&value), &[]));
    batch.finish().expect("a batch").to_bytes()
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    header.encode(&mut body, R::header_version(version)).expect("a header");
    request.encode(&mut body, version).expect("a request");
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

impl Wire {
    fn connect(address: &str) -> Wire {
        let socket = TcpStream::connect(address).expect("a broker");
        socket.set_nodelay(true).expect("a socket");
        Wire { socket, buffer: vec![] }
    }

    fn write(&mut self, frame: &[u8]) {
        self.socket.write_all(frame).expect("the broker reads");
    }

    fn read<T: Decodable + HeaderVersion>(&mut self, version: i16) -> T {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).expect("the broker answers");
        self.buffer.resize(u32::from_be_bytes(len) as usize, 0);
        self.socket.read_exact(&mut self.buffer).expect("the broker answers");
        let mut answer = Bytes::copy_from_slice(&self.buffer);
        ResponseHeader::decode(&mut answer, T::header_version(version)).expect("a header");
        T::decode(&mut answer, version).expect("an answer")
    }

    fn create(&mut self, topic: &str) {
        let wanted =
            create_topics_request::CreatableTopic::default().with_name(name(topic)).with_num_partitions(1);
        let request = CreateTopicsRequest::default().with_topics(vec![wanted.with_replication_factor(1)]);
        self.write(&frame(5, &request.with_timeout_ms(30_000)));
        let answer: CreateTopicsResponse = self.read(5);
        assert!([0, 36].contains(&answer.topics[0].error_code), "{:?}", answer.topics[0].error_message);
        // A leader is there soon after; asking for the end of the log shows that it is.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.is_led(topic) {
            assert!(Instant::now() < deadline, "{topic} has no leader after 30 s");
        }
    }

    fn is_led(&mut self, topic: &str) -> bool {
        use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
        let asked = ListOffsetsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]);
        self.write(&frame(
            1,
            &ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]),
        ));
        self.read::<ListOffsetsResponse>(1).topics[0].partitions[0].error_code == 0
    }
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the broker runs");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the broker runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

struct Drave {
    child: Child,
    target: Target,
}

impl Drave {
    fn start(scratch: &Path) -> Drave {
        const ADDRESS: &str = "127.0.0.1:39092";
        let data = scratch.join("drave");
        let child = Command::new(env!("CARGO_BIN_EXE_drave"))
            .args(["--override", &format!("listeners=PLAINTEXT://{ADDRESS}")])
            .args(["--override", &format!("log.dirs={}", data.display())])
            .stderr(Stdio::null())
            .spawn()
            .expect("the broker starts");
        let target = Target { name: "Drave", address: ADDRESS.into(), pid: child.id() };
        await_listener(&target.address);
        Drave { child, target }
    }
}

impl Drop for Drave {
    fn drop(&mut self) {
        // It may have ended by itself; the scratch directory goes in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Kafka {
    script: PathBuf,
    dir: PathBuf,
    target: Target,
}

impl Kafka {
    fn start(scratch: &Path) -> Option<Kafka> {
        const PORT: u16 = 39192;
        let home = std::env::var_os("DRAVE_KAFKA_HOME").filter(|home| !home.is_empty())?;
        let (script, dir) = (Path::new(&home).join("bin/kafka-local.sh"), scratch.join("kafka"));
        let started = Command::new(&script)
            .arg("up")
            .arg(&dir)
            .args(["1", &PORT.to_string()])
            .stdout(Stdio::null())
            .status();
        assert!(started.expect("kafka-local.sh runs").success(), "Apache Kafka does not start");
        let pid = std::fs::read_to_string(dir.join("node1/pid")).expect("a pid file");
        let pid = pid.trim().parse().expect("a pid");
        let target = Target { name: "Apache Kafka", address: format!("127.0.0.1:{PORT}"), pid };
        Some(Kafka { script, dir, target })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // What is left of it dies with the machine; there is nobody to tell.
        let _ = Command::new(&self.script).arg("down").arg(&self.dir).status();
    }
}

fn await_listener(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {address} after 30 s");
    }
}
