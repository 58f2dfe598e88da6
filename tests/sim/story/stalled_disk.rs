//! The data of one machine after the other stands still on its disk, not its metadata: no leadership moves.
//!
//! What proves that a broker lives, and what decides who leads, waits for no data.

use super::{Outcome, Told, partitions};
use crate::disk::Speed;
use crate::setup::Setup;
use crate::world::World;
use drave::types::{BrokerId, LeaderEpoch, TopicPartition};
use std::collections::BTreeMap;
use storage::disk::fault::Rng;

/// What was on its way when a disk stopped has arrived by then, ms.
const SETTLED: u64 = 100;

pub fn tell(seed: u64) -> Outcome {
    let mut told = Told::begin(seed, setup, |_| vec![]);
    let world = &mut told.world;
    let session = world.setup.node(1).config.broker_session_timeout_ms as u64;
    let mut held_up = 0;
    for stall in [session - 1, 3 * session] {
        for at in 0..world.places.len() {
            held_up += stall_data(world, at, stall);
        }
    }
    assert!(held_up > 0, "nobody who stood still led anything that was written to");
    told.end(|_| {})
}

/// Acknowledgements wait for the disk: what merely lands in memory would not feel it.
fn setup(_: &mut Rng) -> Setup {
    Setup { nodes: 3, syncs: true, takes_votes: false }
}

/// Returns how many partitions could not be written to because of it.
fn stall_data(world: &mut World, at: usize, ms: u64) -> usize {
    let is_calm = world.run_until(60_000, |world| world.is_whole());
    assert!(is_calm, "it does not come to rest\n{}", world.state());
    let id = world.places[at].hardware.id;
    // What is made meanwhile had no leader before.
    let before = who_leads(world);
    world.note(&format!("the data of {id} stands still for {ms} ms"));
    let end = world.now() + ms;
    world.places[at].hardware.data.set(Speed::Stalled);
    world.run_until(SETTLED, |_| false);
    let waiting = led_by(world, i32::from(id));
    let ends: Vec<i64> = waiting.iter().map(|one| known_end(world, one)).collect();
    while world.now() < end {
        world.tick();
        let (now, mut led) = who_leads(world);
        led.retain(|partition, _| before.1.contains_key(partition));
        assert_eq!((now, led), before, "leadership moved while the data of {id} stood still");
    }
    let stood_still = waiting.iter().map(|one| known_end(world, one)).eq(ends);
    assert!(stood_still, "something was acknowledged by {id}, whose data stands still");
    world.places[at].hardware.data.set(Speed::Fast);
    waiting.len()
}

/// The term of the quorum and each partition's leader, as the newest image has it.
fn who_leads(world: &World) -> (u64, BTreeMap<TopicPartition, (Option<BrokerId>, LeaderEpoch)>) {
    let views = world.views();
    let newest = views.iter().max_by_key(|(_, view)| view.metadata.image().applied.index);
    let (_, view) = newest.expect("all serve");
    let image = view.metadata.image();
    let leaders = image.topics.iter().flat_map(|topic| {
        let partition = |index| TopicPartition { topic: topic.id, partition: index };
        topic.partitions().map(move |one| (partition(one.index), (one.leader, one.leader_epoch)))
    });
    let term = view.metadata.status().borrow().term;
    (term, leaders.collect())
}

/// Those that are written to.
fn led_by(world: &World, broker: BrokerId) -> Vec<(String, i32)> {
    let (_, view) = &world.views()[0];
    let image = view.metadata.image();
    let leads = |(topic, partition): &(String, i32)| {
        let found = image.topics.by_name(topic).and_then(|topic| topic.partition(*partition).cloned());
        found.is_some_and(|one| one.leader == Some(broker))
    };
    partitions().filter(leads).collect()
}

fn known_end(world: &World, (topic, partition): &(String, i32)) -> i64 {
    world.history.known_end(topic, *partition)
}
