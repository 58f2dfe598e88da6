//! The world: machines with nodes, a network between them, and clients beside them, all on one thread.
//!
//! Time goes in steps of a millisecond. In each the network delivers, then every process runs until it has nothing to do.

use crate::client::voters::Votes;
use crate::history::History;
use crate::invariants::images::Images;
use crate::invariants::leaders::Leaders;
use crate::invariants::logs;
use crate::machine::{Hardware, Node, Process, Stage, Time};
use crate::net::{Machine, Net};
use crate::setup::Setup;
use crate::trace::Trace;
use drave::broker::View;
use drave::partition::replica::Replica;
use drave::types::TopicPartition;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::disk::Disk;
use storage::disk::fault::Rng;

/// Between two looks at who leads, ms.
const LOOK: u64 = 5;
/// The machine of the clients.
const CLIENTS: Machine = 100;

pub struct World {
    pub setup: Setup,
    pub time: Time,
    pub net: Net,
    pub trace: Trace,
    pub rng: Rng,
    pub history: History,
    pub places: Vec<Place>,
    pub votes: Votes,
    clients: Option<Process>,
    images: Images,
    leaders: Leaders,
}

/// A machine, and the node that runs on it, if one does.
pub struct Place {
    pub hardware: Hardware,
    pub running: Option<Running>,
    /// Its process stands still from then on, and until then, ms.
    pub pause: Option<(u64, u64)>,
    pub has_power: bool,
    /// The newest image that was checked.
    checked: u64,
}

pub struct Running {
    pub node: Node,
    process: Process,
}

impl World {
    pub fn new(seed: u64, setup: impl FnOnce(&mut Rng) -> Setup) -> World {
        let (time, trace, mut rng) = (Time::default(), Trace::default(), Rng::new(seed));
        let setup = setup(&mut rng);
        let place = |id| Place {
            hardware: Hardware::new(id, seed),
            running: None,
            pause: None,
            has_power: true,
            checked: 0,
        };
        World {
            net: Net::new(seed ^ 0x6e65_7400, trace.clone()),
            history: History::new(time.clone(), trace.clone()),
            places: setup.machines().map(place).collect(),
            votes: Votes::default(),
            clients: None,
            images: Images::default(),
            leaders: Leaders::default(),
            setup,
            time,
            trace,
            rng,
        }
    }

    pub fn now(&self) -> u64 {
        self.time.now()
    }

    /// Notes what was done to the cluster.
    pub fn note(&mut self, what: &str) {
        tracing::info!("{what}");
        self.trace.note(self.now(), &what);
    }

    /// Gives the clients work, each a future of its own.
    pub fn employ(&mut self, work: impl Iterator<Item = BoxFuture<'static, ()>>) {
        let site = Hardware::new(CLIENTS, 0).site(&self.net, &self.time);
        let work: Vec<_> = work.collect();
        self.clients = Some(Process::start(site, async move {
            work.into_iter().for_each(|one| drop(tokio::spawn(one)));
        }));
    }

    /// Lets a millisecond pass.
    pub fn tick(&mut self) {
        self.time.tick();
        let now = self.now();
        self.net.advance(now);
        for place in &mut self.places {
            place.step(now);
        }
        if let Some(clients) = &self.clients {
            clients.step(1);
        }
        self.check();
    }

    /// Runs until `done`, for at most `limit` ms; whether it was.
    pub fn run_until(&mut self, limit: u64, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now() + limit;
        while self.now() < end {
            self.tick();
            if done(self) {
                return true;
            }
        }
        false
    }

    fn check(&mut self) {
        let now = self.now();
        for place in &mut self.places {
            let id = place.hardware.id;
            let Some(view) = place.running.as_ref().and_then(|running| running.node.view.lock().clone())
            else {
                continue;
            };
            let image = view.metadata.image();
            let wrong = match image.applied.index != place.checked {
                true => self.images.check(id, &image),
                false => None,
            };
            place.checked = image.applied.index;
            let wrong = wrong.or(if now.is_multiple_of(LOOK) {
                self.leaders.check(id, &view.replicas)
            } else {
                None
            });
            wrong.into_iter().for_each(|wrong| self.history.violated(wrong));
        }
        let wrong = self.history.violations();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    pub fn start(&mut self, at: usize) {
        let place = &mut self.places[at];
        if !place.has_power {
            place.has_power = true;
            self.net.light(place.hardware.id);
        }
        let (node, stopped) = Node::new();
        let site = place.hardware.site(&self.net, &self.time);
        let loaded = self.setup.node(place.hardware.id);
        let process = Process::start(site, node.clone().run(loaded, stopped));
        place.running = Some(Running { node, process });
    }

    /// Ends a node's process at once.
    pub fn kill(&mut self, at: usize) {
        let place = &mut self.places[at];
        self.net.close_all(place.hardware.id);
        place.pause = None;
        if let Some(running) = place.running.take() {
            running.process.kill();
        }
    }

    /// Takes a machine's power away.
    pub fn cut_power(&mut self, at: usize) {
        let place = &mut self.places[at];
        self.net.darken(place.hardware.id);
        place.has_power = false;
        place.pause = None;
        if let Some(running) = place.running.take() {
            running.process.kill();
        }
        place.hardware.disk.crash();
        place.hardware.boots += 1;
    }

    /// A machine without a process gets another, empty disk in the place of one.
    pub fn wipe(&mut self, at: usize, dir: &str) {
        // One that never came to be is empty too.
        let _ = self.places[at].hardware.disk.remove(Path::new(dir));
    }

    /// What a node holds that serves.
    pub fn view(&self, at: usize) -> Option<View> {
        self.places[at].running.as_ref()?.node.view.lock().clone()
    }

    /// How far a node has come that runs.
    pub fn stage(&self, at: usize) -> Option<Stage> {
        self.places[at].running.as_ref().map(|running| running.node.stage.lock().clone())
    }

    /// What runs and serves, with its machine.
    pub fn views(&self) -> Vec<(Machine, View)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(at, place)| Some((place.hardware.id, self.view(at)?))).collect()
    }

    /// Where the newest leader of a partition is, and its epoch.
    pub fn leader(&self, partition: TopicPartition) -> Option<(usize, i32)> {
        let leads = |at: usize| {
            let marks = self.view(at)?.replicas.get(partition).ok()?.marks();
            marks.leads.then_some(marks.leader_epoch)
        };
        let leaders = (0..self.places.len()).filter_map(|at| Some((at, leads(at)?)));
        leaders.max_by_key(|(_, epoch)| *epoch)
    }

    /// The replicas of each partition.
    pub fn replicas(&self) -> BTreeMap<TopicPartition, Vec<(Machine, Arc<Replica>)>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (machine, view) in self.views() {
            for replica in view.replicas.all() {
                all.entry(replica.id()).or_default().push((machine, replica));
            }
        }
        all
    }

    /// What is wrong with the replicas, compared with each other.
    pub fn compare_logs(&self) {
        let wrong: Vec<String> = self.replicas().values().filter_map(|one| logs::compare(one)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Every node serves, and every replica is in sync.
    pub fn is_whole(&self) -> bool {
        (0..self.places.len()).all(|at| self.stage(at) == Some(Stage::Serving))
            && self.views().iter().all(|(_, view)| {
                let image = view.metadata.image();
                let mut partitions = image.topics.iter().flat_map(|topic| topic.partitions());
                partitions.all(|one| one.isr.len() == one.replicas.len() && one.leader.is_some())
                    && image.brokers.alive().count() == self.places.len()
            })
    }

    /// Why it is not.
    pub fn state(&self) -> String {
        let mut lines = vec![];
        for (at, place) in self.places.iter().enumerate() {
            lines.push(format!("node {}: {:?}", place.hardware.id, self.stage(at)));
        }
        if let Some((_, view)) = self.views().first() {
            let image = view.metadata.image();
            for topic in image.topics.iter() {
                for one in topic.partitions() {
                    lines.push(format!("{}: {one:?}", topic.name));
                }
            }
        }
        for (machine, replica) in self.replicas().into_values().flatten() {
            lines.push(format!(
                "{} on {machine}: {:?} {:?}",
                replica.name(),
                replica.marks(),
                replica.producers()
            ));
        }
        lines.join("\n")
    }
}

impl Place {
    fn step(&mut self, now: u64) {
        let Some(running) = &self.running else { return };
        match self.pause {
            Some((_, until)) if until > now => return,
            Some((from, _)) => running.process.oversleep(now - from),
            None => {}
        }
        self.pause = None;
        running.process.step(1);
    }
}
