//! The tests: seeds are told, and told again.

use crate::story::{Outcome, STORIES};
use crate::{lines, random};
use std::iter;
use std::ops::Range;
use std::process::{Command, Output, abort};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The one seed that a process tells, and of which story.
const SEED: &str = "DRAVE_SIM_SEED";
const STORY: &str = "DRAVE_SIM_STORY";
/// The one that is told unless said otherwise.
const TROUBLE: &str = "trouble";
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

fn named(story: &str) -> fn(u64) -> Outcome {
    let found = STORIES.iter().find(|(name, _)| *name == story);
    found.unwrap_or_else(|| panic!("there is no story {story:?}")).1
}

/// Tells one seed, in this process. Without one there is nothing to do.
#[test]
fn one_seed() {
    let Some(seed) = number(SEED) else { return };
    let story = named(std::env::var(STORY).as_deref().unwrap_or(TROUBLE));
    lines::keep();
    let (tell, told) = mpsc::channel();
    // A thread of its own, whose chance is seeded before it takes any.
    std::thread::spawn(move || {
        random::seed(seed);
        // The listener is gone only if the process is ending.
        let _ = tell.send(story(seed));
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
fn tell(story: &str, seed: u64) -> Output {
    let mut teller = Command::new(std::env::current_exe().expect("this test"));
    teller.args(["seeds::one_seed", "--exact", "--nocapture"]);
    teller.env(STORY, story).env(SEED, seed.to_string()).output().expect("a process")
}

fn outcome(output: &Output) -> Option<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(|line| line.split(DONE).nth(1)).map(str::to_owned)
}

/// Whether it ended well; says how.
fn ends_well(story: &str, seed: u64) -> bool {
    let output = tell(story, seed);
    match outcome(&output) {
        Some(outcome) => println!("seed{outcome}"),
        None => {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            eprintln!("again: {STORY}={story} {SEED}={seed} cargo test --test sim one_seed");
        }
    }
    outcome(&output).is_some()
}

/// Those of `seeds` with which a story does not end well.
fn failing(story: &str, seeds: Range<u64>) -> Vec<u64> {
    let next = AtomicU64::new(seeds.start);
    let tell_some = || {
        let mine = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = mine.take_while(|seed| seeds.contains(seed));
        mine.filter(|seed| !ends_well(story, *seed)).collect::<Vec<u64>>()
    };
    let tellers = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..tellers).map(|_| scope.spawn(tell_some)).collect();
        running.into_iter().flat_map(|teller| teller.join().expect("no panic")).collect()
    })
}

#[test]
fn a_seed_does_the_same_each_time() {
    if number(SEED).is_some() {
        return;
    }
    let [once, again] =
        [tell(TROUBLE, 1), tell(TROUBLE, 1)].map(|output| outcome(&output).expect("an outcome"));
    assert_eq!(once, again);
}

#[test]
fn clusters_keep_what_they_promise() {
    if number(SEED).is_some() {
        return;
    }
    let first = number(FIRST).unwrap_or(0);
    let failed = failing(TROUBLE, first..first + number(SEEDS).unwrap_or(FEW));
    assert!(failed.is_empty(), "seeds {failed:?} failed");
}

#[test]
fn no_leadership_moves_while_data_stands_still() {
    if number(SEED).is_some() {
        return;
    }
    let failed = failing("stalled_disk", 0..2);
    assert!(failed.is_empty(), "seeds {failed:?} failed");
}

#[test]
fn a_majority_that_lost_its_metadata_begins_nothing() {
    if number(SEED).is_some() {
        return;
    }
    let failed = failing("wiped_voters", 0..4);
    assert!(failed.is_empty(), "seeds {failed:?} failed");
}
