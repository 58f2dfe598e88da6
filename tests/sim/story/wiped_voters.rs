//! Two of three controllers lose their metadata at once: nothing is decided any more, no second cluster begins beside what
//! the third one knows, and each says why. With the metadata of one of them back, all goes on.

use super::{Outcome, Told};
use crate::lines;
use crate::machine::Stage;
use crate::setup::{DIR, METADATA_DIR, OTHER_DIR, Setup};
use crate::world::World;
use std::path::Path;
use storage::disk::Disk;
use storage::disk::fault::Rng;

/// How long clients work before, ms.
const WORK: u64 = 2_000;
/// How much later than the other a node may be started again, ms.
const LATE: usize = 3_000;
/// How long each state of things lasts, ms.
const WHILE: u64 = 12_000;
/// Where what is lost lies.
const ASIDE: &str = "/aside";
/// What a node says that begins a cluster, and what everybody says who knows why nothing is decided.
const BEGINS: &str = "a new cluster begins";
const WHY: &str = "2 of 3 voters have lost their metadata";

/// The machines, by their part in it.
struct Parts {
    /// Its controller has all that it ever had.
    third: usize,
    /// All its disks are lost.
    wiped: usize,
    /// Its metadata is lost, and found again.
    finds: usize,
}

pub fn tell(seed: u64) -> Outcome {
    let mut told = Told::begin(seed, setup, |_| vec![]);
    let world = &mut told.world;
    world.run_until(WORK, |_| false);
    let parts = parts(world, seed);
    // With half of the seeds the lease of the third still runs, if it leads, when they ask it.
    let are_apart = seed % 4 < 2;
    cut_off(world, &parts, are_apart);
    lose(world, &parts, if are_apart { LATE } else { 1 });
    stands_still(world, &parts);
    if are_apart {
        let missing = format!("no answer from 10.0.0.{}:9093", world.places[parts.third].hardware.id);
        assert!(
            [parts.wiped, parts.finds].iter().all(|at| says(world, *at, &missing)),
            "no word of the third"
        );
        cut_off(world, &parts, false);
        stands_still(world, &parts);
    }
    assert!((0..3).all(|at| says(world, at, WHY)), "somebody does not say why");
    lines::forget();
    world.kill(parts.third);
    world.start(parts.third);
    stands_still(world, &parts);
    assert!(says(world, parts.third, WHY), "it says so no more");
    find(world, &parts);
    told.end(|_| {})
}

fn setup(_: &mut Rng) -> Setup {
    Setup { nodes: 3, syncs: true, takes_votes: false }
}

/// The third leads the quorum with one seed, and follows with the next.
fn parts(world: &World, seed: u64) -> Parts {
    let leads = |at: usize| {
        let view = world.view(at).expect("all serve");
        view.metadata.status().borrow().is_leader()
    };
    let leader = (0..3).find(|at| leads(*at)).expect("somebody leads the quorum");
    let third = if seed.is_multiple_of(2) { leader } else { (leader + 1) % 3 };
    Parts { third, wiped: (third + 1) % 3, finds: (third + 2) % 3 }
}

fn lose(world: &mut World, parts: &Parts, latest: usize) {
    let Parts { wiped, finds, .. } = *parts;
    world.note(&format!("all disks of place {wiped}, and the metadata of place {finds}, are lost"));
    lines::forget();
    world.kill(wiped);
    world.kill(finds);
    let id = world.places[wiped].hardware.id;
    assert!(world.votes.lose(id.into()), "the operator has not seen who votes");
    [DIR, OTHER_DIR].iter().for_each(|dir| world.wipe(wiped, dir));
    rename(world, finds, METADATA_DIR, ASIDE);
    for at in [wiped, finds] {
        let late = world.rng.below(latest) as u64;
        world.run_until(late, |_| false);
        world.start(at);
    }
}

/// Its newest directory never was a member that anybody counted.
fn find(world: &mut World, parts: &Parts) {
    world.note(&format!("the metadata of place {} is back", parts.finds));
    world.kill(parts.finds);
    world.wipe(parts.finds, METADATA_DIR);
    rename(world, parts.finds, ASIDE, METADATA_DIR);
    world.start(parts.finds);
}

fn rename(world: &World, at: usize, from: &str, to: &str) {
    let renamed = world.places[at].hardware.disk.rename(Path::new(from), Path::new(to));
    renamed.expect("a directory");
}

fn cut_off(world: &mut World, parts: &Parts, is_cut: bool) {
    let id = |at: usize| world.places[at].hardware.id;
    let (third, others) = (id(parts.third), [id(parts.wiped), id(parts.finds)]);
    for (from, to) in others.into_iter().flat_map(|other| [(third, other), (other, third)]) {
        match is_cut {
            true => world.net.hold(from, to),
            false => world.net.release(from, to),
        }
    }
}

/// For a while nothing is decided, and nobody begins anything.
fn stands_still(world: &mut World, parts: &Parts) {
    let Parts { third, wiped, finds } = *parts;
    let applied = |world: &World| world.view(third).map(|view| view.metadata.image().applied);
    let before = applied(world);
    world.run_until(WHILE, |world| {
        assert_eq!(applied(world), before, "something was decided");
        for at in [wiped, finds] {
            assert_eq!(world.stage(at), Some(Stage::Starting), "who has no cluster serves, or ends");
        }
        false
    });
    let begins = (0..3).find(|at| says(world, *at, BEGINS));
    assert_eq!(begins, None, "a second cluster begins");
}

fn says(world: &World, at: usize, what: &str) -> bool {
    lines::of(world.places[at].hardware.id).iter().any(|line| line.contains(what))
}
