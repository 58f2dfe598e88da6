//! Who joins the ISR of a partition gets nothing more of its leader, and the leader does not hear that it has joined. Then
//! the leader falls, and the new member may lead: what was acknowledged without it would be lost.

use crate::net::Machine;
use crate::world::World;
use drave::types::{BrokerId, TopicPartition};
use std::collections::BTreeMap;

/// Waits for somebody to join.
pub struct Stranding {
    until: u64,
    /// The members by partition, as they were seen last.
    seen: BTreeMap<TopicPartition, Vec<BrokerId>>,
}

/// Who has joined.
pub struct Stranded {
    pub member: Machine,
    pub leader: Machine,
    /// Where the controller is.
    pub controller: Machine,
}

impl Stranding {
    pub fn new(until: u64) -> Stranding {
        Stranding { until, seen: BTreeMap::new() }
    }

    pub fn is_over(&self, now: u64) -> bool {
        now >= self.until
    }

    /// Whoever has joined a partition that another machine than the controller's leads.
    pub fn look(&mut self, world: &World) -> Option<Stranded> {
        let leads = |at: &usize| {
            let view = world.view(*at);
            view.is_some_and(|view| view.metadata.status().borrow().is_leader())
        };
        let at = (0..world.places.len()).find(leads)?;
        let (controller, image) = (world.places[at].hardware.id, world.view(at)?.metadata.image());
        let mut found = None;
        for topic in image.topics.iter() {
            for one in topic.partitions() {
                let partition = TopicPartition { topic: topic.id, partition: one.index };
                let before = self.seen.insert(partition, one.isr.clone());
                let joined =
                    before.and_then(|before| one.isr.iter().copied().find(|id| !before.contains(id)));
                let stranded = |member: BrokerId| {
                    let (member, leader) = (member as Machine, one.leader? as Machine);
                    let is_apart = leader != controller && leader != member;
                    is_apart.then_some(Stranded { member, leader, controller })
                };
                found = found.or(joined.and_then(stranded));
            }
        }
        found
    }
}
