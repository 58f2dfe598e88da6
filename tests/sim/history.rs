//! What clients did and saw; each thing is checked as it becomes known.

use crate::invariants::acknowledged::Acknowledged;
use crate::invariants::committed::{self, Members};
use crate::invariants::shown::Shown;
use crate::invariants::watermark::Watermarks;
use crate::machine::Time;
use crate::trace::Trace;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A partition, as clients name it.
pub type Name = (String, i32);

/// Clones are the same.
#[derive(Clone)]
pub struct History {
    facts: Arc<Mutex<Facts>>,
    time: Time,
    trace: Trace,
}

#[derive(Default)]
struct Facts {
    acknowledged: Acknowledged,
    shown: Shown,
    watermarks: Watermarks,
    /// What was shown when all was read once more, from its beginning.
    last_shown: Option<Shown>,
    violations: Vec<String>,
    finished: usize,
    /// Partitions that were read once more, and their ends.
    looked: BTreeMap<Name, i64>,
    members: Members,
    commits: u64,
    generations: u64,
    given_up: u64,
}

/// How much there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: usize,
    pub shown: usize,
    pub commits: u64,
    /// Partitions that members were given.
    pub generations: u64,
    /// Producers that could not know what became of what they sent.
    pub given_up: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { acknowledged, shown, commits, generations, given_up } = self;
        write!(
            f,
            "{acknowledged} records acknowledged, {shown} shown, {commits} commits seen, {generations} partitions given to members, {given_up} producers gave up"
        )
    }
}

impl History {
    pub fn new(time: Time, trace: Trace) -> History {
        History { facts: Arc::default(), time, trace }
    }

    /// Values that nobody has sent yet, which `producer` is about to send.
    pub fn fresh(&self, topic: &str, partition: i32, producer: i64, count: usize) -> Vec<u64> {
        self.facts.lock().acknowledged.fresh((topic.to_owned(), partition), producer, count)
    }

    /// The values of a batch were acknowledged, the first at `offset` if that was told.
    pub fn acknowledged(&self, topic: &str, partition: i32, offset: Option<i64>, values: &[u64]) {
        self.trace.note(self.time.now(), &(topic, partition, offset, values));
        let facts = &mut *self.facts.lock();
        let violation = facts.acknowledged.acknowledged((topic.to_owned(), partition), offset, values);
        facts.violations.extend(violation);
    }

    /// A consumer was shown a record.
    pub fn shown(&self, topic: &str, partition: i32, offset: i64, value: Option<u64>) {
        self.trace.note(self.time.now(), &(topic, partition, offset, value));
        let facts = &mut *self.facts.lock();
        let name = (topic.to_owned(), partition);
        let violation = facts.shown.shown(name.clone(), offset, value);
        let again = facts.last_shown.as_mut().and_then(|last| last.shown(name, offset, value));
        facts.violations.extend(violation.or(again));
    }

    /// A consumer was told a high watermark by the leader of `epoch`, with a Fetch.
    pub fn fetched(&self, topic: &str, partition: i32, epoch: i32, watermark: i64) {
        self.trace.note(self.time.now(), &(topic, partition, epoch, watermark));
        let facts = &mut *self.facts.lock();
        let violation = facts.watermarks.fetched(&(topic.to_owned(), partition), epoch, watermark);
        facts.violations.extend(violation);
    }

    /// Likewise, as the latest offset.
    pub fn listed(&self, topic: &str, partition: i32, epoch: i32, watermark: i64) {
        self.trace.note(self.time.now(), &(topic, partition, epoch, watermark));
        let facts = &mut *self.facts.lock();
        let violation = facts.watermarks.listed(&(topic.to_owned(), partition), epoch, watermark);
        facts.violations.extend(violation);
    }

    /// A producer does not know what became of what it sent last.
    pub fn gave_up(&self, topic: &str, partition: i32, producer: i64) {
        self.trace.note(self.time.now(), &(topic, partition, producer));
        let facts = &mut *self.facts.lock();
        facts.given_up += 1;
        facts.acknowledged.gave_up((topic.to_owned(), partition), producer);
    }

    /// A coordinator said that `found` is committed, where that much is certain to be.
    pub fn committed(&self, group: &str, certain: i64, found: i64) {
        self.trace.note(self.time.now(), &(group, certain, found));
        let facts = &mut *self.facts.lock();
        facts.commits += 1;
        facts.violations.extend(committed::check(group, certain, found));
    }

    /// A member of a group is about to commit an offset.
    pub fn attempted(&self, group: &str, partition: u8, offset: i64) {
        self.facts.lock().members.attempted(group, partition, offset);
    }

    /// A member was told that it did.
    pub fn certain(&self, group: &str, partition: u8, offset: i64) {
        self.trace.note(self.time.now(), &(group, partition, offset));
        let facts = &mut *self.facts.lock();
        facts.commits += 1;
        facts.members.certain(group, partition, offset);
    }

    /// A member that was given a partition found what was committed before.
    pub fn found(&self, group: &str, partition: u8, offset: i64) {
        self.trace.note(self.time.now(), &(group, partition, offset));
        let facts = &mut *self.facts.lock();
        facts.generations += 1;
        let violation = facts.members.found(group, partition, offset);
        facts.violations.extend(violation);
    }

    pub fn violated(&self, what: String) {
        self.facts.lock().violations.push(what);
    }

    /// A client has nothing left to do.
    pub fn finished(&self) {
        self.facts.lock().finished += 1;
    }

    pub fn finished_clients(&self) -> usize {
        self.facts.lock().finished
    }

    /// From now on everything is read once more.
    pub fn look_begins(&self) {
        self.facts.lock().last_shown = Some(Shown::default());
    }

    /// Where a partition ends at least: behind all that was acknowledged or shown, or said to be committed.
    pub fn known_end(&self, topic: &str, partition: i32) -> i64 {
        let (facts, name) = (self.facts.lock(), (topic.to_owned(), partition));
        facts.acknowledged.end(&name).max(facts.shown.end(&name)).max(facts.watermarks.end(&name))
    }

    /// A partition was read to its end once more.
    pub fn looked(&self, topic: &str, partition: i32, end: i64) {
        self.facts.lock().looked.insert((topic.to_owned(), partition), end);
    }

    pub fn looks(&self) -> usize {
        self.facts.lock().looked.len()
    }

    /// Compares what was acknowledged, and what was shown, with what is there in the end.
    pub fn check_end(&self) {
        let facts = &mut *self.facts.lock();
        let Some(last) = &facts.last_shown else { return };
        facts.violations.extend(facts.acknowledged.compare(last.records()));
        facts.violations.extend(facts.shown.not_in(last));
    }

    /// What was not as it must be, so far.
    pub fn violations(&self) -> Vec<String> {
        let at = self.time.now();
        self.facts.lock().violations.iter().map(|what| format!("by {at} ms: {what}")).collect()
    }

    pub fn counts(&self) -> Counts {
        let facts = self.facts.lock();
        Counts {
            acknowledged: facts.acknowledged.count(),
            shown: facts.shown.count(),
            commits: facts.commits,
            generations: facts.generations,
            given_up: facts.given_up,
        }
    }
}
