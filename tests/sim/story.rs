//! One seed: a cluster begins, works while much goes wrong, is healed, and must then be as if nothing had been.

use crate::client::producer::Producer;
use crate::client::{Act, Client, admin, committer, consumer, member, voters};
use crate::history::Counts;
use crate::nemesis::Nemesis;
use crate::world::World;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use storage::disk::fault::Rng;
use tokio::sync::watch;

/// How long a cluster may take to begin, ms.
const BEGINNING: u64 = 10_000;
/// How long things go wrong at least, and how much longer at most, ms.
const TROUBLE: u64 = 10_000;
const MORE_TROUBLE: usize = 20_000;
/// How long a healed cluster may take until all is in sync, all that was sent acknowledged, and all read.
const HEALING: u64 = 60_000;

/// The partitions that are written to and read.
const TOPICS: [(&str, i32); 2] = [("orders", 2), ("events", 1)];
const COMMITTERS: usize = 2;
/// Of the quorum.
const OPERATORS: usize = 1;
/// Members of one group.
const MEMBERS: usize = 3;

/// What came of it.
pub struct Outcome {
    pub counts: Counts,
    /// How many events there were, and their sum.
    pub trace: (u64, u64),
    pub simulated_ms: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { counts, trace: (events, sum), simulated_ms } = self;
        write!(f, "{simulated_ms} ms, {events} events, {counts}, trace {sum:016x}")
    }
}

pub fn tell(seed: u64) -> Outcome {
    let mut world = World::new(seed);
    let setup = world.setup.clone();
    world.note(&format!("seed {seed}: {setup:?}"));
    let (act, seen) = watch::channel(Act::Work);
    begin(&mut world, seed, seen);
    let end = world.now() + TROUBLE + world.rng.below(MORE_TROUBLE) as u64;
    let mut nemesis = Nemesis::new(&world);
    while world.now() < end {
        nemesis.act(&mut world);
        world.tick();
    }
    nemesis.heal(&mut world);
    act.send_replace(Act::Finish);
    let whole = world.run_until(HEALING, |world| {
        nemesis.restart_ended(world);
        world.is_whole()
    });
    assert!(whole, "the cluster does not heal\n{}", world.state());
    act.send_replace(Act::Rest);
    let finishers = partitions().len() * 2 + COMMITTERS + OPERATORS;
    let whole = world.run_until(HEALING, |world| {
        nemesis.restart_ended(world);
        world.history.finished_clients() == finishers
    });
    let finished = world.history.finished_clients();
    assert!(whole, "no progress: {finished} of {finishers} clients finished\n{}", world.state());
    world.history.look_begins();
    act.send_replace(Act::Look);
    let looked = world.run_until(HEALING, |world| world.history.looks() == partitions().len());
    assert!(looked, "not all could be read\n{}", world.state());
    world.compare_logs();
    world.history.check_end();
    let wrong = world.history.violations();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Outcome { counts: world.history.counts(), trace: world.trace.sum(), simulated_ms: world.now() }
}

/// Starts all nodes and the clients, and waits until all nodes serve.
fn begin(world: &mut World, seed: u64, act: watch::Receiver<Act>) {
    for at in 0..world.places.len() {
        let late = world.rng.below(3_000) as u64;
        world.run_until(late, |_| false);
        world.start(at);
    }
    let client = Client {
        brokers: world.setup.machines().collect(),
        history: world.history.clone(),
        rng: Arc::new(Mutex::new(Rng::new(seed ^ 0x636c_6900))),
        act,
    };
    let (votes, takes) = (world.votes.clone(), world.setup.takes_votes);
    world.employ(client, |client| {
        let operator = voters::run(client.clone(), votes, takes).boxed();
        work(client).into_iter().chain([operator]).collect()
    });
    let begun =
        world.run_until(BEGINNING, |world| world.is_whole() && world.history.counts().acknowledged > 0);
    assert!(begun, "the cluster does not begin\n{}", world.state());
}

fn partitions() -> Vec<(String, i32)> {
    let all = TOPICS.iter().flat_map(|(topic, count)| (0..*count).map(|one| ((*topic).to_owned(), one)));
    all.collect()
}

fn work(client: Client) -> Vec<BoxFuture<'static, ()>> {
    let mut work = vec![];
    for (topic, count) in TOPICS {
        let client = client.clone();
        work.push(async move { admin::create(&client, topic, count, -1, &[]).await }.boxed());
    }
    for (topic, partition) in partitions() {
        for window in [1, 5] {
            work.push(Producer::run(client.clone(), topic.clone(), partition, window).boxed());
        }
        work.push(consumer::run(client.clone(), topic, partition).boxed());
    }
    for number in 0..COMMITTERS {
        work.push(committer::run(client.clone(), number, TOPICS[0].0.to_owned()).boxed());
    }
    for _ in 0..MEMBERS {
        work.push(member::run(client.clone(), "members".to_owned(), TOPICS[0].0.to_owned()).boxed());
    }
    work.push(admin::come_and_go(client.clone()).boxed());
    work.push(admin::reassign(client.clone(), partitions()).boxed());
    work.push(admin::elect(client).boxed());
    work
}
