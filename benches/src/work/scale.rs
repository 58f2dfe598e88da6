//! Much of everything: partitions, connections, groups.

use super::{Goal, KAFKA, Run, Scale, Work, absolute, at_most};
use crate::load::wire::{Wire, accepted, frame};
use crate::load::{batch, group};
use crate::measure::spent;
use crate::record::Found;
use crate::system::{Kind, Programs, Setup, System};
use anyhow::{Result, ensure};
use kafka_protocol::messages::ApiVersionsRequest;
use std::time::Instant;

/// A process may have so many files open here that each side of a connection has room for one.
const CONNECTIONS: usize = 10_000;
const GROUPS: usize = 1_000;
/// Partitions of one topic at most. Kafka's controller refuses to make 10,000 at once.
const PARTITIONS_OF_ONE: i32 = 1_000;

pub const WORKS: &[Work] = &[
    Work {
        id: "partitions-1000",
        row: 10,
        title: "1,000 partitions on one node",
        columns: PARTITION_COLUMNS,
        goals: PARTITION_GOALS,
        run: Run::Alone(|programs, kind, scale| partitions(programs, kind, scale, 1_000)),
    },
    Work {
        id: "partitions-10000",
        row: 10,
        title: "10,000 partitions on one node",
        columns: PARTITION_COLUMNS,
        goals: PARTITION_GOALS,
        run: Run::Alone(|programs, kind, scale| partitions(programs, kind, scale, 10_000)),
    },
    Work {
        id: "idle-connections",
        row: 11,
        title: "10,000 idle connections",
        columns: &["KiB per connection", "idle CPU %"],
        goals: &[absolute("KiB per connection", 20.0)],
        run: Run::Alone(idle_connections),
    },
    Work {
        id: "heartbeats",
        row: 11,
        title: "1,000 groups of one member that heartbeat every 3 s",
        columns: &["CPU %", "MiB"],
        goals: &[at_most("CPU %", 0.2, KAFKA)],
        run: Run::Alone(heartbeats),
    },
];

const PARTITION_COLUMNS: &[&str] = &["created after s", "produced over all after s", "MiB", "idle CPU %"];
const PARTITION_GOALS: &[Goal] = &[at_most("MiB", 0.1, KAFKA), at_most("idle CPU %", 0.1, KAFKA)];

fn alone(programs: &Programs, kind: &Kind) -> Result<System> {
    System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })
}

/// Percent of one core that the system takes while nobody asks for anything.
pub fn idle(system: &System, scale: &Scale) -> Result<f64> {
    std::thread::sleep(scale.duration / 2);
    let (_, spent) = spent(&system.pids(), || {
        std::thread::sleep(scale.duration);
        Ok(())
    })?;
    Ok(100.0 * spent.cpu.as_secs_f64() / spent.wall.as_secs_f64())
}

fn partitions(programs: &Programs, kind: &Kind, scale: &Scale, count: i32) -> Result<Found> {
    let system = alone(programs, kind)?;
    let count = if scale.is_quick { count / 50 } else { count };
    let topics: Vec<(String, i32)> = (0..count)
        .step_by(PARTITIONS_OF_ONE as usize)
        .map(|first| (format!("many-{first}"), (count - first).min(PARTITIONS_OF_ONE)))
        .collect();
    let begun = Instant::now();
    for (topic, partitions) in &topics {
        system.create(topic, *partitions, &[])?;
    }
    let created = begun.elapsed();
    let batch = batch::of(1 << 10);
    let begun = Instant::now();
    let mut wire = Wire::connect(system.address())?;
    for (topic, partitions) in &topics {
        for partition in 0..*partitions {
            wire.write(&batch::produce(topic, partition, 1, &batch))?;
            accepted(batch::code(wire.read()?), "a batch")?;
        }
    }
    let produced = begun.elapsed();
    Ok(Found::default()
        .with("created after s", created.as_secs_f64())
        .with("produced over all after s", produced.as_secs_f64())
        .with("idle CPU %", idle(&system, scale)?)
        .with("MiB", system.resident()?))
}

fn idle_connections(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let system = alone(programs, kind)?;
    let wanted = if scale.is_quick { CONNECTIONS / 50 } else { CONNECTIONS };
    let hello = frame(0, &ApiVersionsRequest::default());
    let open = |count| {
        let one = |_| {
            let mut wire = Wire::connect(system.address())?;
            wire.write(&hello)?;
            wire.read().map(drop)?;
            Ok(wire)
        };
        (0..count).map(one).collect::<Result<Vec<_>>>()
    };
    // What the first few cost is not for them: threads, buffers, a heap that grows.
    let first = open(wanted / 10)?;
    let before = system.resident()?;
    let others = open(wanted - first.len())?;
    let kib = 1024.0 * (system.resident()? - before) / others.len() as f64;
    Ok(Found::default().with("KiB per connection", kib).with("idle CPU %", idle(&system, scale)?))
}

fn heartbeats(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let system = alone(programs, kind)?;
    let groups = if scale.is_quick { GROUPS / 50 } else { GROUPS };
    system.create("watched", 1, &[])?;
    let (cpu, beats) = group::heartbeat(system.address(), groups, 2 * scale.duration, &system.pids())?;
    ensure!(beats > 0, "no heartbeat was answered");
    let percent = 100.0 * cpu.as_secs_f64() / (2 * scale.duration).as_secs_f64();
    Ok(Found::default().with("CPU %", percent).with("MiB", system.resident()?))
}
