//! A shard without a runtime: steps, an in-memory log that can refuse, time that is moved by hand.

use crate::coordinator::group::config::GroupConfig;
use crate::coordinator::group::machine::{Command, GroupMachine, Reply};
use crate::coordinator::group::records::Event;
use crate::coordinator::machine::{Input, Machine, Record, Replayed, Ticket};
use crate::types::{Mono, Now, Wall};
use std::sync::Arc;
use std::time::Duration;

pub const WALL_AT_START: i64 = 1_000_000;

pub struct Driver {
    pub config: GroupConfig,
    pub machine: GroupMachine,
    pub now: Now,
    pub log: Vec<Record>,
    /// Appends to refuse from now on.
    pub refuse: usize,
    tickets: u64,
}

/// What one input led to.
#[derive(Default)]
pub struct Outcome {
    pub events: Vec<Event>,
    pub refused: bool,
    pub replies: Vec<(Ticket, Option<Reply>)>,
}

pub fn config() -> GroupConfig {
    GroupConfig {
        partitions: 50,
        min_session_timeout: Duration::from_secs(6),
        max_session_timeout: Duration::from_secs(1800),
        initial_rebalance_delay: Duration::from_secs(3),
        max_size: usize::MAX,
        held_max_bytes: usize::MAX,
        offset_metadata_max_bytes: 4096,
        offsets_retention: Duration::from_secs(7 * 24 * 3600),
        offsets_retention_check_interval: Duration::from_secs(600),
        commit_timeout: Duration::from_secs(5),
    }
}

impl Driver {
    pub fn new(config: GroupConfig) -> Self {
        let now = Now { mono: Mono(0), wall: Wall(WALL_AT_START) };
        let machine = GroupMachine::new(Arc::new(config.clone()));
        let mut driver = Driver { config, machine, now, log: Vec::new(), refuse: 0, tickets: 0 };
        driver.machine.loaded(now);
        driver
    }

    pub fn command(&mut self, command: Command) -> (Ticket, Outcome) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        (ticket, self.step(Input::Command(command, ticket)))
    }

    /// A tick, if one is due.
    pub fn tick(&mut self) -> Option<Outcome> {
        self.machine.next_deadline().filter(|deadline| *deadline <= self.now.mono)?;
        Some(self.step(Input::Tick))
    }

    /// Moves both clocks to the next deadline, but no further than `until`.
    pub fn advance(&mut self, until: Mono) {
        let next = self.machine.next_deadline().unwrap_or(until).min(until).max(self.now.mono);
        self.now.wall = Wall(self.now.wall.0 + next.since(self.now.mono).as_millis() as i64);
        self.now.mono = next;
    }

    /// A new machine that knows what the first `records` of the log say.
    pub fn replay(&self, records: usize) -> GroupMachine {
        let mut machine = GroupMachine::new(Arc::new(self.config.clone()));
        for record in &self.log[..records] {
            let replayed = Replayed::Record { producer_id: -1, record: record.clone() };
            if let Some(event) = GroupMachine::event(replayed) {
                machine.apply(&event);
            }
        }
        machine
    }

    pub fn restart(&mut self) {
        self.machine = self.replay(self.log.len());
        self.machine.loaded(self.now);
    }

    fn step(&mut self, input: Input<Command>) -> Outcome {
        let output = self.machine.step(input, self.now);
        let refused = !output.events.is_empty() && self.refuse > 0;
        let mut outcome = Outcome { refused, ..Outcome::default() };
        if refused {
            self.refuse -= 1;
        } else {
            self.log.extend(output.events.iter().map(GroupMachine::record));
            output.events.iter().for_each(|event| self.machine.apply(event));
            outcome.events = output.events;
        }
        let answered = |(ticket, reply)| (ticket, if refused { None } else { Some(reply) });
        outcome.replies = output.replies.into_iter().map(answered).collect();
        outcome
    }
}
