//! A healed cluster makes progress: it is as if nothing had been.
//!
//! Each within a minute: every node serves and every replica is in sync; all that was sent is acknowledged, commits are
//! found, and each controller has one vote; everything can be read.

use crate::client::Act;
use crate::world::World;
use tokio::sync::watch;

/// How long each may take, ms.
const HEALING: u64 = 60_000;

/// Who has something to finish.
pub struct Awaited {
    /// Clients that finish what they began.
    pub clients: usize,
    /// Partitions that are read once more.
    pub partitions: usize,
}

/// Tells the clients how far it is; `tend` does what somebody does for the nodes meanwhile.
pub fn check(
    world: &mut World,
    act: &watch::Sender<Act>,
    awaited: &Awaited,
    mut tend: impl FnMut(&mut World),
) {
    let mut within = |world: &mut World, done: fn(&World, &Awaited) -> bool| {
        world.run_until(HEALING, |world| {
            tend(world);
            done(world, awaited)
        })
    };
    act.send_replace(Act::Finish);
    let whole = within(world, |world, _| world.is_whole());
    assert!(whole, "the cluster does not heal\n{}", world.state());
    act.send_replace(Act::Rest);
    let finished = within(world, |world, awaited| world.history.finished_clients() == awaited.clients);
    let (count, of) = (world.history.finished_clients(), awaited.clients);
    assert!(finished, "no progress: {count} of {of} clients finished\n{}", world.state());
    world.history.look_begins();
    act.send_replace(Act::Look);
    let looked = within(world, |world, awaited| world.history.looks() == awaited.partitions);
    assert!(looked, "not all could be read\n{}", world.state());
}
