//! DescribeGroups, ListGroups and DeleteGroups.

use super::classic::State;
use super::command::{GroupDescription, ListGroups, ListedGroup};
use super::machine::{Entry, GroupMachine, Reply};
use super::records::Event;
use crate::coordinator::machine::{Output, Ticket};
use crate::types::ErrorCode;

const CLASSIC: &str = "classic";

impl GroupMachine {
    /// What members said, and were assigned, is shown of a stable group only.
    pub(super) fn describe(&self, group: &str) -> Result<GroupDescription, ErrorCode> {
        let classic = self.classic(group).ok_or(ErrorCode::GroupIdNotFound)?;
        let protocol = classic.protocol.as_deref().filter(|_| classic.state == State::Stable);
        let members = classic.members.iter().map(|(id, member)| member.describe(id, protocol)).collect();
        Ok(GroupDescription {
            state: classic.state.name(),
            protocol_type: classic.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members,
        })
    }

    pub(super) fn list(&self, filter: &ListGroups) -> Vec<ListedGroup> {
        let listed = |(group, entry): (&String, &Entry)| ListedGroup {
            group: group.clone(),
            protocol_type: entry.classic.protocol_type.clone().unwrap_or_default(),
            state: entry.classic.state.name(),
            kind: CLASSIC,
        };
        let passes = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        let groups = self.groups.iter().map(listed);
        groups
            .filter(|group| passes(&filter.states, group.state) && passes(&filter.types, group.kind))
            .collect()
    }

    pub(super) fn delete_group(&mut self, group: &str, ticket: Ticket) -> Output<Event, Reply> {
        let reply = |outcome| Output::reply(ticket, Reply::DeleteGroup(outcome));
        match self.classic(group) {
            None => reply(Err(ErrorCode::GroupIdNotFound)),
            Some(classic) if !classic.is_empty() => reply(Err(ErrorCode::NonEmptyGroup)),
            Some(_) => {
                let mut events = self.offsets.tombstones(group);
                events.push(Event::Group { group: group.to_owned(), value: None });
                Output { events, ..reply(Ok(())) }
            }
        }
    }
}
