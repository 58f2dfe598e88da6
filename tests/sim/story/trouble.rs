//! A cluster works while much goes wrong, at once and in any order.

use super::{Outcome, Told, Work, partitions};
use crate::client::{Client, admin};
use crate::nemesis::Nemesis;
use crate::setup::Setup;
use futures_util::future::FutureExt;

/// How long things go wrong at least, and how much longer at most, ms.
const TROUBLE: u64 = 10_000;
const MORE_TROUBLE: usize = 20_000;

pub fn tell(seed: u64) -> Outcome {
    let mut told = Told::begin(seed, Setup::draw, administer);
    let world = &mut told.world;
    let end = world.now() + TROUBLE + world.rng.below(MORE_TROUBLE) as u64;
    let mut nemesis = Nemesis::new(world);
    while world.now() < end {
        nemesis.act(world);
        world.tick();
    }
    nemesis.heal(world);
    told.end(|world| nemesis.restart_ended(world))
}

/// Moves leaders and replicas, and makes topics that come and go.
fn administer(client: &Client) -> Work {
    vec![
        admin::come_and_go(client.clone()).boxed(),
        admin::reassign(client.clone(), partitions().collect()).boxed(),
        admin::elect(client.clone()).boxed(),
    ]
}
