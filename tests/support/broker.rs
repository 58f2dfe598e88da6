//! A broker of this build in a process of its own.

use super::port::Port;
use super::process::poll;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_millis(60_000);
/// ApiVersions 0, correlation id 1, no client id.
const HELLO: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
/// Lines of the broker's log that a failed test shows.
const SHOWN: usize = 200;

/// A broker on a port and in a directory of its own. Both stay until it is dropped, over any number of starts.
pub struct Broker {
    dir: TempDir,
    port: Port,
    args: Vec<String>,
    child: Option<Child>,
}

impl Broker {
    /// Starts a broker with these keys; returns when it answers.
    pub fn start(overrides: &[(&str, &str)]) -> Broker {
        let port = Port::reserve();
        let mut keys = vec![format!("listeners=PLAINTEXT://127.0.0.1:{}", port.number())];
        keys.extend(overrides.iter().map(|(key, value)| format!("{key}={value}")));
        let mut broker = Broker::prepare(port, keys);
        broker.restart();
        broker
    }

    /// A broker with these keys that is not started yet.
    pub fn prepare(port: Port, keys: Vec<String>) -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let own = [
            format!("log.dirs={}", dir.path().join("data").display()),
            "group.initial.rebalance.delay.ms=0".to_owned(),
        ];
        let args = own.into_iter().chain(keys).flat_map(|key| ["--override".to_owned(), key]).collect();
        Broker { dir, port, args, child: None }
    }

    /// Starts a broker with a configuration file in which `{dir}` and `{port}` are filled in, and nothing else.
    pub fn start_with_file(properties: &str) -> Broker {
        let (dir, port) = (tempfile::tempdir().unwrap(), Port::reserve());
        let at = dir.path().display().to_string();
        let text = properties.replace("{dir}", &at).replace("{port}", &port.number().to_string());
        let file = dir.path().join("server.properties");
        std::fs::write(&file, text).unwrap();
        let mut broker = Broker { args: vec![file.display().to_string()], dir, port, child: None };
        broker.restart();
        broker
    }

    /// Starts it again with what it left behind. Returns how long it took to answer.
    pub fn restart(&mut self) -> Duration {
        self.kill9();
        let begun = Instant::now();
        self.begin();
        self.await_ready();
        begun.elapsed()
    }

    /// Starts it without waiting for it.
    pub fn begin(&mut self) {
        self.child = Some(self.spawn());
    }

    /// Waits until it answers.
    pub fn await_ready(&mut self) {
        let ready = poll(PATIENCE, || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the broker ended at its start: {ended:?}");
            answers(self.port.number()).then_some(())
        });
        assert!(ready.is_some(), "the broker does not answer");
    }

    /// Has the process stand still (SIGSTOP), go on (SIGCONT), or stop (SIGTERM).
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().expect("the broker runs")), signal).unwrap();
    }

    /// For `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Starts with another text in its listeners from now on.
    pub fn replace(&mut self, old: &str, new: &str) {
        let listeners = self.args.iter_mut().filter(|arg| arg.starts_with("listeners="));
        listeners.for_each(|arg| *arg = arg.replace(old, new));
    }

    /// Starts with this key, and its value, in the place of another from now on.
    pub fn exchange(&mut self, old: &str, new: String) {
        *self.args.iter_mut().find(|arg| *arg == old).expect("the key is set") = new;
    }

    /// All keys that it is started with.
    pub fn keys(&self) -> Vec<String> {
        self.args.iter().filter(|arg| *arg != "--override").cloned().collect()
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its log directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A directory for the test's own files that goes with the broker.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it if it runs.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to stop, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.await_end()
    }

    /// Waits until it has ended.
    pub fn await_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the broker runs");
        let ended = poll(PATIENCE, || child.try_wait().unwrap());
        ended.unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("the broker does not end");
        })
    }

    /// All that it has logged, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    fn spawn(&self) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
        std::env::vars().filter(|(name, _)| name.starts_with("KAFKA_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.args(&self.args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }
}

/// A bound port accepts before anybody serves it: only an answer counts.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(HELLO)?;
        stream.read_exact(&mut [0; 8])
    };
    ask().is_ok()
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the broker's log\n{}", lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
        }
    }
}
