//! Apache Kafka's own tools, where there are any.

use super::process::{Output, run};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A JVM on a machine that does much else.
pub const LIMIT: Duration = Duration::from_millis(180_000);

/// Where Apache Kafka lies. Without it a test says that it was skipped, and is.
pub fn kafka_home() -> Option<PathBuf> {
    home_or("DRAVE_KAFKA_HOME does not name a directory with Apache Kafka")
}

/// Where Apache Kafka lies. Without it `what` is said to be skipped.
pub fn home_or(what: &str) -> Option<PathBuf> {
    let home = std::env::var_os("DRAVE_KAFKA_HOME").map(PathBuf::from);
    let home = home.filter(|home| home.join("libs").is_dir());
    if home.is_none() {
        skipped(what);
    }
    home
}

/// Says so where it is seen: what `println!` prints is kept from view in a test that passes.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

/// Runs one of Kafka's tools, named as its script without `.sh`, in a JVM of its own.
pub fn tool(name: &str, args: &[&str], stdin: &str) -> Output {
    let home = kafka_home().expect("a test without Kafka's tools is skipped before");
    run(script(&home, name).args(args), stdin.as_bytes(), LIMIT)
}

/// One of Kafka's scripts, in a JVM that starts soon and stays small.
pub fn script(home: &Path, name: &str) -> Command {
    let mut command = Command::new(home.join("bin").join(format!("{name}.sh")));
    command.env("KAFKA_HEAP_OPTS", "-Xmx256m -XX:TieredStopAtLevel=1");
    command
}
