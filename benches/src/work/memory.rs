//! What is taken while nothing is asked, and after everything was.

use super::{Run, Scale, Work, absolute};
use crate::record::Found;
use crate::system::{Kind, Programs, Setup, System};
use anyhow::Result;

pub const IDLE: Work = Work {
    id: "memory-idle",
    row: 13,
    title: "an empty node, idle",
    columns: &["MiB", "idle CPU %", "program MB"],
    goals: &[absolute("MiB", 20.0), absolute("program MB", 15.0)],
    run: Run::Alone(idle),
};

pub const LOADED: Work = Work {
    id: "memory-loaded",
    row: 13,
    title: "the node that all of the above went through",
    columns: &["MiB"],
    goals: &[absolute("MiB", 50.0)],
    run: Run::Shared(loaded),
};

fn idle(programs: &Programs, kind: &Kind, scale: &Scale) -> Result<Found> {
    let system = System::start(kind, programs, &Setup { nodes: 1, ..Setup::default() })?;
    let found = Found::default()
        .with("idle CPU %", super::scale::idle(&system, scale)?)
        .with("MiB", system.resident()?);
    Ok(match programs.size_of(kind)? {
        Some(bytes) => found.with("program MB", bytes as f64 / 1e6),
        None => found,
    })
}

fn loaded(system: &System, _: &Scale, round: usize) -> Result<Found> {
    if system.pids().is_empty() {
        // Runs elsewhere.
        return Ok(Found::default());
    }
    let found = Found::default().with("MiB", system.resident()?);
    Ok(if round == 0 { Found { memory: system.memory(), ..found } } else { found })
}
