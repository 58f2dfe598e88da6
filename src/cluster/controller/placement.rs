//! Which brokers a new partition's replicas go to.
//!
//! Brokers stand in a circle in which racks alternate. Partition after partition, the first replica moves on by one
//! broker; the others follow it round the circle, from a rack used least so far, starting one further at each full
//! turn. So leaders, replicas and pairs of brokers are spread evenly.

use super::{Outcome, Refusal};
use crate::cluster::image::{Broker, Brokers};
use crate::types::{BrokerId, ErrorCode};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The brokers of one partition, the preferred leader first.
pub(super) type Assignment = Vec<BrokerId>;

/// Places partitions one after another.
pub(super) struct Placer {
    /// Active brokers, racks alternating, each with its rack's number.
    circle: Vec<(BrokerId, usize)>,
    /// Used only where the active ones do not suffice.
    inactive: Vec<BrokerId>,
    replication_factor: usize,
    start: usize,
}

impl Placer {
    /// Refuses a replication factor that the brokers cannot give.
    pub fn new(brokers: &Brokers, replication_factor: usize, seed: u64) -> Outcome<Placer> {
        let (active, inactive): (Vec<_>, Vec<_>) = brokers.iter().partition(|broker| broker.is_active());
        let registered = active.len() + inactive.len();
        let refuse = |message| Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        if replication_factor > registered {
            return refuse(format!(
                "Replication factor {replication_factor} is more than the {registered} broker(s) registered."
            ));
        }
        if active.is_empty() {
            return refuse(format!(
                "None of the {registered} broker(s) registered is active: all are fenced."
            ));
        }
        let circle = alternate(&active);
        let start = (seed % circle.len() as u64) as usize;
        let inactive = inactive.into_iter().map(|broker| broker.id).collect();
        Ok(Placer { circle, inactive, replication_factor, start })
    }

    pub fn place(&self, partitions: Range<i32>) -> Vec<Assignment> {
        partitions.map(|partition| self.place_one(partition as usize)).collect()
    }

    fn place_one(&self, partition: usize) -> Assignment {
        let brokers = self.circle.len();
        let first = (self.start + partition) % brokers;
        let others = brokers - 1;
        let turn = partition / brokers;
        let mut candidates: Vec<_> =
            (0..others).map(|step| self.circle[(first + 1 + (step + turn) % others) % brokers]).collect();
        let mut chosen = vec![self.circle[first]];
        while chosen.len() < self.replication_factor && !candidates.is_empty() {
            let uses = |rack: usize| chosen.iter().filter(|(_, other)| *other == rack).count();
            let (place, _) = candidates
                .iter()
                .enumerate()
                .min_by_key(|(_, (_, rack))| uses(*rack))
                .unwrap_or((0, &candidates[0]));
            chosen.push(candidates.remove(place));
        }
        let missing = self.replication_factor - chosen.len();
        chosen
            .into_iter()
            .map(|(broker, _)| broker)
            .chain(self.inactive.iter().copied().take(missing))
            .collect()
    }
}

/// The brokers in an order in which racks alternate. A broker without a rack is a rack of its own.
fn alternate(brokers: &[&Arc<Broker>]) -> Vec<(BrokerId, usize)> {
    let mut racks: BTreeMap<Result<&str, BrokerId>, Vec<BrokerId>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(broker.rack.as_deref().ok_or(broker.id)).or_default().push(broker.id);
    }
    let mut order: Vec<(usize, usize, BrokerId)> = Vec::new();
    for (rack, ids) in racks.into_values().enumerate() {
        order.extend(ids.into_iter().enumerate().map(|(place, id)| (place, rack, id)));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, rack, id)| (id, rack)).collect()
}
