//! The command: reads the configuration, runs one broker until it is told to stop.

use clap::Parser;
use drave::broker::Broker;
use drave::config::{self, Args, Loaded};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
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
    let loaded = match config::load(&args, std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(error) => return failed(&error),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,openraft=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("drave")
        .enable_all()
        .build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(run(loaded))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => failed(&line),
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
    let (mut terminate, mut interrupt) = signals().map_err(|error| error.to_string())?;
    let broker = Broker::start(loaded).await.map_err(|error| error.to_string())?;
    tracing::info!(node = id, "ready on {} after {:.0?}", listeners.join(", "), begun.elapsed());
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failure = broker.failure() => Err(failure.to_string()),
    };
    tracing::info!("stopping");
    broker.stop().await;
    tracing::info!("stopped");
    outcome
}

fn signals() -> std::io::Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}
