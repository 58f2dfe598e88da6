//! LeaveGroup.

use super::{Classic, State};
use crate::coordinator::group::command::{Leaving, Left};
use crate::coordinator::group::turn::Turn;
use crate::types::ErrorCode;

impl Classic {
    pub fn leave(&mut self, members: Vec<Leaving>, turn: &mut Turn<'_>) -> Vec<Left> {
        let reason = members.iter().find_map(|member| member.reason.clone());
        let left: Vec<Left> = members.into_iter().map(|member| self.leave_one(member, turn)).collect();
        if left.iter().any(|left| left.error.is_none()) && self.state != State::Empty {
            self.rebalance(turn, reason.as_deref().or(Some("members left")));
        }
        left
    }

    fn leave_one(&mut self, leaving: Leaving, turn: &mut Turn<'_>) -> Left {
        let Leaving { member, instance, .. } = leaving;
        let found = self.find_leaving(&member, instance.as_deref());
        let error = match found {
            Ok(id) => {
                self.remove_member(&id, ErrorCode::UnknownMemberId, turn);
                None
            }
            Err(error) => Some(error),
        };
        Left { member, instance, error }
    }

    /// Administrators name static members by their instance alone.
    fn find_leaving(&self, member: &str, instance: Option<&str>) -> Result<String, ErrorCode> {
        if member.is_empty() {
            let current = instance.and_then(|instance| self.static_member(instance));
            return current.map(str::to_owned).ok_or(ErrorCode::UnknownMemberId);
        }
        if !self.pending.contains(member) {
            self.check_member(member, instance)?;
        }
        Ok(member.to_owned())
    }
}
