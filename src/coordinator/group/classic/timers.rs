//! What happens when time is up.

use super::{Classic, State};
use crate::coordinator::group::turn::Turn;
use crate::types::{ErrorCode, Mono};

impl Classic {
    /// Does all that is due, up to the first thing that has to be recorded.
    pub fn expire(&mut self, turn: &mut Turn<'_>) {
        self.expire_pending(turn);
        self.expire_sessions(turn);
        if turn.out.events.is_empty() {
            self.expire_join_timer(turn);
        }
        if turn.out.events.is_empty() {
            self.expire_unsynced(turn);
        }
    }

    fn expire_pending(&mut self, turn: &mut Turn<'_>) {
        if self.pending.expire(turn.now.mono) && self.state == State::PreparingRebalance && self.all_joined()
        {
            self.complete_join(turn);
        }
    }

    fn expire_sessions(&mut self, turn: &mut Turn<'_>) {
        let mut gone = Vec::new();
        for (id, member) in self.members.iter_mut() {
            if !member.is_expired(turn) {
                continue;
            }
            match member.is_waiting() {
                true => member.session = None,
                false => gone.push(id.clone()),
            }
        }
        if gone.is_empty() {
            return;
        }
        tracing::info!(group = turn.group, members = ?gone, "sessions expired");
        gone.iter().for_each(|id| self.remove_member(id, ErrorCode::UnknownMemberId, turn));
        match self.state {
            State::PreparingRebalance if self.all_joined() => self.complete_join(turn),
            State::PreparingRebalance | State::Empty => {}
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(turn),
        }
    }

    fn expire_join_timer(&mut self, turn: &mut Turn<'_>) {
        let Some(timer) = self.join_timer.filter(|timer| timer.at <= turn.now.mono) else { return };
        match self.initial {
            true => self.end_initial_delay(timer.delay, timer.extension, turn),
            false => self.complete_join(turn),
        }
    }

    /// Members that joined this generation and then fell silent hold up nobody any longer.
    fn expire_unsynced(&mut self, turn: &mut Turn<'_>) {
        if !is_due(self.sync_deadline, turn.now.mono) {
            return;
        }
        self.sync_deadline = None;
        let gone = std::mem::take(&mut self.unsynced);
        if gone.is_empty() {
            return;
        }
        tracing::info!(group = turn.group, members = ?gone, "members did not sync");
        gone.iter().for_each(|id| self.remove_member(id, ErrorCode::UnknownMemberId, turn));
        self.prepare_rebalance(turn);
    }
}

fn is_due(deadline: Option<Mono>, now: Mono) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}
