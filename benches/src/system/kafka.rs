//! Apache Kafka, from an unpacked release.

use super::process::{Process, said_by};
use super::{Setup, properties_of, write_properties};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PORT: u16 = 29700;
/// As Kafka's own script has it by default.
const HEAP: &str = "-Xmx1g -Xms1g";

/// Where `DRAVE_KAFKA_HOME` says that it is.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("DRAVE_KAFKA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

pub fn start(home: &Path, dir: &Path, setup: &Setup) -> Result<(Vec<String>, Vec<Process>)> {
    let addresses = write_properties(dir, setup, PORT)?;
    let storage = home.join("bin/kafka-storage.sh");
    let cluster = "MkU3OEVBNTcwNTJENDM2Qg";
    for node in 1..=setup.nodes {
        let mut format = Command::new(&storage);
        format.args(["format", "-t", cluster, "-c"]).arg(properties_of(dir, node));
        said_by(&mut format, Stdio::null())?;
    }
    let mut processes = (1..=setup.nodes).map(|node| spawn(home, dir, node)).collect::<Result<Vec<_>>>()?;
    for (process, address) in processes.iter_mut().zip(&addresses) {
        process.await_listener(address)?;
    }
    Ok((addresses, processes))
}

pub fn spawn(home: &Path, dir: &Path, node: usize) -> Result<Process> {
    let mut command = Command::new(home.join("bin/kafka-server-start.sh"));
    command.env("KAFKA_HEAP_OPTS", HEAP).arg(properties_of(dir, node));
    Process::start(&mut command, &dir.join(format!("node{node}/log")))
}
