//! The machine of one `__consumer_offsets` partition.

use super::command::*;
use super::config::GroupConfig;
use crate::coordinator::machine::{Input, Machine, Output, Record, Replayed};
use crate::types::{Mono, Now};
use std::sync::Arc;

/// Everything a shard can be asked. `Join` carries the member id to use if the member is new.
#[derive(Clone, Debug)]
pub enum Command {
    Join(Join, String),
    Sync(Sync),
    Heartbeat(Heartbeat),
    Leave(Leave),
    CommitOffsets(CommitOffsets),
    FetchOffsets(FetchOffsets),
    DeleteOffsets(DeleteOffsets),
    Describe(DescribeGroup),
    List(ListGroups),
    DeleteGroup(DeleteGroup),
    TopicsDeleted(TopicsDeleted),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
    Heartbeat(HeartbeatReply),
    Leave(LeaveReply),
    Outcomes(CommitReply),
    Fetch(FetchReply),
    Describe(DescribeReply),
    List(Vec<ListedGroup>),
    DeleteGroup(DeleteGroupReply),
}

#[derive(Debug)]
pub struct GroupMachine {
    config: Arc<GroupConfig>,
}

#[derive(Debug)]
pub enum Event {}

impl GroupMachine {
    pub fn new(config: Arc<GroupConfig>) -> Self {
        GroupMachine { config }
    }
}

impl Machine for GroupMachine {
    type Command = Command;
    type Event = Event;
    type Reply = Reply;

    fn step(&mut self, input: Input<Command>, _now: Now) -> Output<Event, Reply> {
        match input {
            Input::Command(Command::List(_), ticket) => Output::reply(ticket, Reply::List(Vec::new())),
            _ => Output::default(),
        }
    }
    fn apply(&mut self, event: &Event) {
        match *event {}
    }
    fn next_deadline(&self) -> Option<Mono> {
        None
    }
    fn loaded(&mut self, _now: Now) {
        tracing::debug!(max_size = self.config.max_size, "loaded");
    }
    fn record(event: &Event) -> Record {
        match *event {}
    }
    fn event(_replayed: Replayed) -> Option<Event> {
        None
    }
}
