//! Drave, Apache Kafka and a floor through the same work in one run. See `docs/performance.md`.

mod floor;
mod load;
mod measure;
mod record;
mod report;
mod run;
mod system;
mod work;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Puts Drave, Apache Kafka and the kernel's own floor through the same work, side by side.
#[derive(Parser)]
#[command(name = "drave-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Be the floor, which the harness starts by itself.
    #[command(hide = true)]
    Floor(floor::Options),
    /// Tables and plots of a run, once more.
    Report(report::Options),
}

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// A short run that shows whether everything works; its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Only the work whose name begins with one of these, separated by commas; one that none has shows all names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep what the raw figures hold of other work, if it was found on this machine with these versions.
    #[arg(long, requires = "only")]
    keep: bool,
    /// The binary of Drave; built if it is not named.
    #[arg(long)]
    drave: Option<PathBuf>,
    /// An unpacked Apache Kafka, if DRAVE_KAFKA_HOME does not name one; without either it is left out.
    #[arg(long)]
    kafka: Option<PathBuf>,
    /// A broker that runs already, as NAME=HOST:PORT; its CPU and memory are not seen.
    #[arg(long, value_parser = other)]
    also: Vec<(String, String)>,
    /// Rounds of each work.
    #[arg(long)]
    rounds: Option<usize>,
    /// Where data goes while it is measured.
    #[arg(long, default_value = "target")]
    scratch: PathBuf,
    /// Where the raw figures go; else target/benchmark.json, or target/benchmark-quick.json after a quick run.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Options {
    /// A quick run does not take the place of one that counts.
    fn out(&self) -> PathBuf {
        let own = if self.quick { "target/benchmark-quick.json" } else { "target/benchmark.json" };
        self.out.clone().unwrap_or_else(|| own.into())
    }
}

fn other(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("not NAME=HOST:PORT")?;
    Ok((name.into(), address.into()))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Floor(options)) => floor::run(options).context("the floor"),
        Some(Command::Report(options)) => report::run(&options),
        None => run::run(&arguments.run),
    }
}
