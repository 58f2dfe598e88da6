//! At most one broker leads a partition under an epoch.

use crate::net::Machine;
use drave::partition::table::Table;
use drave::types::TopicPartition;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Leaders {
    seen: BTreeMap<(TopicPartition, i32), Machine>,
}

impl Leaders {
    pub fn check(&mut self, node: Machine, table: &Table) -> Option<String> {
        for replica in table.all() {
            let marks = replica.marks();
            if !marks.leads {
                continue;
            }
            let (name, epoch) = (replica.name(), marks.leader_epoch);
            let known = *self.seen.entry((replica.id(), epoch)).or_insert(node);
            if known != node {
                return Some(format!("nodes {known} and {node} both led {name} under epoch {epoch}"));
            }
        }
        None
    }
}
