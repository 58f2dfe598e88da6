//! What a coordinator is to the runtime: decide, then change.

use crate::types::{Mono, Now};
use bytes::Bytes;

/// Names one caller that waits for a reply. A ticket is answered once; answering one whose caller left does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a machine is asked to decide upon.
#[derive(Debug)]
pub enum Input<C> {
    Command(C, Ticket),
    /// A deadline may have passed. One call does a bounded piece of work and may leave the deadline in the past.
    Tick,
}

/// The outcome of one step.
#[derive(Debug)]
pub struct Output<E, R> {
    /// Appended together, then applied in this order.
    pub events: Vec<E>,
    /// Sent once the events (and everything before them) are committed; failed if the events are refused.
    pub replies: Vec<(Ticket, R)>,
}

/// A key and a value as the log holds them; no value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// What loading meets in the log, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// A record written outside a transaction (`producer_id` -1) or within one that has not ended yet.
    Record { producer_id: i64, record: Record },
    /// The end of a producer's transaction.
    Marker { producer_id: i64, committed: bool },
}

/// A coordinator of one log partition. No I/O, no clock, no randomness: time comes in, events go out.
pub trait Machine: Send + 'static {
    type Command: Send;
    type Event: Send;
    type Reply: Send;

    /// Decides. May change only what may be lost: tickets, timers, and membership that no record speaks of yet.
    fn step(&mut self, input: Input<Self::Command>, now: Now) -> Output<Self::Event, Self::Reply>;
    /// The only place where durable state changes.
    fn apply(&mut self, event: &Self::Event);
    /// When the next [`Input::Tick`] is due; it may be too early, never too late.
    fn next_deadline(&self) -> Option<Mono>;
    /// Loading reached the end of the log: what follows is live.
    fn loaded(&mut self, now: Now);
    /// How the log keeps `event`.
    fn record(event: &Self::Event) -> Record;
    /// The event that the log kept; `None` for one that this release does not know or cannot read.
    fn event(replayed: Replayed) -> Option<Self::Event>;
}

impl<E, R> Default for Output<E, R> {
    fn default() -> Self {
        Output { events: Vec::new(), replies: Vec::new() }
    }
}

impl<E, R> Output<E, R> {
    /// Answers `ticket` with `reply`, without an event.
    pub fn reply(ticket: Ticket, reply: R) -> Self {
        Output { events: Vec::new(), replies: vec![(ticket, reply)] }
    }
}
