//! The work that is compared, and what it is to come to.

mod cold;
mod flush;
mod latency;
mod memory;
mod produce;
mod read;
mod scale;
mod start;
mod tools;

use crate::load::topics;
use crate::measure::Spent;
use crate::record::Found;
use crate::system::{Confined, Kind, Programs, Setup, System};
use anyhow::Result;
use std::time::{Duration, Instant};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Bytes produced in a round; what is dirty then stays below where the kernel starts to write by itself.
    pub bytes: usize,
    pub duration: Duration,
    pub rounds: usize,
    pub warm_up_bytes: usize,
    /// Small numbers of things, too.
    pub is_quick: bool,
}

impl Scale {
    /// What a table is made of.
    pub const FULL: Scale = Scale {
        bytes: 1 << 30,
        duration: Duration::from_secs(10),
        rounds: 5,
        warm_up_bytes: 2 << 30,
        is_quick: false,
    };
    /// Whether everything works.
    pub const QUICK: Scale = Scale {
        bytes: 128 << 20,
        duration: Duration::from_secs(1),
        rounds: 1,
        warm_up_bytes: 256 << 20,
        is_quick: true,
    };
}

/// One piece of work.
pub struct Work {
    pub id: &'static str,
    /// Row of the table of goals.
    pub row: u8,
    pub title: &'static str,
    /// Figures to be shown.
    pub columns: &'static [&'static str],
    pub goals: &'static [Goal],
    pub run: Run,
}

/// How a piece of work is done.
pub enum Run {
    /// With the systems of its bed, all of which run, in rounds of this number.
    Shared(fn(&System, &Scale, usize) -> Result<Found>),
    /// Likewise, by a program that is another's, if it is there.
    Client(Client, fn(&System, &Scale, usize) -> Result<Found>),
    /// With a broker of this kind that it starts for itself.
    Alone(fn(&Programs, &Kind, &Scale) -> Result<Found>),
    /// Likewise, in a control group that has little memory.
    Confined(fn(&Programs, &Kind, &Scale) -> Result<Found>),
}

/// A program that comes from elsewhere.
#[derive(Clone, Copy)]
pub enum Client {
    KafkaTools,
    Kcat,
}

impl Work {
    /// Why it cannot be done here.
    pub fn lacks(&self, programs: &Programs) -> Option<&'static str> {
        match self.run {
            Run::Client(Client::KafkaTools, _) if programs.kafka.is_none() => {
                Some("there is no Apache Kafka")
            }
            Run::Client(Client::Kcat, _) if programs.kcat.is_none() => Some("there is no kcat"),
            Run::Confined(_) if Confined::to(1 << 30).is_err() => {
                Some("it takes root, to make a control group")
            }
            Run::Shared(_) | Run::Client(..) | Run::Alone(_) | Run::Confined(_) => None,
        }
    }

    pub fn rounds(&self, scale: &Scale) -> usize {
        // What takes long, or starts programs.
        const FEW: usize = 3;
        match self.run {
            Run::Shared(_) => scale.rounds,
            Run::Client(..) | Run::Alone(_) | Run::Confined(_) => scale.rounds.min(FEW),
        }
    }
}

/// A figure that is at most (or at least) so many times that of another system, in the same round.
pub struct Goal {
    pub figure: &'static str,
    pub bound: Bound,
    /// Name of the other system; without one the bound is the figure itself.
    pub of: Option<&'static str>,
}

#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const fn at_most(figure: &'static str, times: f64, of: &'static str) -> Goal {
    Goal { figure, bound: Bound::AtMost(times), of: Some(of) }
}

const fn at_least(figure: &'static str, times: f64, of: &'static str) -> Goal {
    Goal { figure, bound: Bound::AtLeast(times), of: Some(of) }
}

const fn absolute(figure: &'static str, bound: f64) -> Goal {
    Goal { figure, bound: Bound::AtMost(bound), of: None }
}

const FLOOR: &str = "Floor";
const KAFKA: &str = "Apache Kafka";

/// Systems that run together, and the work they go through in turn.
pub struct Bed {
    pub title: &'static str,
    pub nodes: usize,
    /// The floor answers once it has synced.
    pub syncs: bool,
    /// The floor takes part.
    pub floor: bool,
    /// Brokers that run already take part: nothing is asked of how they were started, nor seen of their processes and disks.
    pub others: bool,
    pub works: &'static [Work],
}

impl Bed {
    pub const ONE_NODE: Bed =
        Bed { title: "One node", nodes: 1, syncs: false, floor: true, others: true, works: ONE_NODE };

    /// Each work starts its own broker, and ends it.
    const fn alone(title: &'static str, works: &'static [Work]) -> Bed {
        Bed { title, floor: false, others: false, works, ..Bed::ONE_NODE }
    }

    pub fn setup(&self) -> Setup {
        // Deleted topics leave the disk at once, or one round's bytes would be written during another's.
        let overrides = vec![("log.segment.delete.delay.ms".into(), "100".into())];
        Setup { nodes: self.nodes, overrides, syncs: self.syncs }
    }

    pub fn takes(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Floor => self.floor,
            Kind::Other { .. } => self.others,
            Kind::Drave | Kind::Kafka => true,
        }
    }
}

pub const BEDS: &[Bed] = &[
    Bed::ONE_NODE,
    Bed { title: "Three nodes, acks=all", nodes: 3, others: false, works: THREE_NODES, ..Bed::ONE_NODE },
    Bed {
        title: "One node that syncs before it acknowledges",
        syncs: true,
        others: false,
        works: flush::WORKS,
        ..Bed::ONE_NODE
    },
    Bed { title: "Standard tools", floor: false, works: tools::WORKS, ..Bed::ONE_NODE },
    Bed::alone("As fast as the disk", &[produce::SUSTAINED]),
    Bed::alone("Reading what is cold", cold::WORKS),
    Bed::alone("Nothing at all", &[memory::IDLE]),
    Bed::alone("Much of everything", scale::WORKS),
    Bed::alone("Starting", start::WORKS),
];

const THROUGHPUT: &[&str] = &["MB/s", "CPU s/GB", "p50 µs", "p99 µs"];
const REQUESTS: &[&str] = &["requests/s", "CPU µs/request", "p50 µs", "p99 µs", "p99.9 µs"];

const ONE_NODE: &[Work] = &[
    Work {
        id: "produce-16k",
        row: 1,
        title: "produce 16 KiB batches, acks=1, one connection, 5 under way",
        columns: THROUGHPUT,
        goals: &[at_most("CPU s/GB", 0.25, KAFKA), at_most("CPU s/GB", 1.5, FLOOR)],
        run: Run::Shared(|system, scale, round| produce::pipelined(system, scale, round, 16 << 10, 1, 1)),
    },
    Work {
        id: "produce-256k",
        row: 2,
        title: "produce 256 KiB batches, acks=1, one connection, 5 under way",
        columns: THROUGHPUT,
        goals: &[at_most("CPU s/GB", 1.3, FLOOR)],
        run: Run::Shared(|system, scale, round| produce::pipelined(system, scale, round, 256 << 10, 1, 1)),
    },
    Work {
        id: "fetch-1",
        row: 3,
        title: "fetch from the page cache, 1 consumer",
        columns: &["MB/s", "CPU s/GB"],
        goals: &[at_most("CPU s/GB", 1.4, FLOOR)],
        run: Run::Shared(|system, scale, round| read::cached(system, scale, round, 1)),
    },
    Work {
        id: "fetch-4",
        row: 3,
        title: "fetch from the page cache, 4 consumers",
        columns: &["MB/s", "CPU s/GB"],
        goals: &[at_most("CPU s/GB", 1.4, FLOOR)],
        run: Run::Shared(|system, scale, round| read::cached(system, scale, round, 4)),
    },
    Work {
        id: "single-64",
        row: 5,
        title: "single records of 100 B, 64 connections, acks=1",
        columns: REQUESTS,
        goals: &[at_most("CPU µs/request", 1.0 / 3.0, KAFKA), at_most("CPU µs/request", 1.3, FLOOR)],
        run: Run::Shared(latency::single_records),
    },
    Work {
        id: "one-at-a-time",
        row: 6,
        title: "one producer, one request of 1 KiB at a time, acks=1",
        columns: REQUESTS,
        goals: &[at_most("CPU µs/request", 0.25, KAFKA)],
        run: Run::Shared(|system, scale, round| latency::one_at_a_time(system, scale, round, 1)),
    },
    Work {
        id: "open-loop",
        row: 7,
        title: "2,000 requests/s of 1 KiB, open loop, 8 connections, acks=1",
        columns: REQUESTS,
        goals: &[
            at_most("p99 µs", 0.25, KAFKA),
            at_most("p99.9 µs", 0.25, KAFKA),
            at_most("CPU µs/request", 0.25, KAFKA),
        ],
        run: Run::Shared(|system, scale, round| latency::open_loop(system, scale, round, 1)),
    },
    Work {
        id: "metadata",
        row: 14,
        title: "metadata of one topic, 8 connections",
        columns: REQUESTS,
        goals: &[at_most("CPU µs/request", 0.25, KAFKA)],
        run: Run::Shared(latency::metadata),
    },
    memory::LOADED,
];

const THREE_NODES: &[Work] = &[
    Work {
        id: "replicated-16k",
        row: 4,
        title: "produce 16 KiB batches, 3 replicas, acks=all, 5 under way",
        columns: THROUGHPUT,
        goals: &[at_least("MB/s", 4.0, KAFKA), at_most("CPU s/GB", 1.0 / 6.0, KAFKA)],
        run: Run::Shared(|system, scale, round| produce::pipelined(system, scale, round, 16 << 10, -1, 3)),
    },
    Work {
        id: "replicated-256k",
        row: 4,
        title: "produce 256 KiB batches, 3 replicas, acks=all, 5 under way",
        columns: THROUGHPUT,
        goals: &[at_least("MB/s", 2.5, KAFKA), at_most("CPU s/GB", 1.5, FLOOR)],
        run: Run::Shared(|system, scale, round| produce::pipelined(system, scale, round, 256 << 10, -1, 3)),
    },
    Work {
        id: "replicated-one-at-a-time",
        row: 6,
        title: "one producer, one request of 1 KiB at a time, 3 replicas, acks=all",
        columns: REQUESTS,
        goals: &[at_most("CPU µs/request", 0.25, KAFKA), at_most("p50 µs", 0.5, KAFKA)],
        run: Run::Shared(|system, scale, round| latency::one_at_a_time(system, scale, round, -1)),
    },
    Work {
        id: "replicated-open-loop",
        row: 7,
        title: "2,000 requests/s of 1 KiB, open loop, 8 connections, 3 replicas, acks=all",
        columns: REQUESTS,
        goals: &[
            at_most("p99 µs", 0.25, KAFKA),
            at_most("p99.9 µs", 0.25, KAFKA),
            at_most("CPU µs/request", 0.25, KAFKA),
        ],
        run: Run::Shared(|system, scale, round| latency::open_loop(system, scale, round, -1)),
    },
];

/// A JVM's code is compiled as it is used: warm is what took some GB, and costs about the same twice.
pub fn warm_up(system: &System, scale: &Scale) -> Result<()> {
    let warming = Scale { bytes: scale.warm_up_bytes, ..*scale };
    let acks = if system.nodes() > 1 { -1 } else { 1 };
    if system.kind != Kind::Kafka {
        return Ok(());
    }
    produce::pipelined(system, &warming, usize::MAX, 16 << 10, acks, 1)?;
    if scale.is_quick {
        return Ok(());
    }
    let agreed = |before: f64, now: f64| (before - now).abs() <= now / 20.0;
    let round = || -> Result<f64> {
        let found = produce::pipelined(system, scale, usize::MAX, 16 << 10, acks, 1)?;
        Ok(found.figures["CPU s/GB"])
    };
    let mut before = round()?;
    // It settles in three or four rounds, or does not on a machine that is busy otherwise.
    for _ in 0..6 {
        let now = round()?;
        if agreed(before, now) {
            break;
        }
        before = now;
    }
    Ok(())
}

/// Runs `work` on a topic of its own, which goes afterwards.
fn with_topic<T>(
    system: &System,
    name: &str,
    partitions: i32,
    work: impl FnOnce(&[String]) -> Result<T>,
) -> Result<T> {
    with_configured_topic(system, name, partitions, &[], work)
}

fn with_configured_topic<T>(
    system: &System,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
    work: impl FnOnce(&[String]) -> Result<T>,
) -> Result<T> {
    let leaders = system.create(name, partitions, configs)?;
    settle();
    let done = work(&leaders);
    // Also what a work that failed has left.
    let deleted = system.delete(name);
    let done = done?;
    deleted.map(|()| done)
}

/// Waits a little for what earlier rounds wrote to leave memory.
fn settle() {
    const QUIET_KIB: u64 = 128 << 10;
    let deadline = Instant::now() + Duration::from_secs(10);
    while dirty_kib() > QUIET_KIB && Instant::now() < deadline {
        topics::pause();
    }
}

fn dirty_kib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    kib("Dirty:").unwrap_or(0) + kib("Writeback:").unwrap_or(0)
}

/// What so many bytes in so many requests cost; of a broker that runs elsewhere no CPU is seen.
fn costs(spent: &Spent, bytes: usize, requests: usize) -> Found {
    let (seconds, cpu) = (spent.wall.as_secs_f64(), spent.cpu.as_secs_f64());
    let found = Found::default()
        .with("MB/s", bytes as f64 / 1e6 / seconds)
        .with("requests/s", requests as f64 / seconds)
        .with("load's own CPU µs/request", spent.own.as_secs_f64() * 1e6 / requests as f64);
    if spent.cpu.is_zero() {
        return found;
    }
    found.with("CPU s/GB", cpu / (bytes as f64 / 1e9)).with("CPU µs/request", cpu * 1e6 / requests as f64)
}
