//! The command: reads the configuration, runs one broker until it is told to stop.

use clap::Parser;
use drave::broker::Broker;
use drave::config::{self, Args, Loaded};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads that may block at once: syncs and cold reads.
const BLOCKING_THREADS: usize = 64;

fn main() -> ExitCode {
    // mimalloc asks for huge pages, which would make a small idle process large. A kernel without them refuses.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // A malformed request must not cost a backtrace, which RUST_BACKTRACE asks of every error.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    let args = Args::parse();
    if let Some(at) = &args.probe {
        return probe(at);
    }
    let loaded = match config::load(&args, std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(error) => return failed(&error),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,openraft=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("drave")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(run(loaded));
    // What still works on the disk then is what a stop does not wait for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => failed(&line),
    }
}

/// Whether a node answers ApiVersions at `at`: it does so once it serves.
fn probe(at: &config::HostPort) -> ExitCode {
    match drave::probe::probe(at) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{at} does not serve: {error}")),
    }
}

fn failed(line: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("drave: {line}");
    ExitCode::FAILURE
}

async fn run(loaded: Loaded) -> Result<(), String> {
    let begun = tokio::time::Instant::now();
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let address = |one: &config::Listener| format!("{}:{}", one.address.host, one.address.port);
    let listeners: Vec<String> = loaded.config.advertised_listeners.iter().map(address).collect();
    let id = loaded.config.node_id;
    let mut signals = Signals::new().map_err(|error| error.to_string())?;
    // On a task of its own, as it may block on the disk.
    let broker = tokio::select! {
        started = tokio::spawn(Broker::start(loaded)) => match started {
            Ok(started) => started.map_err(|error| error.to_string())?,
            Err(error) => return Err(error.to_string()),
        },
        () = signals.recv() => {
            tracing::info!("stopped before it was ready: the next start recovers what this one did not");
            return Ok(());
        }
    };
    tracing::info!(node = id, "ready on {} after {:.0?}", listeners.join(", "), begun.elapsed());
    let outcome = tokio::select! {
        () = signals.recv() => Ok(()),
        failure = broker.failure() => Err(failure.to_string()),
    };
    tracing::info!("stopping");
    broker.stop().await;
    tracing::info!("stopped");
    outcome
}

/// What tells the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
