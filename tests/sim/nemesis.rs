//! What goes wrong.

mod stranded;

use crate::disk::Speed;
use crate::machine::Stage;
use crate::net::Machine;
use crate::setup::{DIR, MIN_ISR, OTHER_DIR};
use crate::world::World;
use drave::broker::View;
use drave::cluster::image::TopicImage;
use drave::types::TopicPartition;
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::disk::fault::{Errno, Fault, Op, When};
use stranded::{Stranded, Stranding};

/// Between two faults at most, ms.
const BETWEEN: usize = 2_500;
/// How long something stays as it is at most, ms.
const WHILE: usize = 6_000;
const SHORTLY: usize = 700;
/// How long the leaders of a partition are hunted at most, and how long each leads then at most, ms.
const HUNT: usize = 5_000;
const REIGN: usize = 60;

/// What is to come of what was done, and when.
pub struct Nemesis {
    next: u64,
    due: Vec<(u64, Next)>,
    /// Places that are not in sync again since their machines lost power.
    dark: BTreeSet<usize>,
    /// Likewise, since a disk failed or was lost.
    lost: BTreeSet<usize>,
    hunted: Option<Hunted>,
    stranding: Option<Stranding>,
}

/// A partition whose leaders are killed as soon as they lead: what one has done of its beginning, the next one finds.
struct Hunted {
    partition: TopicPartition,
    /// The last epoch whose leader was found.
    epoch: i32,
    until: u64,
}

#[derive(Clone, Debug)]
enum Next {
    Start(usize),
    /// And it is started shortly after.
    Kill(usize),
    /// The disk stopped a moment ago, whatever it was at.
    PowerGoes(usize),
    Release(Machine, Machine),
    Quicken(Machine, Machine),
    Speed(usize),
    /// All others are killed: who lacks something must not lead in their place.
    LeaveAlone(usize),
    /// A disk that fails is mended, and its node begins anew.
    Mend(usize),
}

impl Nemesis {
    pub fn new(world: &World) -> Nemesis {
        let (dark, lost) = Default::default();
        Nemesis { next: world.now(), due: vec![], dark, lost, hunted: None, stranding: None }
    }

    /// Does what is due.
    pub fn act(&mut self, world: &mut World) {
        self.go_on(world, false);
        self.restart_ended(world);
        self.hunt_on(world);
        self.strand_on(world);
        if world.now() < self.next {
            return;
        }
        self.next = world.now() + 1 + world.rng.below(BETWEEN) as u64;
        self.strike(world);
    }

    /// Ends all faults.
    pub fn heal(&mut self, world: &mut World) {
        while !self.due.is_empty() {
            self.go_on(world, true);
        }
        self.restart_ended(world);
        world.note("all is healed");
    }

    fn go_on(&mut self, world: &mut World, with_all: bool) {
        let now = world.now();
        let due: Vec<Next> =
            self.due.extract_if(.., |(at, _)| with_all || *at <= now).map(|(_, next)| next).collect();
        for next in due {
            world.note(&format!("{next:?}"));
            match next {
                Next::Start(at) if !self.is_up(world, at) => world.start(at),
                Next::Start(_) => {}
                Next::Kill(at) => {
                    let end = now + 1 + world.rng.below(SHORTLY) as u64;
                    self.kill(world, at, end);
                }
                Next::PowerGoes(at) => self.power_goes(world, at),
                Next::LeaveAlone(at) if !with_all => self.kill_all(world, Some(at)),
                Next::LeaveAlone(_) => {}
                Next::Release(from, to) => world.net.release(from, to),
                Next::Quicken(from, to) => world.net.slow(from, to, 0),
                Next::Speed(at) => {
                    world.places[at].hardware.data.set(Speed::Fast);
                    world.places[at].hardware.metadata.set(Speed::Fast);
                }
                Next::Mend(at) => {
                    world.places[at].hardware.disk.heal();
                    if world.places[at].running.is_some() {
                        world.kill(at);
                        world.start(at);
                    }
                }
            }
        }
    }

    /// A process that ended by itself is started again, as a supervisor does.
    pub fn restart_ended(&mut self, world: &mut World) {
        for at in 0..world.places.len() {
            if let Some(Stage::Ended(why)) = world.stage(at) {
                world.note(&format!("node {} ended: {why}", world.places[at].hardware.id));
                world.kill(at);
                world.start(at);
            }
        }
    }

    fn strike(&mut self, world: &mut World) {
        let at = world.rng.below(world.places.len());
        let (from, to) = self.two(world);
        let end = world.now() + 1 + world.rng.below(WHILE) as u64;
        match world.rng.below(20) {
            0 | 1 => self.kill(world, at, end),
            2 | 12 => self.cut_power(world, at),
            13 => self.kill_all(world, None),
            14 => self.black_out(world),
            3 => self.stop(world, at),
            4 => self.hold(world, from, to, end),
            5 => {
                self.hold(world, from, to, end);
                self.hold(world, to, from, end);
            }
            6 => self.isolate(world, at, end),
            7 => self.slow(world, from, to, end),
            8 => {
                world.note(&format!("connections between {from} and {to} are reset"));
                world.net.reset(from, to);
            }
            9 => self.pause(world, at, end),
            10 => self.slow_disk(world, at, end),
            11 => self.fail_disk(world, at, end),
            15 | 16 => self.hunt(world),
            17 | 18 => self.strand(world),
            _ => self.step_clock(world, at),
        }
    }

    /// Has the leaders of one partition hunted.
    fn hunt(&mut self, world: &mut World) {
        let views = world.views();
        let Some((_, view)) = views.first() else { return };
        let image = view.metadata.image();
        let partitions = |topic: &Arc<TopicImage>| {
            let topic = topic.clone();
            (0..topic.partition_count()).map(move |partition| TopicPartition { topic: topic.id, partition })
        };
        let mut all: Vec<_> = image.topics.iter().flat_map(partitions).collect();
        if all.is_empty() {
            return;
        }
        let partition = all.swap_remove(world.rng.below(all.len()));
        let until = world.now() + 1 + world.rng.below(HUNT) as u64;
        world.note(&format!("the leaders of {partition:?} are hunted until {until}"));
        self.hunted = Some(Hunted { partition, epoch: -1, until });
    }

    fn hunt_on(&mut self, world: &mut World) {
        let Some(hunted) = self.hunted.as_mut().filter(|hunted| world.now() < hunted.until) else { return };
        let found = world.leader(hunted.partition).filter(|(_, epoch)| *epoch > hunted.epoch);
        let Some((at, epoch)) = found else { return };
        hunted.epoch = epoch;
        self.due.push((world.now() + 1 + world.rng.below(REIGN) as u64, Next::Kill(at)));
    }

    /// Has who joins an ISR next stranded.
    fn strand(&mut self, world: &mut World) {
        let until = world.now() + 1 + world.rng.below(HUNT) as u64;
        world.note(&format!("who joins until {until} is stranded"));
        self.stranding = Some(Stranding::new(until));
    }

    fn strand_on(&mut self, world: &mut World) {
        self.stranding.take_if(|stranding| stranding.is_over(world.now()));
        let Some(stranded) = self.stranding.as_mut().and_then(|stranding| stranding.look(world)) else {
            return;
        };
        let Stranded { member, leader, controller } = stranded;
        self.stranding = None;
        let falls = world.now() + 1 + world.rng.below(SHORTLY) as u64;
        let leads = world.places.iter().position(|place| place.hardware.id == leader);
        self.due.extend(leads.map(|at| (falls, Next::Kill(at))));
        // What was kept back must not arrive before somebody else leads.
        let end = falls + 1 + world.rng.below(WHILE) as u64;
        self.hold(world, leader, member, end);
        self.hold(world, controller, leader, end);
    }

    /// Two nodes.
    fn two(&self, world: &mut World) -> (Machine, Machine) {
        let count = world.places.len();
        let from = world.rng.below(count);
        let to = (from + 1 + world.rng.below(count - 1)) % count;
        (world.places[from].hardware.id, world.places[to].hardware.id)
    }

    fn is_up(&self, world: &World, at: usize) -> bool {
        world.places[at].running.is_some()
    }

    fn kill(&mut self, world: &mut World, at: usize, end: u64) {
        if self.is_up(world, at) {
            world.note(&format!("node {} is killed", world.places[at].hardware.id));
            world.kill(at);
            self.due.push((end, Next::Start(at)));
        }
    }

    /// The power goes in the midst of what the disk is at. Unless each acknowledgement is on the disks, and no disk is
    /// lost, no more machines lose power than the promise allows.
    fn cut_power(&mut self, world: &mut World, at: usize) {
        let may_lack = self.may_lack(world, at);
        let on_disks = world.setup.syncs && self.lost.iter().all(|place| *place == at);
        if self.is_up(world, at) && (on_disks || may_lack) {
            self.dark.insert(at);
            let changes = world.rng.below(40) as u64;
            world.note(&format!("machine {} loses power in {changes} changes", world.places[at].hardware.id));
            world.places[at].hardware.disk.power_off_after(changes);
            self.due.push((world.now() + 1 + world.rng.below(30) as u64, Next::PowerGoes(at)));
        }
    }

    /// All machines lose power: only where each acknowledgement is on the disks.
    fn black_out(&mut self, world: &mut World) {
        if !world.setup.syncs || !self.lost.is_empty() {
            return;
        }
        world.note("all machines lose power");
        for at in 0..world.places.len() {
            self.cut_power(world, at);
        }
    }

    /// Ends all processes but that of one place.
    fn kill_all(&mut self, world: &mut World, but: Option<usize>) {
        for at in (0..world.places.len()).filter(|at| Some(*at) != but) {
            let end = world.now() + 1 + world.rng.below(WHILE) as u64;
            self.kill(world, at, end);
        }
    }

    fn power_goes(&mut self, world: &mut World, at: usize) {
        world.cut_power(at);
        let longest = if world.rng.one_in(2) { WHILE } else { SHORTLY };
        let end = world.now() + 1 + world.rng.below(longest) as u64;
        self.due.push((end, Next::Start(at)));
        if world.rng.one_in(3) {
            self.due.push((end + 1 + world.rng.below(SHORTLY) as u64, Next::LeaveAlone(at)));
        }
        // Disks may be lost altogether.
        if world.rng.one_in(3) && self.may_lack(world, at) {
            world.note(&format!("a disk of machine {} is lost", world.places[at].hardware.id));
            self.lost.insert(at);
            world.wipe(at, OTHER_DIR);
            self.lose_metadata(world, at);
        }
    }

    /// The other disk too, sometimes, if the votes that remain can admit another directory in its place.
    fn lose_metadata(&mut self, world: &mut World, at: usize) {
        let id = world.places[at].hardware.id;
        if !world.setup.takes_votes && world.rng.one_in(2) && world.votes.lose(id.into()) {
            world.note(&format!("machine {id} is wiped"));
            world.wipe(at, DIR);
        }
    }

    /// Whether the promise still holds if this machine's disk lacks what was acknowledged.
    fn may_lack(&mut self, world: &World, at: usize) -> bool {
        let views = world.views();
        let goes = |place: &usize| {
            self.due.iter().any(|(_, next)| matches!(next, Next::PowerGoes(at) if at == place))
        };
        self.dark.retain(|place| goes(place) || !is_in_sync(world, *place, &views));
        self.lost.retain(|place| !is_in_sync(world, *place, &views));
        let others = self.dark.union(&self.lost).filter(|lacks| **lacks != at).count();
        others + 1 < MIN_ISR
    }

    /// One of a machine's disks fails each call of a kind, or one in some.
    fn fail_disk(&mut self, world: &mut World, at: usize, end: u64) {
        if !self.is_up(world, at) || !self.may_lack(world, at) {
            return;
        }
        self.lost.insert(at);
        let op = [Op::Write, Op::Sync, Op::Open, Op::Read][world.rng.below(4)];
        let dir = [DIR, OTHER_DIR][world.rng.below(2)];
        let when = if world.rng.one_in(2) { When::From(1) } else { When::OneIn(10) };
        let errno = if op == Op::Write && world.rng.one_in(2) { Errno::NOSPC } else { Errno::IO };
        let fault = Fault { op, under: dir.into(), when, errno };
        world.note(&format!("a disk of machine {} fails: {fault:?}", world.places[at].hardware.id));
        world.places[at].hardware.disk.inject(fault);
        self.due.push((end, Next::Mend(at)));
    }

    fn stop(&mut self, world: &mut World, at: usize) {
        if let Some(running) = &world.places[at].running {
            let stop = running.node.stop.lock().take();
            world.note(&format!("node {} is told to stop", world.places[at].hardware.id));
            stop.map(|stop| stop.send(()));
        }
    }

    fn hold(&mut self, world: &mut World, from: Machine, to: Machine, end: u64) {
        world.note(&format!("held: {from} -> {to}"));
        world.net.hold(from, to);
        self.due.push((end, Next::Release(from, to)));
    }

    fn isolate(&mut self, world: &mut World, at: usize, end: u64) {
        let id = world.places[at].hardware.id;
        let others: Vec<Machine> = world.setup.machines().filter(|other| *other != id).collect();
        for other in others {
            self.hold(world, id, other, end);
            self.hold(world, other, id, end);
        }
    }

    fn slow(&mut self, world: &mut World, from: Machine, to: Machine, end: u64) {
        let delay = 10 + world.rng.below(300) as u64;
        world.note(&format!("slow: {from} -> {to} by {delay} ms"));
        world.net.slow(from, to, delay);
        self.due.push((end, Next::Quicken(from, to)));
    }

    fn pause(&mut self, world: &mut World, at: usize, end: u64) {
        if self.is_up(world, at) && world.places[at].pause.is_none() {
            world.note(&format!("node {} stands still until {end}", world.places[at].hardware.id));
            world.places[at].pause = Some((world.now(), end));
        }
    }

    fn slow_disk(&mut self, world: &mut World, at: usize, end: u64) {
        let speed =
            if world.rng.one_in(3) { Speed::Stalled } else { Speed::Slow(20 + world.rng.below(400) as u64) };
        let with_metadata = !world.rng.one_in(3);
        let what = if with_metadata { "the disk" } else { "the data, not the metadata," };
        world.note(&format!("{what} of {} is {speed:?}", world.places[at].hardware.id));
        world.places[at].hardware.data.set(speed);
        if with_metadata {
            world.places[at].hardware.metadata.set(speed);
        }
        self.due.push((end, Next::Speed(at)));
    }

    /// Up to half an hour, forth or back.
    fn step_clock(&mut self, world: &mut World, at: usize) {
        let step = world.rng.below(3_600_000) as i64 - 1_800_000;
        world.note(&format!("the clock of {} is {step} ms off", world.places[at].hardware.id));
        world.places[at].hardware.wall_offset.store(step, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Whether a node serves, and is in sync wherever it has a replica, by all that is known.
fn is_in_sync(world: &World, at: usize, views: &[(Machine, View)]) -> bool {
    let id = i32::from(world.places[at].hardware.id);
    let serves = world.stage(at) == Some(Stage::Serving);
    let everywhere = |(_, view): &(Machine, View)| {
        let image = view.metadata.image();
        let mut partitions = image.topics.iter().flat_map(|topic| topic.partitions());
        partitions.all(|one| one.replica_on(id).is_none() || one.isr.contains(&id))
    };
    serves && views.iter().all(everywhere)
}
