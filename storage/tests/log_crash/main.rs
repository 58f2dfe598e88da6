//! A log on a disk that loses power, fails and fills up: what may be lost, and what may not.
//!
//! Each seed is a story of several lives of one log. `DRAVE_CRASH_SEEDS=100000` tells more of them,
//! `DRAVE_CRASH_SEED=17` tells one again.

mod checks;
mod history;
mod story;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use story::Story;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("DRAVE_CRASH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DRAVE_CRASH_SEEDS").unwrap_or(1_000),
    }
}

/// Says which seed failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("DRAVE_CRASH_SEED={}", self.0);
        }
    }
}

#[test]
fn crashes_lose_only_what_was_not_synced() {
    let (next, lost) = (AtomicU64::new(seeds().start), AtomicUsize::new(0));
    let tell_some = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds().end
        {
            let _told = Told(seed);
            lost.fetch_add(Story::new(seed).tell(), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(tell_some)));
    });
    assert!(seeds().count() == 1 || lost.into_inner() > 0, "a disk that never loses anything proves nothing");
}
