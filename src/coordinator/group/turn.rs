//! What one step knows and what it has to say so far.

use super::command::{JoinRefused, Joined};
use super::config::GroupConfig;
use super::machine::Reply;
use super::records::Event;
use crate::coordinator::machine::{Output, Ticket};
use crate::types::{ErrorCode, Mono, Now};
use std::time::Duration;

#[derive(Debug)]
pub struct Turn<'a> {
    /// The group in question.
    pub group: &'a str,
    pub config: &'a GroupConfig,
    pub now: Now,
    /// How many more bytes may be held for members of the shard.
    pub room: usize,
    pub out: Output<Event, Reply>,
    /// The soonest deadline set in this step.
    pub wake: Option<Mono>,
}

impl<'a> Turn<'a> {
    pub fn new(group: &'a str, config: &'a GroupConfig, now: Now, held: usize) -> Self {
        let room = config.held_max_bytes.saturating_sub(held);
        Turn { group, config, now, room, out: Output::default(), wake: None }
    }

    pub fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.replies.push((ticket, reply));
    }

    pub fn joined(&mut self, ticket: Ticket, joined: Joined) {
        self.reply(ticket, Reply::Join(Ok(joined)));
    }

    pub fn refuse_join(&mut self, ticket: Ticket, error: ErrorCode, member: &str) {
        self.reply(ticket, Reply::Join(Err(JoinRefused { error, member: member.to_owned() })));
    }

    pub fn refuse_sync(&mut self, ticket: Ticket, error: ErrorCode) {
        self.reply(ticket, Reply::Sync(Err(error)));
    }

    /// A deadline `after` from now, which the machine will be woken for.
    pub fn deadline(&mut self, after: Duration) -> Mono {
        let at = self.now.mono.plus(after);
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        at
    }
}
