//! Clients that produce while nodes go, and find in the end what became of their records.

use super::kafka::home_or;
use super::process::{run, wait_until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// On a machine that does much else.
const LIMIT: Duration = Duration::from_millis(300_000);
const CLIENTS: &[&str] = &["confluent-kafka", "kafka-python", "aiokafka"];
/// Kafka's own, where there is one.
const JAVA: &str = "java";
/// Records that each client has acknowledged of every partition between two mishaps.
const PROGRESS: u64 = 150;

/// A Python that has Kafka clients.
pub fn python() -> Option<PathBuf> {
    std::env::var_os("DRAVE_PYTHON").map(PathBuf::from).filter(|python| python.is_file())
}

/// One producer of each client, each with a topic of its own.
pub struct Survivors {
    folder: TempDir,
    clients: Vec<&'static str>,
    runs: Vec<JoinHandle<String>>,
}

impl Survivors {
    pub fn start(python: &Path, bootstrap: &str) -> Survivors {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/survive.py");
        let java = home_or("its Java client, since DRAVE_KAFKA_HOME names no Apache Kafka").map(|_| JAVA);
        let clients: Vec<&str> = CLIENTS.iter().copied().chain(java).collect();
        let start = |client: &&str| {
            let mut command = Command::new(python);
            command.arg("-B").arg(&script).args([bootstrap, client]).arg(folder.path());
            std::thread::spawn(move || {
                let out = run(&mut command, b"", LIMIT).ok();
                assert!(out.ends_with("ok\n"), "{out}");
                out
            })
        };
        let runs = clients.iter().map(start).collect();
        Survivors { folder, clients, runs }
    }

    /// Lets `mishap` happen while all produce. What it did to them is told under its name.
    pub fn endure(&self, name: &str, mishap: impl FnOnce()) {
        std::fs::write(self.folder.path().join("phase"), name).unwrap();
        self.progress();
        mishap();
        self.progress();
    }

    /// Waits until every producer has come further, or one has ended, which its run will explain.
    fn progress(&self) {
        let read = |client: &&str| std::fs::read_to_string(self.folder.path().join(client));
        let acknowledged =
            || self.clients.iter().map(|client| read(client).unwrap_or_default().parse().unwrap_or(0));
        let before: Vec<u64> = acknowledged().collect();
        wait_until("all producers are acknowledged", LIMIT, || {
            acknowledged().zip(&before).all(|(now, before)| now >= before + PROGRESS)
                || self.runs.iter().any(JoinHandle::is_finished)
        });
    }

    /// Ends them; prints what they found. One that misses a record, or has one twice, fails the test.
    pub fn end(mut self) {
        self.stop();
        self.runs.drain(..).for_each(|run| print!("{}", run.join().unwrap()));
    }

    fn stop(&self) {
        std::fs::write(self.folder.path().join("stop"), "").unwrap();
    }
}

impl Drop for Survivors {
    fn drop(&mut self) {
        self.stop();
        // What they say of it stands in their threads' panics.
        self.runs.drain(..).for_each(|run| drop(run.join()));
    }
}
