//! From one generation to the next.

use super::{Classic, JoinTimer, Member, State};
use crate::coordinator::group::command::Joined;
use crate::coordinator::group::turn::Turn;
use crate::types::ErrorCode;
use std::collections::HashMap;
use std::time::Duration;

/// The protocol that most members prefer among those that all of them support; the first such name on a tie.
pub(super) fn vote<'a>(members: impl Iterator<Item = &'a Member>) -> Option<String> {
    let members: Vec<&Member> = members.collect();
    let supporters = counts(members.iter().flat_map(|member| member.protocol_names()));
    let is_everyones = |name: &&str| supporters[name] == members.len();
    let votes = counts(members.iter().filter_map(|member| member.protocol_names().find(is_everyones)));
    let candidates: Vec<&str> = members.first()?.protocol_names().filter(is_everyones).collect();
    let best = candidates.iter().rev().max_by_key(|name| votes.get(**name));
    best.map(|name| (*name).to_owned())
}

fn counts<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

impl Classic {
    /// Something changed that needs a new generation: begins to gather members, or goes on if all are there.
    pub(super) fn rebalance(&mut self, turn: &mut Turn<'_>, reason: Option<&str>) {
        match self.state {
            State::PreparingRebalance => self.maybe_complete_join(turn),
            State::Empty | State::CompletingRebalance | State::Stable => {
                let (group, generation) = (turn.group, self.generation);
                tracing::info!(group, generation, reason, "rebalancing");
                self.prepare_rebalance(turn);
            }
        }
    }

    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.withdraw_assignments(turn);
        }
        self.unsynced.clear();
        self.syncing.clear();
        self.sync_deadline = None;
        self.initial = self.is_empty();
        self.newcomers = false;
        self.state = State::PreparingRebalance;
        if self.initial {
            let delay = turn.config.initial_rebalance_delay;
            let extension = self.rebalance_timeout().saturating_sub(delay);
            self.set_join_timer(delay, extension, turn);
        } else if self.all_joined() {
            self.complete_join(turn);
        } else {
            self.set_join_timer(self.rebalance_timeout(), Duration::ZERO, turn);
        }
    }

    fn set_join_timer(&mut self, delay: Duration, extension: Duration, turn: &mut Turn<'_>) {
        self.join_timer = Some(JoinTimer { at: turn.deadline(delay), delay, extension });
    }

    /// Those who wait for their part in a generation that will not be must join again.
    fn withdraw_assignments(&mut self, turn: &mut Turn<'_>) {
        self.members.withdraw_assignments();
        for member in self.members.values_mut() {
            if let Some(ticket) = member.sync.take() {
                turn.refuse_sync(ticket, ErrorCode::RebalanceInProgress);
                member.renew_session(turn);
            }
        }
    }

    pub(super) fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.join.is_some())
    }

    /// An initial rebalance is left to its timer: more may come.
    pub(super) fn maybe_complete_join(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && !self.initial && self.all_joined() {
            self.complete_join(turn);
        }
    }

    /// The initial delay is over: waits once more if members came meanwhile, as long as the longest time-out allows.
    pub(super) fn end_initial_delay(&mut self, timer: Duration, extension: Duration, turn: &mut Turn<'_>) {
        if !self.newcomers || extension.is_zero() {
            return self.complete_join(turn);
        }
        self.newcomers = false;
        let delay = turn.config.initial_rebalance_delay.min(extension);
        self.set_join_timer(delay, extension.saturating_sub(timer), turn);
    }

    /// The next generation begins with those who joined. Static members may stay away until their session ends.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.join_timer = None;
        self.members.retain(|member| member.join.is_some() || member.instance.is_some());
        if self.members.is_empty() {
            self.leader = None;
            // Set again by a refused record alone: applying it ends the rebalance.
            self.set_join_timer(Duration::ZERO, Duration::ZERO, turn);
            return self.record_empty(turn);
        }
        if !self.elect() {
            return self.set_join_timer(self.rebalance_timeout(), Duration::ZERO, turn);
        }
        self.generation = self.next_generation();
        self.protocol = vote(self.members.values());
        self.state = State::CompletingRebalance;
        self.initial = false;
        self.update_subscription();
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline = Some(turn.deadline(self.rebalance_timeout()));
        self.answer_joins(turn);
    }

    pub(super) fn next_generation(&self) -> i32 {
        self.generation.checked_add(1).unwrap_or(1)
    }

    /// The leader is one of those who joined; the present one if it did. `false` if nobody did.
    fn elect(&mut self) -> bool {
        let joined = |member: Option<&Member>| member.is_some_and(|member| member.join.is_some());
        if joined(self.leader.as_ref().and_then(|leader| self.members.get(leader))) {
            return true;
        }
        let first = self.members.iter().find(|(_, member)| joined(Some(member)));
        let Some((id, _)) = first else { return false };
        self.leader = Some(id.clone());
        true
    }

    fn answer_joins(&mut self, turn: &mut Turn<'_>) {
        let answers: Vec<Joined> = self.members.keys().map(|id| self.joined(id)).collect();
        for (member, joined) in self.members.values_mut().zip(answers) {
            member.is_new = false;
            member.renew_session(turn);
            if let Some(ticket) = member.join.take() {
                turn.joined(ticket, joined);
            }
        }
    }

    /// Takes `member` out, if it is in, and fails what it waits for.
    pub(super) fn remove_member(&mut self, id: &str, error: ErrorCode, turn: &mut Turn<'_>) {
        self.pending.remove(id);
        self.unsynced.remove(id);
        let Some(mut member) = self.members.remove(id) else { return };
        member.dismiss(error, "", turn);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }
}
