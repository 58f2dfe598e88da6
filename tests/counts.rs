//! What a request costs in things that can be counted, and must not grow unnoticed: allocations, wake-ups of threads and
//! system calls. Times depend on the machine and are measured in `benches/`; these do not.

mod support;

use bytes::{Bytes, BytesMut};
use drave::broker::Broker as Node;
use drave::config::{Args, load};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Request};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::broker::Broker;
use support::kafka::skipped;
use support::port::Port;
use support::process::{Running, wait_until};
use support::wire::{Wire, batch_of, text};

const TOPIC: &str = "counted";
const LIMIT: Duration = Duration::from_millis(30_000);
/// Requests that are counted. What a broker does by itself meanwhile disappears among them.
const COUNTED: usize = 2_000;
/// Requests before those: what is made once is made.
const BEFORE: usize = 300;

/// One kind of request, and the most that one of them may cost.
struct Kind {
    name: &'static str,
    frame: fn() -> Bytes,
    /// Requests under way at a time.
    ahead: usize,
    allocations: f64,
    /// Times that a thread of the broker was woken.
    wakes: f64,
    /// System calls by name. There are no others.
    calls: &'static [(&'static str, f64)],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "metadata of a topic",
        frame: metadata,
        ahead: 1,
        allocations: 17.0,
        wakes: 1.0,
        calls: &[("recvfrom", 1.0), ("sendmsg", 1.0), ("epoll_wait", 1.0)],
    },
    Kind {
        name: "a record of 1 KiB",
        frame: one_record,
        ahead: 1,
        allocations: 12.0,
        wakes: 1.0,
        calls: &[("recvfrom", 1.0), ("sendmsg", 1.0), ("epoll_wait", 1.0), ("pwritev", 1.0)],
    },
    Kind {
        name: "a batch of 16 KiB, five ahead",
        frame: many_records,
        ahead: 5,
        allocations: 11.0,
        wakes: 1.0,
        calls: &[("recvfrom", 0.5), ("sendmsg", 0.5), ("epoll_wait", 0.5), ("pwritev", 1.0)],
    },
    Kind {
        name: "a fetch of one batch",
        frame: fetch,
        ahead: 1,
        allocations: 18.0,
        wakes: 1.0,
        calls: &[
            ("recvfrom", 1.0),
            ("sendmsg", 1.0),
            ("epoll_wait", 1.0),
            ("sendfile", 1.0),
            ("preadv2", 1.0),
        ],
    },
];

fn metadata() -> Bytes {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(TOPIC))));
    frame(9, &MetadataRequest::default().with_topics(Some(vec![topic])))
}

fn one_record() -> Bytes {
    produce(&[b'v'; 1_024])
}

fn many_records() -> Bytes {
    produce(&[b'v'; 16 * 1_024])
}

fn produce(value: &[u8]) -> Bytes {
    let data = PartitionProduceData::default().with_records(Some(batch_of(value)));
    let data = TopicProduceData::default().with_name(TopicName(text(TOPIC))).with_partition_data(vec![data]);
    frame(9, &ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![data]))
}

fn fetch() -> Bytes {
    let partition = FetchPartition::default().with_partition_max_bytes(1);
    let asked = FetchTopic::default().with_topic(TopicName(text(TOPIC))).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1)
        .with_session_epoch(-1)
        .with_topics(vec![asked]);
    frame(11, &request)
}

/// A request with its length in front.
fn frame<R: Request>(version: i16, request: &R) -> Bytes {
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).unwrap();
    request.encode(&mut body, version).unwrap();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat().into()
}

/// A client with a topic that holds a batch.
struct Client {
    wire: Wire,
}

impl Client {
    fn of(address: &str) -> Client {
        let mut wire = Wire::connect(address);
        wire.create_topic(TOPIC, 1);
        wire.produce(TOPIC, 0, batch_of(&[b'v'; 1_024])).unwrap();
        Client { wire }
    }

    /// Sends `count` requests of a kind, each once an earlier one is answered.
    fn ask(&mut self, kind: &Kind, count: usize) {
        let frame = (kind.frame)();
        for sent in 0..count + kind.ahead {
            if sent >= kind.ahead {
                self.wire.receive().unwrap_or_else(|error| panic!("{}: {error}", kind.name));
            }
            if sent < count {
                self.wire.socket.write_all(&frame).unwrap();
            }
        }
    }

    /// What each of many requests adds to what `count` tells.
    fn each(&mut self, kind: &Kind, mut count: impl FnMut() -> usize) -> f64 {
        self.ask(kind, BEFORE);
        let before = count();
        self.ask(kind, COUNTED);
        (count() - before) as f64 / COUNTED as f64
    }
}

/// The system's allocator, which counts what the broker's threads ask it for.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count_allocation() {
    if IS_COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation();
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_allocation();
        // SAFETY: as the caller vouches.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A broker in this process, whose threads are counted.
fn within_this_process(port: &Port, dir: &Path) -> (tokio::runtime::Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| IS_COUNTED.set(true))
        .enable_all()
        .build()
        .unwrap();
    let overrides = [
        ("listeners", format!("PLAINTEXT://127.0.0.1:{}", port.number())),
        ("log.dirs", dir.display().to_string()),
    ];
    let overrides = overrides.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let loaded = load(&Args { overrides, ..Args::default() }, []).unwrap();
    let node = runtime.block_on(Node::start(loaded)).unwrap_or_else(|error| panic!("{error}"));
    (runtime, node)
}

#[test]
fn a_request_allocates_no_more_than_before() {
    let (port, dir) = (Port::reserve(), tempfile::tempdir().unwrap());
    let (runtime, node) = within_this_process(&port, dir.path());
    let mut client = Client::of(&format!("127.0.0.1:{}", port.number()));
    let mut found = Found::default();
    for kind in KINDS {
        let each = client.each(kind, || ALLOCATIONS.load(Ordering::Relaxed));
        found.add(kind, "allocations", each, kind.allocations);
    }
    runtime.block_on(node.stop());
    found.judge();
}

#[test]
fn a_request_wakes_no_more_threads_than_before() {
    let broker = Broker::start(&[]);
    let mut client = Client::of(&broker.address());
    let mut found = Found::default();
    for kind in KINDS {
        let each = client.each(kind, || wakes(broker.pid().unwrap()));
        found.add(kind, "wake-ups", each, kind.wakes);
    }
    found.judge();
}

/// How often threads of a process have waited so far.
fn wakes(pid: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        // It may have ended.
        let status = std::fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<usize>().ok()
    };
    threads.filter_map(of).sum()
}

#[test]
fn a_request_costs_no_more_system_calls_than_before() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        return skipped("there is no strace");
    }
    let broker = Broker::start(&[]);
    let mut client = Client::of(&broker.address());
    let mut found = Found::default();
    for kind in KINDS {
        client.ask(kind, BEFORE);
        let calls = calls_while(&broker, || client.ask(kind, COUNTED));
        let limit = |name: &str| kind.calls.iter().find(|(known, _)| name == *known).map(|(_, limit)| *limit);
        for (name, calls) in &calls {
            found.add(kind, name, *calls as f64 / COUNTED as f64, limit(name).unwrap_or(0.0));
        }
    }
    found.judge();
}

/// The system calls of a broker during `work`, by name.
fn calls_while(broker: &Broker, work: impl FnOnce()) -> BTreeMap<String, usize> {
    let (table, said) = (broker.scratch().join("calls"), broker.scratch().join("strace"));
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-p", &broker.pid().unwrap().to_string(), "-o"]).arg(&table);
    let mut strace = Running::start(&mut command, &said);
    wait_until("strace watches the broker", LIMIT, || strace.said().contains("attached"));
    work();
    strace.terminate(LIMIT);
    std::fs::read_to_string(&table).unwrap().lines().filter_map(calls_of).collect()
}

/// A line of strace's table: share, seconds, each, calls, errors if there are any, name.
fn calls_of(line: &str) -> Option<(String, usize)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (calls, name) = (fields.get(3)?.parse().ok()?, fields.last()?);
    (*name != "total").then(|| ((*name).to_owned(), calls))
}

/// What was counted, and what of it is too much.
#[derive(Default)]
struct Found {
    all: String,
    wrong: usize,
}

impl Found {
    /// What the broker does by itself, and what was not quite as usual, may come on top of `limit`.
    fn add(&mut self, kind: &Kind, what: &str, each: f64, limit: f64) {
        const BESIDE: f64 = 0.05;
        let is_wrong = each > limit + BESIDE;
        self.wrong += usize::from(is_wrong);
        let mark = if is_wrong { "  MORE THAN" } else { "  of" };
        self.all += &format!("{}: {each:.3} {what}{mark} {limit}\n", kind.name);
    }

    #[track_caller]
    fn judge(self) {
        println!("{}", self.all);
        assert!(self.wrong == 0, "{} kinds of cost have grown:\n{}", self.wrong, self.all);
    }
}
