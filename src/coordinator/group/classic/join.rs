//! JoinGroup.

use super::member::NEW_MEMBER_TIMEOUT;
use super::{Classic, Member, State};
use crate::coordinator::group::command::{Join, Joined, JoinedMember};
use crate::coordinator::group::records::{Event, GroupMetadata, MemberMetadata};
use crate::coordinator::group::turn::Turn;
use crate::coordinator::machine::Ticket;
use crate::types::ErrorCode;

/// Ids given out and not used yet, per group.
const PENDING_MAX: usize = 10_000;

impl Classic {
    /// `new_member` is the id for a member that brings none.
    pub fn join(&mut self, join: Join, new_member: String, ticket: Ticket, turn: &mut Turn<'_>) {
        if !self.accepts(&join.member, turn) {
            self.remove_member(&join.member, ErrorCode::GroupMaxSizeReached, turn);
            turn.refuse_join(ticket, ErrorCode::GroupMaxSizeReached, "");
            return self.maybe_complete_join(turn);
        }
        if !self.has_room(&join, turn) {
            return turn.refuse_join(ticket, ErrorCode::GroupMaxSizeReached, &join.member);
        }
        if !self.supports(&join) {
            return turn.refuse_join(ticket, ErrorCode::InconsistentGroupProtocol, &join.member);
        }
        match join.member.is_empty() {
            true => self.join_new(join, new_member, ticket, turn),
            false => self.join_known(join, ticket, turn),
        }
    }

    /// Is there room? While members gather, those who already wait count; otherwise those who are in.
    fn accepts(&self, member: &str, turn: &Turn<'_>) -> bool {
        let max = turn.config.max_size;
        let known = self.members.get(member);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let waiting = self.members.values().filter(|member| member.join.is_some()).count();
                known.is_some_and(|member| member.join.is_some()) || waiting < max
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < max,
        }
    }

    /// Does what it says fit among what all members of the shard say?
    fn has_room(&self, join: &Join, turn: &Turn<'_>) -> bool {
        let successor = join.instance.as_deref().and_then(|instance| self.static_member(instance));
        let before = self.members.get(successor.unwrap_or(&join.member));
        join.weight() <= before.map_or(0, Member::weight).saturating_add(turn.room)
    }

    /// The group's type, and at least one protocol that all members support.
    fn supports(&self, join: &Join) -> bool {
        if self.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|(name, _)| self.members.all_support(name))
    }

    fn join_new(&mut self, join: Join, new_member: String, ticket: Ticket, turn: &mut Turn<'_>) {
        let static_member = join.instance.as_deref().map(|instance| self.static_member(instance));
        match static_member {
            Some(Some(current)) => {
                let current = current.to_owned();
                self.succeed(&current, join, new_member, ticket, turn);
            }
            Some(None) => self.add_member(join, new_member, ticket, turn),
            None if join.needs_member_id => self.name_member(&join, new_member, ticket, turn),
            None => self.add_member(join, new_member, ticket, turn),
        }
    }

    /// Without its id a member that gives up while it waits would leave a ghost behind (KIP-394).
    fn name_member(&mut self, join: &Join, new_member: String, ticket: Ticket, turn: &mut Turn<'_>) {
        if self.pending.len() >= PENDING_MAX {
            return turn.refuse_join(ticket, ErrorCode::GroupMaxSizeReached, "");
        }
        turn.refuse_join(ticket, ErrorCode::MemberIdRequired, &new_member);
        let deadline = turn.deadline(join.session_timeout);
        self.pending.insert(new_member, deadline);
    }

    fn join_known(&mut self, join: Join, ticket: Ticket, turn: &mut Turn<'_>) {
        let id = join.member.clone();
        if self.pending.contains(&id) && join.instance.is_none() {
            return self.add_member(join, id, ticket, turn);
        }
        if let Err(error) = self.check_member(&id, join.instance.as_deref()) {
            return turn.refuse_join(ticket, error, &id);
        }
        let unchanged = self.members[&id].protocols == join.protocols;
        let follows = !self.is_leader(&id);
        match self.state {
            State::Empty => turn.refuse_join(ticket, ErrorCode::UnknownMemberId, &id),
            // It may have missed the answer.
            State::CompletingRebalance if unchanged => turn.joined(ticket, self.joined(&id)),
            State::Stable if unchanged && follows => turn.joined(ticket, self.joined(&id)),
            // A leader joins again to have the group assigned anew, with or without a change of its own.
            _ => self.join_again(join, ticket, turn),
        }
    }

    fn join_again(&mut self, join: Join, ticket: Ticket, turn: &mut Turn<'_>) {
        self.members.update(&join);
        if let Some(member) = self.members.get_mut(&join.member) {
            member.await_join(ticket, turn);
        }
        self.rebalance(turn, join.reason.as_deref());
    }

    fn add_member(&mut self, join: Join, id: String, ticket: Ticket, turn: &mut Turn<'_>) {
        let reason = join.reason.clone();
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if self.state == State::PreparingRebalance && self.initial {
            self.newcomers = true;
        }
        let mut member = Member::new(join);
        member.join = Some(ticket);
        member.session = Some(turn.deadline(NEW_MEMBER_TIMEOUT));
        self.leader.get_or_insert_with(|| id.clone());
        self.pending.remove(&id);
        self.members.insert(id, member);
        self.rebalance(turn, reason.as_deref());
    }

    /// A static member is back under a new id, which fences the one it had.
    fn succeed(&mut self, old: &str, join: Join, new: String, ticket: Ticket, turn: &mut Turn<'_>) {
        let mut member = self.members[old].clone();
        member.update(&join);
        member.renew_session(turn);
        if self.state == State::Stable && self.keeps_protocol(old, &member) {
            return self.succeed_quietly(old, member, new, join.can_skip_assignment, ticket, turn);
        }
        if let Some(mut before) = self.members.remove(old) {
            before.dismiss(ErrorCode::FencedInstanceId, old, turn);
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        (member.join, member.sync) = (Some(ticket), None);
        // Its instance id vouches for it, so that it may wait beyond its session.
        member.is_new = false;
        self.members.insert(new, member);
        self.rebalance(turn, join.reason.as_deref());
    }

    /// Would the vote go the same with `member` in the place of `old`?
    fn keeps_protocol(&self, old: &str, member: &Member) -> bool {
        let others = self.members.iter().filter(|(id, _)| *id != old).map(|(_, other)| other);
        self.protocol == super::rebalance::vote(others.chain([member]))
    }

    /// Nothing that the assignment rests upon has changed: the generation goes on, only the record must know the id.
    fn succeed_quietly(
        &mut self,
        old: &str,
        member: Member,
        new: String,
        can_skip: bool,
        ticket: Ticket,
        turn: &mut Turn<'_>,
    ) {
        let value = self.record_successor(old, &member, &new, turn);
        let skip_assignment = can_skip && self.is_leader(old);
        let joined = Joined {
            member: new.clone(),
            // Without the means to say "skip the assignment" the old id stays leader, so that nobody assigns.
            leader: if can_skip { value.leader.clone() } else { self.leader.clone() }.unwrap_or_default(),
            skip_assignment,
            members: if skip_assignment { value.members.iter().map(recorded).collect() } else { Vec::new() },
            ..self.joined(old)
        };
        turn.joined(ticket, joined);
        self.unsynced.remove(old);
        self.successor = Some((new, member));
        turn.out.events.push(Event::Group { group: turn.group.to_owned(), value: Some(value) });
    }

    /// This generation with `member` in the place of `old`.
    fn record_successor(&self, old: &str, member: &Member, new: &str, turn: &Turn<'_>) -> GroupMetadata {
        let assignments = self.members.iter().map(|(id, member)| (id.clone(), member.assignment.clone()));
        let mut value = self.record(&assignments.collect(), turn);
        let protocol = self.protocol.as_deref().unwrap_or_default();
        value.members.retain(|metadata| metadata.member != old);
        value.members.push(member.record(new, protocol, member.assignment.clone()));
        if self.is_leader(old) {
            value.leader = Some(new.to_owned());
        }
        value
    }

    /// What `member` is told of this generation; the leader alone needs to know who is in, and only to assign.
    pub(super) fn joined(&self, member: &str) -> Joined {
        let tells_all = self.is_leader(member) && self.state == State::CompletingRebalance;
        Joined {
            member: member.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members: if tells_all { self.joined_members() } else { Vec::new() },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let joined = |(id, member): (&String, &Member)| JoinedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.iter().map(joined).collect()
    }
}

fn recorded(metadata: &MemberMetadata) -> JoinedMember {
    JoinedMember {
        member: metadata.member.clone(),
        instance: metadata.instance.clone(),
        metadata: metadata.subscription.clone(),
    }
}
