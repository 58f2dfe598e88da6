//! Programs that others measure brokers with, or build on: what they say of themselves, and what it costs the brokers.

use super::{Client, Run, Scale, Work, with_topic};
use crate::load::closed::{self, Produce};
use crate::load::{batch, topics};
use crate::measure::{Spent, spent};
use crate::record::Found;
use crate::system::{System, said_by};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Seek, Write};
use std::process::Stdio;

const RECORD: usize = 1 << 10;
/// What is consumed was produced in such.
const BATCH: usize = 16 << 10;
/// Brokers are served by clients that have to start first: what is awaited of them takes about that long, however much it is.
const PART: usize = 4;

pub const WORKS: &[Work] = &[
    Work {
        id: "tools-producer-perf",
        row: 15,
        title: "kafka-producer-perf-test.sh, records of 1 KiB, acks=1",
        columns: &["MB/s", "broker's CPU s/GB", "p50 ms", "p99 ms", "p99.9 ms"],
        goals: &[],
        run: Run::Client(Client::KafkaTools, producer_perf),
    },
    Work {
        id: "tools-consumer-perf",
        row: 15,
        title: "kafka-consumer-perf-test.sh, records of 1 KiB in batches of 16 KiB",
        columns: &["MB/s", "broker's CPU s/GB"],
        goals: &[],
        run: Run::Client(Client::KafkaTools, consumer_perf),
    },
    Work {
        id: "tools-e2e-latency",
        row: 15,
        title: "kafka-e2e-latency.sh, one record of 1 KiB at a time, acks=1",
        columns: &["average ms", "p50 ms", "p99 ms", "p99.9 ms", "broker's CPU µs/record"],
        goals: &[],
        run: Run::Client(Client::KafkaTools, e2e_latency),
    },
    Work {
        id: "tools-kcat-producer",
        row: 15,
        title: "librdkafka: kcat produces lines of 1 KiB, acks=1",
        columns: &["MB/s", "broker's CPU s/GB"],
        goals: &[],
        run: Run::Client(Client::Kcat, kcat_producer),
    },
    Work {
        id: "tools-kcat-consumer",
        row: 15,
        title: "librdkafka: kcat consumes records of 1 KiB in batches of 16 KiB",
        columns: &["MB/s", "broker's CPU s/GB"],
        goals: &[],
        run: Run::Client(Client::Kcat, kcat_consumer),
    },
];

fn producer_perf(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    let topic = format!("producer-perf-{round}");
    let records = scale.bytes / PART / RECORD;
    with_topic(system, &topic, 1, |leaders| {
        let mut tool = system.kafka_tool("kafka-producer-perf-test.sh")?;
        tool.args(["--bootstrap-server", system.address(), "--topic", &topic, "--throughput", "-1"]);
        tool.args(["--num-records", &records.to_string(), "--record-size", &RECORD.to_string()]);
        tool.args(["--command-property", "acks=1"]);
        let (said, spent) = spent(&system.pids(), || said_by(&mut tool, Stdio::null()))?;
        has_all(&leaders[0], &topic, records)?;
        let said = said.lines().rfind(|line| line.contains("99.9th")).context("no summary")?;
        let found = throughput(&spent, records * RECORD, before(said, " records/sec")? * RECORD as f64);
        Ok(found
            .with("p50 ms", before(said, " ms 50th")?)
            .with("p99 ms", before(said, " ms 99th")?)
            .with("p99.9 ms", before(said, " ms 99.9th")?))
    })
}

fn consumer_perf(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    with_records(system, scale, &format!("consumer-perf-{round}"), |topic, records, bytes| {
        let mut tool = system.kafka_tool("kafka-consumer-perf-test.sh")?;
        tool.args(["--bootstrap-server", system.address(), "--topic", topic]);
        tool.args(["--num-records", &records.to_string()]);
        let (said, spent) = spent(&system.pids(), || said_by(&mut tool, Stdio::null()))?;
        let consumed = column(&said, "data.consumed.in.nMsg")?;
        ensure!(consumed >= records as f64, "{consumed} of {records} records were consumed");
        // What it fetched, without the time that its group took.
        let seconds = column(&said, "fetch.time.ms")? / 1e3;
        Ok(throughput(&spent, bytes, bytes as f64 / seconds))
    })
}

fn e2e_latency(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    let topic = format!("e2e-{round}");
    let records = 500 * scale.duration.as_secs() as usize;
    with_topic(system, &topic, 1, |leaders| {
        let mut tool = system.kafka_tool("kafka-e2e-latency.sh")?;
        tool.args([system.address(), &topic, &records.to_string(), "1", &RECORD.to_string()]);
        let (said, spent) = spent(&system.pids(), || said_by(&mut tool, Stdio::null()))?;
        has_all(&leaders[0], &topic, records)?;
        let found = Found::default()
            .with("average ms", after(&said, "Avg latency: ")?)
            .with("p50 ms", after(&said, "50th = ")?)
            .with("p99 ms", after(&said, " 99th = ")?)
            .with("p99.9 ms", after(&said, "99.9th = ")?);
        Ok(with_cpu(found, &spent, "broker's CPU µs/record", 1e6 / records as f64))
    })
}

fn kcat_producer(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    let topic = format!("kcat-producer-{round}");
    let records = scale.bytes / PART / RECORD;
    let lines = lines(records)?;
    with_topic(system, &topic, 1, |leaders| {
        let mut kcat = system.kcat()?;
        kcat.args(["-P", "-b", system.address(), "-t", &topic, "-p", "0", "-X", "acks=1"]);
        let (_, spent) = spent(&system.pids(), || said_by(&mut kcat, lines.into()))?;
        has_all(&leaders[0], &topic, records)?;
        let bytes = records * RECORD;
        Ok(throughput(&spent, bytes, bytes as f64 / spent.wall.as_secs_f64()))
    })
}

fn kcat_consumer(system: &System, scale: &Scale, round: usize) -> Result<Found> {
    with_records(system, scale, &format!("kcat-consumer-{round}"), |topic, records, bytes| {
        let mut kcat = system.kcat()?;
        kcat.args(["-C", "-q", "-b", system.address(), "-t", topic, "-p", "0", "-o", "beginning"]);
        // Ends after that many, and prints nothing of them.
        kcat.args(["-c", &records.to_string(), "-f", ""]);
        let (_, spent) = spent(&system.pids(), || said_by(&mut kcat, Stdio::null()))?;
        Ok(throughput(&spent, bytes, bytes as f64 / spent.wall.as_secs_f64()))
    })
}

/// Runs `work` on a topic that has records: told its name, how many there are, and bytes of their batches.
fn with_records(
    system: &System,
    scale: &Scale,
    topic: &str,
    work: impl FnOnce(&str, usize, usize) -> Result<Found>,
) -> Result<Found> {
    let one = batch::of(BATCH);
    let requests = scale.bytes / PART / one.len();
    with_topic(system, topic, 1, |leaders| {
        let fill = Produce { topic, partition: 0, acks: 1, batch: &one, requests, depth: 5 };
        closed::produce(&leaders[0], &fill)?;
        let records = usize::try_from(topics::end(&leaders[0], topic)?)?;
        work(topic, records, requests * one.len())
    })
}

/// A producer may say that it is done and be wrong.
fn has_all(leader: &str, topic: &str, records: usize) -> Result<()> {
    let end = topics::end(leader, topic)?;
    ensure!(end == records as i64, "{topic} has {end} records of {records}");
    Ok(())
}

/// A file in memory of so many lines, each as long as a record with its end.
fn lines(count: usize) -> Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("lines", rustix::fs::MemfdFlags::CLOEXEC)?);
    let line = [&[b'x'; RECORD - 1][..], b"\n"].concat();
    const AT_ONCE: usize = 1 << 10;
    let many = line.repeat(AT_ONCE);
    for first in (0..count).step_by(AT_ONCE) {
        file.write_all(&many[..RECORD * AT_ONCE.min(count - first)])?;
    }
    file.rewind()?;
    Ok(file)
}

fn throughput(spent: &Spent, bytes: usize, bytes_per_second: f64) -> Found {
    let found = Found::default().with("MB/s", bytes_per_second / 1e6);
    with_cpu(found, spent, "broker's CPU s/GB", 1e9 / bytes as f64)
}

/// CPU seconds times `times`; of a broker that runs elsewhere none is seen.
fn with_cpu(found: Found, spent: &Spent, name: &str, times: f64) -> Found {
    if spent.cpu.is_zero() { found } else { found.with(name, spent.cpu.as_secs_f64() * times) }
}

/// The number right before `what`.
fn before(text: &str, what: &str) -> Result<f64> {
    let number = text.split_once(what).and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
    number.with_context(|| format!("no number before{what}: {text}"))
}

/// The number right after `what`.
fn after(text: &str, what: &str) -> Result<f64> {
    let number = text.split_once(what).and_then(|(_, after)| {
        let end = after.find([' ', ',', '\n']).unwrap_or(after.len());
        after[..end].parse().ok()
    });
    number.with_context(|| format!("no number after {what}: {text}"))
}

/// What stands under `name` in the last line of a table with commas.
fn column(text: &str, name: &str) -> Result<f64> {
    let mut lines = text.lines().skip_while(|line| !line.contains(name));
    let header = lines.next().with_context(|| format!("no column {name}: {text}"))?;
    let at = header.split(',').position(|cell| cell.trim() == name);
    let cell = at.and_then(|at| lines.last()?.split(',').nth(at)?.trim().parse().ok());
    cell.with_context(|| format!("nothing under {name}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_tools_say() {
        let said = "500 records sent, 123.5 records/sec (0.12 MB/sec), 5.20 ms avg latency, 300.00 ms max latency, \
                    3 ms 50th, 20 ms 95th, 60 ms 99th, 100 ms 99.9th.";
        let cases = [(" records/sec", 123.5), (" ms 50th", 3.0), (" ms 99th", 60.0), (" ms 99.9th", 100.0)];
        for (what, expected) in cases {
            assert_eq!(before(said, what).unwrap(), expected, "{what}");
        }
        let said = "Avg latency: 0.6120 ms\n\nPercentiles: 50th = 0, 99th = 3, 99.9th = 19\n";
        let cases = [("Avg latency: ", 0.612), ("50th = ", 0.0), (" 99th = ", 3.0), ("99.9th = ", 19.0)];
        for (what, expected) in cases {
            assert_eq!(after(said, what).unwrap(), expected, "{what}");
        }
        let said = "start.time, data.consumed.in.nMsg, fetch.time.ms\n2026-11-28 10:00:00:000, 5000, 71\n";
        assert_eq!(column(said, "fetch.time.ms").unwrap(), 71.0);
        assert_eq!(column(said, "data.consumed.in.nMsg").unwrap(), 5000.0);
        for missing in [before(said, " records/sec"), after(said, "99th = "), column(said, "other")] {
            assert!(missing.is_err());
        }
    }
}
