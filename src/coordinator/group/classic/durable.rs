//! A classic group's record: from the group, and into it.

use super::{Classic, Member, State};
use crate::coordinator::group::records::{Event, GroupMetadata};
use crate::coordinator::group::turn::Turn;
use bytes::Bytes;
use std::collections::HashMap;

impl Classic {
    /// The record of this generation with these assignments; members without one get an empty one.
    pub(super) fn record(&self, assignments: &HashMap<String, Bytes>, turn: &Turn<'_>) -> GroupMetadata {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let assignment = |member: &String| assignments.get(member).cloned().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| member.record(id, protocol, assignment(id)));
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: Some(turn.now.wall),
            members: members.collect(),
        }
    }

    /// The group is without members from the next generation on.
    pub(super) fn record_empty(&self, turn: &mut Turn<'_>) {
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.next_generation(),
            since: Some(turn.now.wall),
            ..GroupMetadata::default()
        };
        turn.out.events.push(Event::Group { group: turn.group.to_owned(), value: Some(value) });
    }

    /// What the log has of this group, were it written now.
    #[cfg(test)]
    pub fn durable(&self) -> GroupMetadata {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let record =
            |(id, member): (&String, &Member)| member.record(id, protocol, member.assignment.clone());
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: self.since,
            members: self.members.iter().map(record).collect(),
        }
    }

    /// Becomes what the record says. Members that are just as it has them keep their timers and other protocols.
    pub fn apply(&mut self, value: &GroupMetadata) {
        let mut before = std::mem::take(&mut self.members).into_map();
        before.extend(self.successor.take());
        let protocol = value.protocol.as_deref().unwrap_or_default();
        for metadata in &value.members {
            let as_recorded = |live: &Member| {
                live.record(&metadata.member, protocol, metadata.assignment.clone()) == *metadata
            };
            let live = before.remove(&metadata.member).filter(as_recorded);
            let mut member = live.unwrap_or_else(|| Member::recorded(metadata, protocol));
            member.assignment = metadata.assignment.clone();
            self.members.insert(metadata.member.clone(), member);
        }
        self.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        self.generation = value.generation;
        self.protocol_type = Some(value.protocol_type.clone()).filter(|name| !name.is_empty());
        self.protocol.clone_from(&value.protocol);
        self.leader.clone_from(&value.leader);
        self.since = value.since;
        self.recorded = true;
        self.join_timer = None;
        std::mem::take(&mut self.syncing).iter().for_each(|member| self.has_synced(member));
        if self.is_empty() {
            self.unsynced.clear();
            self.sync_deadline = None;
        }
        self.update_subscription();
    }

    /// Loading is over: members have their whole session to show up.
    pub fn start_sessions(&mut self, turn: &mut Turn<'_>) {
        self.members.values_mut().for_each(|member| member.renew_session(turn));
        if self.members.len() > turn.config.max_size {
            self.prepare_rebalance(turn);
        }
    }
}
