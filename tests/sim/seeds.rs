//! The tests: seeds are told, and told again.

use crate::machine::Moment;
use crate::{random, story};
use std::process::{Command, Output, abort};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The one seed that a process tells.
const SEED: &str = "DRAVE_SIM_SEED";
/// How many are told, and from which on.
const SEEDS: &str = "DRAVE_SIM_SEEDS";
const FIRST: &str = "DRAVE_SIM_FIRST_SEED";
/// So many unless said otherwise.
const FEW: u64 = 8;
/// What a process says when it is done.
const DONE: &str = "told seed";
/// Who takes longer hangs, real time.
const LIMIT: Duration = Duration::from_secs(600);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Tells one seed, in this process. Without one there is nothing to do.
#[test]
fn one_seed() {
    let Some(seed) = number(SEED) else { return };
    if std::env::var("RUST_LOG").is_ok() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Moment);
        log.with_ansi(false).with_writer(std::io::stderr).init();
    }
    let (tell, told) = mpsc::channel();
    // A thread of its own, whose chance is seeded before it takes any.
    std::thread::spawn(move || {
        random::seed(seed);
        // The listener is gone only if the process is ending.
        let _ = tell.send(story::tell(seed));
    });
    match told.recv_timeout(LIMIT) {
        Ok(outcome) => println!("{DONE} {seed}: {outcome}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("seed {seed} failed"),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            eprintln!("seed {seed} hangs");
            abort();
        }
    }
}

/// Tells a seed in a process of its own.
fn tell(seed: u64) -> Output {
    let mut teller = Command::new(std::env::current_exe().expect("this test"));
    teller.args(["seeds::one_seed", "--exact", "--nocapture"]).env(SEED, seed.to_string());
    teller.output().expect("a process")
}

fn outcome(output: &Output) -> Option<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(|line| line.split(DONE).nth(1)).map(str::to_owned)
}

#[test]
fn a_seed_does_the_same_each_time() {
    if number(SEED).is_some() {
        return;
    }
    let [once, again] = [tell(1), tell(1)].map(|output| outcome(&output).expect("an outcome"));
    assert_eq!(once, again);
}

#[test]
fn clusters_keep_what_they_promise() {
    if number(SEED).is_some() {
        return;
    }
    let first = number(FIRST).unwrap_or(0);
    let (next, end) = (AtomicU64::new(first), first + number(SEEDS).unwrap_or(FEW));
    let tell_some = || {
        let mut failed = vec![];
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < end
        {
            let output = tell(seed);
            match outcome(&output) {
                Some(outcome) => println!("seed{outcome}"),
                None => {
                    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
                    eprintln!("again: {SEED}={seed} cargo test --test sim one_seed");
                    failed.push(seed);
                }
            }
        }
        failed
    };
    let tellers = std::thread::available_parallelism().map_or(1, Into::into);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..tellers).map(|_| scope.spawn(tell_some)).collect();
        running.into_iter().flat_map(|teller| teller.join().expect("no panic")).collect()
    });
    assert!(failed.is_empty(), "seeds {failed:?} failed");
}
