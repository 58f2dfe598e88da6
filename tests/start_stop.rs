//! How the process starts, refuses to start, stops, and comes back while clients wait for it.

mod support;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::process::{Output, poll, run, wait_until};
use support::wire::{Wire, batch};

const LIMIT: Duration = Duration::from_millis(60_000);
const TOPIC: &str = "load";
const PARTITIONS: i32 = 20;
/// Acknowledgements of each producer between two kills.
const PROGRESS: u64 = 300;
/// From the start of the process to the first acknowledgement, on a machine that does much else, in a build for debugging.
const BACK_WITHIN: Duration = Duration::from_millis(15_000);

fn drave(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    std::env::vars().filter(|(name, _)| name.starts_with("KAFKA_")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    run(command.current_dir(folder).args(args), b"", LIMIT)
}

/// Starts it with a port and directory that are free, and `args`; returns the one line that it ends with.
fn refused(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let common = ["--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs=data"];
    let said = drave(folder.path(), &[&common, args].concat()).failed();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("drave: ")).collect();
    assert_eq!(lines.len(), 1, "one line says why: {said}");
    lines[0].to_owned()
}

#[test]
fn what_it_cannot_start_with_is_one_clear_line() {
    let broker = Broker::start(&[]);
    let port = format!("listeners=PLAINTEXT://{}", broker.address());
    let locked = format!("log.dirs={}", broker.data().display());
    let metadata = format!("metadata.log.dir={}", broker.data().display());
    let folder = broker.scratch().display().to_string();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--override", &port], &[&broker.address(), "already in use"]),
        (&["--override", &locked], &[&folder, "another process"]),
        (&["--override", &metadata], &[&folder, "another process", "metadata log"]),
        (&["--override", "num.partitions=many"], &["num.partitions", "\"many\"", "whole number"]),
        (&["--override", "listeners=nonsense"], &["listeners", "NAME://host:port"]),
        (&["--override", "log.dirs=/proc/nowhere"], &["/proc/nowhere", "No such file"]),
        (&["nowhere.properties"], &["cannot read nowhere.properties", "No such file"]),
        (&[&folder], &["cannot read", &folder, "directory"]),
    ];
    for (args, expected) in cases {
        let line = refused(args);
        assert!(expected.iter().all(|part| line.contains(part)), "{args:?} says {line:?}, not {expected:?}");
    }
}

/// A new cluster would know none of the partitions and put them all aside.
#[test]
fn partitions_without_their_metadata_are_left_alone() {
    let mut broker = Broker::start(&[]);
    Wire::connect(&broker.address()).create_topic(TOPIC, 1);
    assert!(broker.terminate().success());
    std::fs::remove_dir_all(broker.data().join("drave-metadata")).unwrap();
    let dirs = format!("log.dirs={}", broker.data().display());
    for _ in 0..2 {
        let line = refused(&["--override", &dirs]);
        let expected = ["drave-metadata: holds no metadata", "load-0", "restore", "no partition was touched"];
        assert!(expected.iter().all(|part| line.contains(part)), "{line}");
    }
    assert!(broker.data().join("load-0").is_dir());
}

#[test]
fn a_wrong_flag_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--frobnicate", "--override=nonsense"] {
        let said = drave(folder.path(), &[flag]).failed();
        let name = flag.trim_start_matches("--override=");
        assert!(said.starts_with("error: ") && said.contains(name), "{said}");
    }
    assert!(drave(folder.path(), &["--version"]).ok().starts_with("drave "));
    assert!(drave(folder.path(), &["--help"]).ok().contains("server.properties"));
}

/// Whether the process has a handler for SIGTERM yet.
fn catches_sigterm(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 << (Signal::TERM.as_raw() - 1) != 0)
}

#[test]
fn sigterm_ends_a_start_that_hangs_on_its_disk() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = folder.path().join("data/drave-metadata");
    std::fs::create_dir_all(&metadata).unwrap();
    // To open a pipe that nobody writes to takes for ever.
    mknodat(CWD, metadata.join("raft-node.id"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    command.current_dir(&folder).args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
    let mut child = command.args(["--override", "log.dirs=data"]).spawn().unwrap();
    wait_until("a handler for SIGTERM", LIMIT, || catches_sigterm(child.id()));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = poll(LIMIT, || child.try_wait().unwrap());
    child.kill().unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

#[test]
fn sigterm_leaves_the_clean_mark_and_a_kill_does_not() {
    let mut broker = Broker::start(&[]);
    let mark = broker.data().join(".kafka_cleanshutdown");
    let mut wire = Wire::connect(&broker.address());
    wire.create_topic(TOPIC, 3);
    assert_eq!(wire.produce(TOPIC, 1, batch()).unwrap(), 0);
    assert!(broker.terminate().success());
    assert!(mark.is_file(), "a clean stop is marked");
    broker.restart();
    assert!(!mark.exists(), "the mark is taken by the start");
    assert_eq!(Wire::connect(&broker.address()).produce(TOPIC, 1, batch()).unwrap(), 1);
    broker.kill9();
    assert!(!mark.exists(), "a kill leaves no mark");
    broker.restart();
    assert_eq!(Wire::connect(&broker.address()).produce(TOPIC, 1, batch()).unwrap(), 2);
}

/// The cluster still counts the killed process among the living, and nobody but this node could fence it.
#[test]
fn a_single_node_comes_back_with_its_data_replaced() {
    let mut broker = Broker::start_with_file(
        "listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={dir}/data\nmetadata.log.dir={dir}/metadata\n",
    );
    broker.kill9();
    std::fs::remove_dir_all(broker.data()).unwrap();
    broker.restart();
    Wire::connect(&broker.address()).create_topic(TOPIC, 1);
}

/// Producers that come back at once whenever they lose the broker.
#[derive(Default)]
struct Load {
    acknowledged: [AtomicU64; 2],
    done: AtomicBool,
}

impl Load {
    fn count(&self) -> [u64; 2] {
        self.acknowledged.each_ref().map(|count| count.load(Ordering::SeqCst))
    }

    /// Every partition's offsets grow without end: what was acknowledged is never given again.
    fn produce(&self, own: usize, address: &str) {
        let mut wire = None;
        let mut last = vec![-1; PARTITIONS as usize];
        let mut turn = own as i32;
        while !self.done.load(Ordering::SeqCst) {
            let Some(socket) = &mut wire else {
                wire = Wire::reach(address).ok();
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            turn = (turn + 1) % PARTITIONS;
            match socket.produce(TOPIC, turn, batch()) {
                Ok(offset) => {
                    let last = &mut last[turn as usize];
                    assert!(offset > *last, "partition {turn}: {offset} after {last} was acknowledged");
                    *last = offset;
                    self.acknowledged[own].fetch_add(1, Ordering::SeqCst);
                }
                Err(_) => wire = None,
            }
        }
    }

    fn wait_for_more(&self, more: u64) {
        let before = self.count();
        wait_until("producers are acknowledged", LIMIT, || {
            self.count().iter().zip(before).all(|(now, before)| *now >= before + more)
        });
    }
}

#[test]
fn producers_are_served_again_soon_after_a_kill() {
    let mut broker = Broker::start(&[]);
    let address = broker.address();
    Wire::connect(&address).create_topic(TOPIC, PARTITIONS);
    let load = Load::default();
    std::thread::scope(|scope| {
        let (load, address) = (&load, &address);
        let _stop = Stop(&load.done);
        (0..2).for_each(|own| drop(scope.spawn(move || load.produce(own, address))));
        for _ in 0..3 {
            load.wait_for_more(PROGRESS);
            broker.kill9();
            let begun = Instant::now();
            let ready = broker.restart();
            load.wait_for_more(1);
            let back = begun.elapsed();
            println!("answers {ready:?} after its start, producers are acknowledged after {back:?}");
            assert!(back < BACK_WITHIN, "{back:?}");
        }
    });
}

/// Ends the producers, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
