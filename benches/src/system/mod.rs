//! What is measured: processes of this machine, or a broker at an address.

mod confined;
mod drave;
mod floor;
mod kafka;
mod process;
mod sampler;

pub use confined::Confined;
pub use kafka::home as kafka_home;
pub use process::said_by;

use crate::load::topics;
use crate::measure;
use anyhow::{Context, Result};
use process::Process;
use sampler::Sampler;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What there is to be measured, and where it lies.
#[derive(Clone, Debug)]
pub struct Programs {
    pub drave: PathBuf,
    /// An unpacked Apache Kafka.
    pub kafka: Option<PathBuf>,
    pub kcat: Option<PathBuf>,
    /// Brokers that run already: name and address.
    pub others: Vec<(String, String)>,
    /// Where data goes while it is measured.
    pub scratch: PathBuf,
}

impl Programs {
    /// Bytes of what has to be installed; what runs elsewhere is not seen.
    pub fn size_of(&self, kind: &Kind) -> Result<Option<u64>> {
        match kind {
            Kind::Drave => Ok(Some(self.drave.metadata()?.len())),
            Kind::Kafka => self.kafka.as_ref().map(|home| size_in(&home.join("libs"))).transpose(),
            Kind::Floor | Kind::Other { .. } => Ok(None),
        }
    }
}

/// Bytes of the files in a directory.
fn size_in(dir: &Path) -> Result<u64> {
    std::fs::read_dir(dir)?.map(|file| Ok(file?.metadata()?.len())).sum()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Drave,
    Kafka,
    /// Runs already, at an address: only what clients see of it is measured.
    Other {
        name: String,
        address: String,
    },
}

impl Kind {
    pub fn name(&self) -> &str {
        match self {
            Kind::Floor => "Floor",
            Kind::Drave => "Drave",
            Kind::Kafka => "Apache Kafka",
            Kind::Other { name, .. } => name,
        }
    }
}

/// How a system is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Nodes; three keep three replicas of everything.
    pub nodes: usize,
    /// Broker configuration on top of the defaults.
    pub overrides: Vec<(String, String)>,
    /// The floor answers once it has synced.
    pub syncs: bool,
}

/// A running system.
pub struct System {
    pub kind: Kind,
    addresses: Vec<String>,
    processes: Vec<Process>,
    sampler: Option<Sampler>,
    setup: Setup,
    programs: Programs,
    /// Goes when the system does, after its processes.
    dir: Option<TempDir>,
}

impl System {
    pub fn start(kind: &Kind, programs: &Programs, setup: &Setup) -> Result<System> {
        let dir = tempfile::Builder::new().prefix("drave-bench-").tempdir_in(&programs.scratch)?;
        let mut system = System {
            kind: kind.clone(),
            addresses: vec![],
            processes: vec![],
            sampler: None,
            setup: setup.clone(),
            programs: programs.clone(),
            dir: Some(dir),
        };
        system.run().with_context(|| format!("{} does not start", kind.name()))?;
        Ok(system)
    }

    /// Starts the processes upon what the directory holds.
    fn run(&mut self) -> Result<()> {
        let dir = self.dir().to_owned();
        (self.addresses, self.processes) = match &self.kind {
            Kind::Floor => floor::start(&dir, &self.setup)?,
            Kind::Drave => drave::start(&self.programs.drave, &dir, &self.setup)?,
            Kind::Kafka => {
                kafka::start(self.programs.kafka.as_deref().context("no Apache Kafka")?, &dir, &self.setup)?
            }
            Kind::Other { address, .. } => (vec![address.clone()], vec![]),
        };
        self.sampler = Some(Sampler::start(self.pids()));
        Ok(())
    }

    /// Seconds since the start, and MiB of all processes then.
    pub fn memory(&self) -> Vec<(f64, f64)> {
        self.sampler.as_ref().map(Sampler::samples).unwrap_or_default()
    }

    /// Where the system keeps its data.
    pub fn dir(&self) -> &Path {
        self.dir.as_ref().expect("there until the system is dropped").path()
    }

    /// Where clients ask first.
    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub fn nodes(&self) -> usize {
        self.addresses.len()
    }

    /// The processes whose CPU and memory count.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// MiB of all processes.
    pub fn resident(&self) -> Result<f64> {
        self.pids().into_iter().map(measure::resident).sum()
    }

    /// A script among Apache Kafka's own.
    pub fn kafka_tool(&self, script: &str) -> Result<Command> {
        let home = self.programs.kafka.as_ref().context("no Apache Kafka")?;
        Ok(Command::new(home.join("bin").join(script)))
    }

    pub fn kcat(&self) -> Result<Command> {
        Ok(Command::new(self.programs.kcat.as_ref().context("no kcat")?))
    }

    /// A topic with as many replicas as there are nodes; answers where each partition is led.
    pub fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<Vec<String>> {
        match self.kind {
            // Files come with the first batch, and all are led by one.
            Kind::Floor => Ok(vec![self.addresses[0].clone(); partitions as usize]),
            Kind::Drave | Kind::Kafka | Kind::Other { .. } => {
                topics::create(self.address(), topic, partitions, self.nodes().min(3) as i16, configs)
            }
        }
    }

    pub fn delete(&self, topic: &str) -> Result<()> {
        match self.kind {
            Kind::Floor => self.addresses.iter().try_for_each(|address| floor::forget(address)),
            Kind::Drave | Kind::Kafka | Kind::Other { .. } => topics::delete(self.address(), topic),
        }
    }

    /// Ends all processes: told to, or killed. Their data stays.
    pub fn end(&mut self, killed: bool) -> Result<()> {
        for process in &mut self.processes {
            process.end(killed)?;
        }
        self.processes.clear();
        Ok(())
    }

    /// Starts all processes again on the data they left, and does not wait until they serve.
    pub fn start_again(&mut self) -> Result<()> {
        let dir = self.dir().to_owned();
        let nodes = 1..=self.setup.nodes;
        self.processes = match &self.kind {
            Kind::Drave => {
                nodes.map(|node| drave::spawn(&self.programs.drave, &dir, node)).collect::<Result<_>>()?
            }
            Kind::Kafka => {
                let home = self.programs.kafka.as_deref().context("no Apache Kafka")?;
                nodes.map(|node| kafka::spawn(home, &dir, node)).collect::<Result<_>>()?
            }
            Kind::Floor | Kind::Other { .. } => anyhow::bail!("only brokers are started again"),
        };
        Ok(())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // Before their data goes.
        self.processes.clear();
    }
}

/// `key=value` lines of one node of `nodes`, in the shape that both brokers read.
fn properties(dir: &Path, setup: &Setup, node: usize, port: u16) -> String {
    let controller = |node: usize| port + 100 + node as u16;
    let voters: Vec<String> =
        (1..=setup.nodes).map(|node| format!("{node}@127.0.0.1:{}", controller(node))).collect();
    let replicas = setup.nodes.min(3);
    let client = port + node as u16 - 1;
    let mut lines = vec![
        "process.roles=broker,controller".into(),
        format!("node.id={node}"),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{}", controller(node)),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{client}"),
        "controller.listener.names=CONTROLLER".into(),
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".into(),
        format!("log.dirs={}", dir.join(format!("node{node}/data")).display()),
        format!("offsets.topic.replication.factor={replicas}"),
        format!("default.replication.factor={replicas}"),
        format!("min.insync.replicas={}", replicas.min(2)),
        "group.initial.rebalance.delay.ms=0".into(),
        // What is read again must still be there.
        "log.retention.ms=-1".into(),
    ];
    lines.extend(setup.overrides.iter().map(|(key, value)| format!("{key}={value}")));
    lines.join("\n") + "\n"
}

/// Writes the files of all nodes; answers where clients find them.
fn write_properties(dir: &Path, setup: &Setup, port: u16) -> Result<Vec<String>> {
    for node in 1..=setup.nodes {
        std::fs::create_dir_all(dir.join(format!("node{node}")))?;
        std::fs::write(properties_of(dir, node), properties(dir, setup, node, port))?;
    }
    Ok((0..setup.nodes as u16).map(|nth| format!("127.0.0.1:{}", port + nth)).collect())
}

fn properties_of(dir: &Path, node: usize) -> PathBuf {
    dir.join(format!("node{node}/server.properties"))
}
