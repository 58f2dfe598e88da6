//! Stories of a cluster. Each is told by seeds: it begins, something happens to it, and it ends well.

mod stalled_disk;
mod trouble;
mod wiped_voters;

use crate::client::producer::Producer;
use crate::client::{Act, Client, admin, committer, consumer, member, voters};
use crate::history::Counts;
use crate::invariants::progress::{self, Awaited};
use crate::setup::Setup;
use crate::world::World;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use storage::disk::fault::Rng;
use tokio::sync::watch;

/// How long a cluster may take to begin, ms.
const BEGINNING: u64 = 10_000;
/// How much later than others a node may be started at first, ms.
const LATE: usize = 3_000;

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

/// By what it is called.
pub type Story = (&'static str, fn(u64) -> Outcome);

/// All stories, by name.
pub const STORIES: [Story; 3] =
    [("trouble", trouble::tell), ("stalled_disk", stalled_disk::tell), ("wiped_voters", wiped_voters::tell)];

type Work = Vec<BoxFuture<'static, ()>>;

/// A cluster with clients at work.
struct Told {
    world: World,
    /// Whom the clients follow.
    act: watch::Sender<Act>,
}

impl Told {
    /// Starts all nodes and the clients, those that `more` adds too, and waits until all nodes serve.
    fn begin(seed: u64, setup: impl FnOnce(&mut Rng) -> Setup, more: impl FnOnce(&Client) -> Work) -> Told {
        let mut world = World::new(seed, setup);
        let setup = world.setup.clone();
        world.note(&format!("seed {seed}: {setup:?}"));
        for at in 0..world.places.len() {
            let late = world.rng.below(LATE) as u64;
            world.run_until(late, |_| false);
            world.start(at);
        }
        let (act, seen) = watch::channel(Act::Work);
        let client = Client {
            brokers: setup.machines().collect(),
            history: world.history.clone(),
            rng: Arc::new(Mutex::new(Rng::new(seed ^ 0x636c_6900))),
            act: seen,
        };
        let operator = voters::run(client.clone(), world.votes.clone(), setup.takes_votes).boxed();
        let more = more(&client);
        world.employ(work(&client).into_iter().chain(more).chain([operator]));
        let begun =
            world.run_until(BEGINNING, |world| world.is_whole() && world.history.counts().acknowledged > 0);
        assert!(begun, "the cluster does not begin\n{}", world.state());
        Told { world, act }
    }

    /// Nothing is wrong with it any more: now all must be well soon, as `tend` does what is done for the nodes meanwhile.
    fn end(mut self, tend: impl FnMut(&mut World)) -> Outcome {
        let partitions = partitions().count();
        let awaited = Awaited { clients: partitions * 2 + COMMITTERS + OPERATORS, partitions };
        let world = &mut self.world;
        progress::check(world, &self.act, &awaited, tend);
        world.compare_logs();
        world.history.check_end();
        let wrong = world.history.violations();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Outcome { counts: world.history.counts(), trace: world.trace.sum(), simulated_ms: world.now() }
    }
}

fn partitions() -> impl Iterator<Item = (String, i32)> {
    TOPICS.iter().flat_map(|(topic, count)| (0..*count).map(|one| ((*topic).to_owned(), one)))
}

/// What clients do in every story.
fn work(client: &Client) -> Work {
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
    work
}
