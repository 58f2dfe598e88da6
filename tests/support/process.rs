//! Programs under a time limit.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Output {
    pub command: String,
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Output {
    /// What a program printed that ended well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{self}");
        self.out
    }

    /// All that a program printed that ended badly.
    #[track_caller]
    pub fn failed(self) -> String {
        assert!(!self.status.success(), "should have failed: {self}");
        self.out + &self.err
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Output { command, status, out, err } = self;
        write!(f, "{command}: {status}\n--- out\n{out}\n--- err\n{err}")
    }
}

/// Runs `command` with `stdin` to its end; kills it with all its children when `limit` has passed.
pub fn run(command: &mut Command, stdin: &[u8], limit: Duration) -> Output {
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut input, bytes) = (child.stdin.take().unwrap(), stdin.to_vec());
    // A program may end without having read everything.
    let fed = std::thread::spawn(move || drop(input.write_all(&bytes)));
    let (out, err) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
    let status = wait(&mut child, limit);
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    fed.join().unwrap();
    let status =
        status.unwrap_or_else(|| panic!("{name} took over {limit:?}\n--- out\n{out}\n--- err\n{err}"));
    Output { command: name, status, out, err }
}

/// How the child ended; nothing if it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let ended = poll(limit, || child.try_wait().unwrap());
    if ended.is_none() {
        let group = Pid::from_child(child);
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
        child.wait().unwrap();
    }
    ended.filter(|status| status.signal() != Some(Signal::KILL.as_raw()))
}

/// A program that runs beside the test, and is killed with all its children when the test ends.
pub struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    /// Starts `command`; all that it says goes to the file `said`.
    pub fn start(command: &mut Command, said: &Path) -> Running {
        let file = File::create(said).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, said: said.to_owned() }
    }

    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.said).unwrap()).into_owned()
    }

    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Asks it to stop and waits until it has.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_until("a program that was asked to stop stops", limit, || self.ended());
    }

    /// Does to it and its children what Ctrl-C does, and waits until it has stopped.
    #[track_caller]
    pub fn interrupt(&mut self, limit: Duration) {
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
        wait_until("a program that was interrupted stops", limit, || self.ended());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.said.display(), self.said());
        }
    }
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = vec![];
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until `condition` holds; fails the test, naming `what`, when `limit` has passed.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let held = poll(limit, || condition().then_some(()));
    assert!(held.is_some(), "not within {limit:?}: {what}");
}

/// Asks until there is an answer or `limit` has passed.
pub fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= end {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
