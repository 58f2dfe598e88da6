//! SyncGroup and Heartbeat.

use super::{Classic, Member, State};
use crate::coordinator::group::command::{Heartbeat, Sync, Synced};
use crate::coordinator::group::machine::Reply;
use crate::coordinator::group::records::Event;
use crate::coordinator::group::turn::Turn;
use crate::coordinator::machine::Ticket;
use crate::types::ErrorCode;
use bytes::Bytes;
use std::collections::HashMap;

impl Classic {
    pub fn sync(&mut self, sync: Sync, ticket: Ticket, turn: &mut Turn<'_>) {
        if let Err(error) = self.check_sync(&sync, turn) {
            return turn.refuse_sync(ticket, error);
        }
        self.has_synced(&sync.member);
        if self.state == State::Stable {
            let assignment = self.members[&sync.member].assignment.clone();
            return turn.reply(ticket, Reply::Sync(Ok(self.synced(assignment))));
        }
        if let Some(member) = self.members.get_mut(&sync.member) {
            member.await_sync(ticket, turn);
        }
        if self.is_leader(&sync.member) {
            self.assign(sync.assignments.into_iter().collect(), turn);
        }
    }

    pub(super) fn has_synced(&mut self, member: &str) {
        self.unsynced.remove(member);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
    }

    fn check_sync(&self, sync: &Sync, turn: &Turn<'_>) -> Result<(), ErrorCode> {
        if self.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&sync.member, sync.instance.as_deref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance if !self.has_room_for(&sync.assignments, turn) => {
                Err(ErrorCode::GroupMaxSizeReached)
            }
            _ => Ok(()),
        }
    }

    /// Do these assignments fit among what is held for all members of the shard, in the place of the last ones?
    fn has_room_for(&self, assignments: &[(String, Bytes)], turn: &Turn<'_>) -> bool {
        let wanted: usize = assignments.iter().map(|(_, assignment)| assignment.len()).sum();
        wanted <= turn.room || wanted <= self.members.assignments_held().saturating_add(turn.room)
    }

    /// Recording the generation makes it stable. If the log refuses, all who wait are failed, and as if they had not
    /// synced: they join or sync again in time, or are out.
    fn assign(&mut self, assignments: HashMap<String, Bytes>, turn: &mut Turn<'_>) {
        let waits = |(id, member): (&String, &Member)| member.sync.is_some().then(|| id.clone());
        self.syncing = self.members.iter().filter_map(waits).collect();
        self.unsynced.extend(self.syncing.iter().cloned());
        self.sync_deadline.get_or_insert(turn.deadline(self.rebalance_timeout()));
        let value = self.record(&assignments, turn);
        let answers: Vec<Reply> = value
            .members
            .iter()
            .map(|member| Reply::Sync(Ok(self.synced(member.assignment.clone()))))
            .collect();
        turn.out.events.push(Event::Group { group: turn.group.to_owned(), value: Some(value) });
        for (member, answer) in self.members.values_mut().zip(answers) {
            if let Some(ticket) = member.sync.take() {
                turn.reply(ticket, answer);
                member.renew_session(turn);
            }
        }
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }

    pub fn heartbeat(&mut self, heartbeat: &Heartbeat, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        self.check_member(&heartbeat.member, heartbeat.instance.as_deref())?;
        if heartbeat.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.renew_session(&heartbeat.member, turn);
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Heartbeats keep a session; so do commits, except while an assignment is awaited.
    pub fn renew_session(&mut self, member: &str, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get_mut(member) {
            member.renew_session(turn);
        }
    }
}

/// Versions that do not name a protocol agree with any.
fn differs(said: &Option<String>, known: &Option<String>) -> bool {
    matches!((said, known), (Some(said), Some(known)) if said != known)
}
