//! Clients that mean no good, against a real process: each gets an error or a close, and nobody else notices.

mod support;

use bytes::{Bytes, BytesMut};
use drave::api::ROUTES;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Encodable;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use storage::batch::BatchBuilder;
use storage::compress::{Codec, Compression};
use support::broker::Broker;
use support::process::poll;
use support::wire::{Wire, batch, batch_of, bytes_of, text};

const TOPIC: &str = "bystander";
const MIB: usize = 1 << 20;
/// `queued.max.request.bytes`, and `socket.request.max.bytes`, which must not be more.
const BUDGET: usize = 32 * MIB;
/// Resident memory at its highest: the budget, its reserve and one frame over each, and a process that has just begun.
const PEAK: usize = 160 * MIB;
const PATIENCE: Duration = Duration::from_millis(30_000);

/// A broker, and a client of it that wants to be served whatever others do.
struct Scene {
    broker: Broker,
    bystander: Wire,
    produced: i64,
}

impl Scene {
    fn begin(overrides: &[(&str, &str)]) -> Scene {
        let budget = BUDGET.to_string();
        let bounds =
            [("queued.max.request.bytes", budget.as_str()), ("socket.request.max.bytes", budget.as_str())];
        let broker = Broker::start(&[&bounds, overrides].concat());
        let mut bystander = Wire::connect(&broker.address());
        bystander.create_topic(TOPIC, 1);
        Scene { broker, bystander, produced: 0 }
    }

    fn attacker(&self) -> Wire {
        Wire::connect(&self.broker.address())
    }

    /// The bystander is served, with the offset that it must get.
    #[track_caller]
    fn served(&mut self, after: &str) {
        let begun = Instant::now();
        let offset = self.bystander.produce(TOPIC, 0, batch()).unwrap_or_else(|e| panic!("{after}: {e}"));
        assert_eq!(offset, self.produced, "{after}");
        self.produced += 1;
        assert!(begun.elapsed() < PATIENCE, "{after}: served after {:?}", begun.elapsed());
    }

    #[track_caller]
    fn bounded(&self) {
        let peak = self.peak();
        println!("peak of resident memory: {} MiB", peak / MIB);
        assert!(peak < PEAK, "{} MiB were resident", peak / MIB);
    }

    fn peak(&self) -> usize {
        let path = format!("/proc/{}/status", self.broker.pid().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

/// Whether the broker closes the connection, whatever it says before.
fn closed(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    match std::io::copy(socket, &mut std::io::sink()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn frame(len: i32, bytes: &[u8]) -> Vec<u8> {
    [&len.to_be_bytes(), bytes].concat()
}

#[test]
fn garbage_costs_its_own_connection() {
    let mut scene = Scene::begin(&[]);
    let cases: &[(&str, Vec<u8>)] = &[
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("no length", frame(0, b"")),
        ("a negative length", frame(-1, b"")),
        ("the largest length", frame(i32::MAX, b"\0\0\0\x09\0\0\0\x01")),
        ("a length over the limit", frame(BUDGET as i32 + 1, b"\0\0\0\x09\0\0\0\x01")),
        ("metadata of 32 MiB", frame(BUDGET as i32, b"\0\x03\0\x09\0\0\0\x01")),
        ("one byte", frame(1, b"\0")),
        ("half a header", frame(4, b"\0\x03\0\x09")),
        ("an unknown API", frame(10, b"\x7f\x7f\0\x01\0\0\0\x01\xff\xff")),
        ("a negative API", frame(10, b"\xff\xfe\0\x01\0\0\0\x01\xff\xff")),
        ("a client id that is not there", frame(10, b"\0\x03\0\x09\0\0\0\x01\x7f\xff")),
        ("a client id of length -2", frame(10, b"\0\x03\0\x09\0\0\0\x01\xff\xfe")),
        ("endless tags", frame(15, b"\0\x03\0\x09\0\0\0\x01\xff\xff\xff\xff\xff\xff\x0f")),
        ("an array of 2^31 topics", frame(14, b"\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff")),
    ];
    for (name, bytes) in cases {
        let mut socket = scene.attacker().socket;
        socket.write_all(bytes).unwrap();
        assert!(closed(&mut socket), "{name} is not closed");
        scene.served(name);
    }
    scene.bounded();
}

#[test]
fn bodies_that_lie_harm_nobody_at_any_version() {
    let mut scene = Scene::begin(&[]);
    for route in ROUTES {
        for version in route.min..=route.max {
            for pattern in [[0xff_u8; 64], [0x7f; 64], [0x00; 64], [0x01; 64]] {
                let header = RequestHeader::default()
                    .with_request_api_key(route.key)
                    .with_request_api_version(version);
                let kind = ApiKey::try_from(route.key).unwrap();
                let mut bytes = BytesMut::new();
                header.encode(&mut bytes, kind.request_header_version(version)).unwrap();
                bytes.extend_from_slice(&pattern);
                let mut wire = scene.attacker();
                wire.frame(&bytes).unwrap();
                wire.socket.shutdown(Shutdown::Write).unwrap();
                assert!(closed(&mut wire.socket), "API {} v{version} with {:#x}", route.key, pattern[0]);
            }
        }
        scene.served(&format!("API {}", route.key));
    }
    scene.bounded();
}

#[test]
fn claims_of_large_frames_keep_nobody_out() {
    let mut scene = Scene::begin(&[]);
    let claim = frame(BUDGET as i32, b"\0\0\0\x0c\0\0\0\x01\xff\xff");
    let mut held = vec![];
    for _ in 0..300 {
        let mut socket = scene.attacker().socket;
        socket.write_all(&claim).unwrap();
        socket.write_all(&vec![0; 8 * 1024]).unwrap();
        held.push(socket);
    }
    scene.served("300 claims of 32 MiB");
    scene.bounded();
}

#[test]
fn clients_that_never_read_are_not_answered_for_ever() {
    let mut scene = Scene::begin(&[]);
    scene.attacker().create_topic("wide", 500);
    let mut held = vec![];
    for _ in 0..10 {
        let mut wire = scene.attacker();
        wire.socket.set_nonblocking(true).unwrap();
        // All topics, again and again, until nobody takes it any longer.
        let request = frame(14, b"\0\x03\0\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff").repeat(200_000);
        let blocked = poll(PATIENCE, || match wire.socket.write(&request) {
            Ok(_) => None,
            Err(error) => Some(error.kind()),
        });
        assert_eq!(blocked, Some(ErrorKind::WouldBlock), "the broker reads on and on");
        held.push(wire);
    }
    scene.served("10 clients that never read");
    scene.bounded();
}

#[test]
fn a_client_that_reads_slowly_gets_what_is_there() {
    let mut scene = Scene::begin(&[("message.max.bytes", "8388608")]);
    let value = vec![7; 4 * MIB];
    let mut wire = scene.attacker();
    wire.create_topic("large", 1);
    (0..4).for_each(|offset| assert_eq!(wire.produce("large", 0, batch_of(&value)).unwrap(), offset));
    let mut slow = scene.attacker();
    slow.send(4, &fetch("large")).unwrap();
    let mut front = [0; 100];
    slow.socket.read_exact(&mut front).unwrap();
    scene.served("a client that reads slowly");
    let len = u32::from_be_bytes(front[..4].try_into().unwrap()) as usize;
    let mut rest = vec![0; len + 4 - front.len()];
    slow.socket.read_exact(&mut rest).unwrap();
    assert!(len > 4 * MIB && rest[len - 1000..len - 900].iter().all(|byte| *byte == 7));
    scene.bounded();
}

fn fetch(topic: &str) -> FetchRequest {
    let partition = fetch_request::FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(0)
        .with_partition_max_bytes(100 << 20);
    let topic = fetch_request::FetchTopic::default()
        .with_topic(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(1000)
        .with_min_bytes(1)
        .with_max_bytes(100 << 20)
        .with_topics(vec![topic])
}

/// One client for each thread, and one more.
#[test]
fn many_bombs_in_one_request_leave_others_their_turn() {
    let mut scene = Scene::begin(&[]);
    scene.attacker().create_topic("bombs", 10);
    let mut bomb = BatchBuilder::new(Compression { codec: Codec::Zstd, ..Compression::NONE });
    bomb.push(1_000, None, Some(&vec![0; 200 * MIB]), &[]);
    let request = produce("bombs", 10, &bytes_of(&bomb.finish().unwrap()));
    let threads = std::thread::available_parallelism().unwrap().get();
    let mut attackers: Vec<Wire> = (0..=threads).map(|_| scene.attacker()).collect();
    attackers.iter_mut().for_each(|wire| wire.send(9, &request).unwrap());
    scene.served("many bombs");
    for wire in &mut attackers {
        wire.socket.set_nonblocking(true).unwrap();
        let answered = wire.socket.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(answered, Err(ErrorKind::WouldBlock), "the bystander had to wait for the last bomb");
    }
}

fn produce(topic: &str, partitions: i32, records: &Bytes) -> ProduceRequest {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let data = |index| PartitionProduceData::default().with_index(index).with_records(Some(records.clone()));
    let data = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_partition_data((0..partitions).map(data).collect());
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

#[test]
fn a_small_batch_that_unpacks_to_much_stays_small() {
    let mut scene = Scene::begin(&[]);
    let zeros = vec![0; 300 * MIB];
    let mut wire = scene.attacker();
    wire.create_topic("bombs", 1);
    // The first is within what one batch may unpack to, and only passed through.
    for (codec, size, expected) in
        [(Codec::Gzip, 200 * MIB, Ok(0)), (Codec::Zstd, 300 * MIB, Err("error code 87".to_owned()))]
    {
        let mut bomb = BatchBuilder::new(Compression { codec, ..Compression::NONE });
        bomb.push(1_000, None, Some(&zeros[..size]), &[]);
        let bomb = bytes_of(&bomb.finish().unwrap());
        let outcome = wire.produce("bombs", 0, bomb).map_err(|error| error.to_string());
        assert_eq!(outcome, expected, "{codec:?}");
        scene.served("a bomb");
    }
    scene.bounded();
}
