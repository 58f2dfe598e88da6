//! The command line.

use std::path::PathBuf;

use clap::Parser;

use super::HostPort;

const AFTER_HELP: &str = "\
A setting is taken from --override, else from the environment, else from the file, else it has its default.
In the environment, log.retention.ms is KAFKA_LOG_RETENTION_MS: a dot is written _, an underscore __, a hyphen ___.
With nothing configured this is one node on localhost:9092 that keeps its data in ./drave-data (log.dirs).";

/// A Kafka-compatible log server.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "drave", version, about, after_help = AFTER_HELP)]
pub struct Args {
    /// Configuration with Kafka's keys, as a Java properties file
    #[arg(value_name = "server.properties")]
    pub file: Option<PathBuf>,
    /// Asks a running node whether it serves clients, for health checks: starts nothing, exits with 0 or 1
    #[arg(long, value_name = "host:port", conflicts_with_all = ["file", "overrides"], value_parser = address)]
    pub probe: Option<HostPort>,
    /// Sets one key; may be repeated
    #[arg(long = "override", value_name = "key=value", value_parser = assignment)]
    pub overrides: Vec<(String, String)>,
}

fn address(text: &str) -> Result<HostPort, String> {
    HostPort::parse(text).ok_or_else(|| "expected host:port".into())
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().into(), value.trim().into())),
        _ => Err("expected key=value".into()),
    }
}
