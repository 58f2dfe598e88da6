//! The floor, which is this very program.

use super::Setup;
use super::process::Process;
use crate::floor::FORGET;
use crate::load::wire::Wire;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const PORT: u16 = 29900;

/// The first floor leads, the others follow it.
pub fn start(dir: &Path, setup: &Setup) -> Result<(Vec<String>, Vec<Process>)> {
    let addresses: Vec<String> =
        (0..setup.nodes as u16).map(|nth| format!("127.0.0.1:{}", PORT + nth)).collect();
    let mut processes = vec![];
    for (nth, address) in addresses.iter().enumerate() {
        let dir = dir.join(format!("floor{nth}"));
        std::fs::create_dir_all(&dir)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", "--listen", address, "--dir"]).arg(&dir);
        let followers = if nth == 0 { &addresses[1..] } else { &[] };
        followers.iter().for_each(|follower| {
            command.args(["--follower", follower]);
        });
        if setup.syncs {
            command.arg("--sync");
        }
        processes.push(Process::start(&mut command, &dir.join("log"))?);
    }
    for (process, address) in processes.iter_mut().zip(&addresses) {
        process.await_listener(address)?;
    }
    Ok((addresses, processes))
}

/// Has it let go of its files.
pub fn forget(address: &str) -> Result<()> {
    let frame = [&8_u32.to_be_bytes()[..], &FORGET.to_be_bytes(), &[0; 6]].concat();
    let mut wire = Wire::connect(address)?;
    wire.write(&frame)?;
    wire.read().map(drop)
}
