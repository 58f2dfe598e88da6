//! Drave, as it is built beside this program.

use super::process::Process;
use super::{Setup, properties_of, write_properties};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const PORT: u16 = 29400;

pub fn start(program: &Path, dir: &Path, setup: &Setup) -> Result<(Vec<String>, Vec<Process>)> {
    let addresses = write_properties(dir, setup, PORT)?;
    let mut processes =
        (1..=setup.nodes).map(|node| spawn(program, dir, node)).collect::<Result<Vec<_>>>()?;
    for (process, address) in processes.iter_mut().zip(&addresses) {
        process.await_listener(address)?;
    }
    Ok((addresses, processes))
}

pub fn spawn(program: &Path, dir: &Path, node: usize) -> Result<Process> {
    let log = dir.join(format!("node{node}/log"));
    Process::start(Command::new(program).arg(properties_of(dir, node)), &log)
}
