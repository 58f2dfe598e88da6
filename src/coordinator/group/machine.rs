//! The machine of one `__consumer_offsets` partition: its groups and their offsets.

use super::classic::Classic;
use super::cleanup::Cleanup;
use super::command::*;
use super::config::GroupConfig;
use super::offsets::Offsets;
use super::records::Event;
use super::turn::Turn;
use crate::cluster::image::Topics;
use crate::coordinator::machine::{Input, Machine, Output, Record, Replayed, Ticket};
use crate::types::{ErrorCode, Mono, Now};
use std::collections::{BTreeSet, HashMap};
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
    /// All topics that there are: what was committed for others goes.
    TopicsAre(Topics),
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
    Noted,
}

#[derive(Debug)]
pub struct GroupMachine {
    pub(super) config: Arc<GroupConfig>,
    pub(super) groups: HashMap<String, Entry>,
    pub(super) offsets: Offsets,
    pub(super) cleanup: Cleanup,
    /// About the bytes that are held for the members of all groups.
    held: usize,
    /// When to look at which group; an entry may be early, or stale, but a group's deadline never comes before its entry.
    alarms: BTreeSet<(Mono, String)>,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) classic: Classic,
    /// Its place among the alarms.
    alarm: Option<Mono>,
}

impl GroupMachine {
    pub fn new(config: Arc<GroupConfig>) -> Self {
        GroupMachine {
            config,
            groups: HashMap::new(),
            offsets: Offsets::default(),
            cleanup: Cleanup::default(),
            held: 0,
            alarms: BTreeSet::new(),
        }
    }

    pub(super) fn classic(&self, group: &str) -> Option<&Classic> {
        self.groups.get(group).map(|entry| &entry.classic)
    }

    fn command(&mut self, command: Command, ticket: Ticket, now: Now) -> Output<Event, Reply> {
        match command {
            Command::Join(join, new_member) => self.join(join, new_member, ticket, now),
            Command::Sync(sync) => self.sync(sync, ticket, now),
            Command::Heartbeat(heartbeat) => self.heartbeat(&heartbeat, ticket, now),
            Command::Leave(leave) => self.leave(leave, ticket, now),
            Command::CommitOffsets(commit) => self.commit(commit, ticket, now),
            Command::FetchOffsets(fetch) => Output::reply(ticket, Reply::Fetch(Ok(self.fetch(fetch)))),
            Command::DeleteOffsets(delete) => self.delete_offsets(delete, ticket),
            Command::Describe(describe) => {
                Output::reply(ticket, Reply::Describe(self.describe(&describe.group)))
            }
            Command::List(list) => Output::reply(ticket, Reply::List(self.list(&list))),
            Command::DeleteGroup(delete) => self.delete_group(&delete.group, ticket),
            Command::TopicsDeleted(deleted) => {
                self.topics_deleted(deleted);
                Output::reply(ticket, Reply::Noted)
            }
            Command::TopicsAre(topics) => {
                self.topics_are(&topics, now);
                Output::reply(ticket, Reply::Noted)
            }
        }
    }

    /// Runs `work` on a group that is there, and sees to its deadlines.
    fn with_group<T>(
        &mut self,
        group: &str,
        now: Now,
        work: impl FnOnce(&mut Classic, &mut Turn<'_>) -> T,
    ) -> Option<(T, Output<Event, Reply>)> {
        let entry = self.groups.get_mut(group)?;
        let mut turn = Turn::new(group, &self.config, now, self.held);
        self.held -= entry.held(group);
        let result = work(&mut entry.classic, &mut turn);
        self.held += entry.held(group);
        let (wake, out) = (turn.wake, turn.out);
        let void = entry.classic.is_void() && self.offsets.of(group).is_none();
        match wake {
            _ if void && !self.offsets.in_transaction(group) => drop(self.groups.remove(group)),
            Some(wake) => self.set_alarm(group, wake),
            None => {}
        }
        Some((result, out))
    }

    /// Makes sure that the group is looked at no later than `at`.
    fn set_alarm(&mut self, group: &str, at: Mono) {
        let Some(entry) = self.groups.get_mut(group) else { return };
        if entry.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        if let Some(before) = entry.alarm.replace(at) {
            self.alarms.remove(&(before, group.to_owned()));
        }
        self.alarms.insert((at, group.to_owned()));
    }

    fn join(&mut self, join: Join, new_member: String, ticket: Ticket, now: Now) -> Output<Event, Reply> {
        if let Err(error) = self.check_join(&join) {
            return Output::reply(ticket, Reply::Join(Err(JoinRefused { error, member: join.member })));
        }
        let (group, join) = (join.group.clone(), join.with_protocols_once());
        self.groups.entry(group.clone()).or_default();
        let done = self.with_group(&group, now, |classic, turn| classic.join(join, new_member, ticket, turn));
        done.map(|((), out)| out).unwrap_or_default()
    }

    /// A group begins with a member that has no id yet; one that has an id must be known.
    fn check_join(&self, join: &Join) -> Result<(), ErrorCode> {
        join.check_texts()?;
        join.check_protocols()?;
        if join.session_timeout < self.config.min_session_timeout
            || join.session_timeout > self.config.max_session_timeout
        {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if !join.member.is_empty() && !self.groups.contains_key(&join.group) {
            return Err(ErrorCode::UnknownMemberId);
        }
        Ok(())
    }

    fn sync(&mut self, sync: Sync, ticket: Ticket, now: Now) -> Output<Event, Reply> {
        let group = sync.group.clone();
        let done = self.with_group(&group, now, |classic, turn| classic.sync(sync, ticket, turn));
        let unknown = || Output::reply(ticket, Reply::Sync(Err(ErrorCode::UnknownMemberId)));
        done.map_or_else(unknown, |((), out)| out)
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, ticket: Ticket, now: Now) -> Output<Event, Reply> {
        let done = self.with_group(&heartbeat.group, now, |classic, turn| classic.heartbeat(heartbeat, turn));
        let reply = done.map_or(Err(ErrorCode::UnknownMemberId), |(reply, _)| reply);
        Output::reply(ticket, Reply::Heartbeat(reply))
    }

    fn leave(&mut self, leave: Leave, ticket: Ticket, now: Now) -> Output<Event, Reply> {
        let Leave { group, members } = leave;
        if !self.groups.contains_key(&group) {
            let unknown = members.into_iter().map(|leaving| Left {
                member: leaving.member,
                instance: leaving.instance,
                error: Some(ErrorCode::UnknownMemberId),
            });
            return Output::reply(ticket, Reply::Leave(Ok(unknown.collect())));
        }
        let done = self.with_group(&group, now, |classic, turn| {
            let left = classic.leave(members, turn);
            turn.reply(ticket, Reply::Leave(Ok(left)));
        });
        done.map(|((), out)| out).unwrap_or_default()
    }

    /// A commit is a sign of life, except while an assignment is awaited.
    pub(super) fn renew_session(&mut self, group: &str, member: &str, now: Now) {
        self.with_group(group, now, |classic, turn| classic.renew_session(member, turn));
    }

    fn tick(&mut self, now: Now) -> Output<Event, Reply> {
        match self.alarms.first() {
            Some((at, _)) if *at <= now.mono => self.ring(now),
            _ => self.clean_up(now),
        }
    }

    /// Lets the first group whose time has come do what is due.
    fn ring(&mut self, now: Now) -> Output<Event, Reply> {
        let Some((at, group)) = self.alarms.pop_first() else { return Output::default() };
        let Some(entry) = self.groups.get_mut(&group).filter(|entry| entry.alarm == Some(at)) else {
            return Output::default();
        };
        entry.alarm = None;
        let done = self.with_group(&group, now, |classic, turn| {
            classic.expire(turn);
            classic.deadline()
        });
        let Some((deadline, out)) = done else { return Output::default() };
        if let Some(deadline) = deadline {
            self.set_alarm(&group, deadline);
        }
        out
    }

    /// That what is held is what all groups hold.
    #[cfg(test)]
    pub fn check_held(&self) {
        let held: usize = self.groups.iter().map(|(group, entry)| entry.held(group)).sum();
        assert_eq!(self.held, held);
    }

    fn apply_group(&mut self, group: &str, value: Option<&super::records::GroupMetadata>) {
        self.held -= self.groups.get(group).map_or(0, |entry| entry.held(group));
        match value {
            Some(value) => {
                let entry = self.groups.entry(group.to_owned()).or_default();
                entry.classic.apply(value);
                self.held += entry.held(group);
            }
            None => {
                self.groups.remove(group);
                // Offsets that are left belong to a group still, one without members.
                if self.offsets.of(group).is_some() {
                    self.groups.entry(group.to_owned()).or_default();
                }
            }
        }
    }
}

impl Entry {
    /// With the group's name, which is kept among the alarms too.
    fn held(&self, group: &str) -> usize {
        match self.classic.held() {
            0 => 0,
            held => held + 2 * group.len(),
        }
    }
}

impl Machine for GroupMachine {
    type Command = Command;
    type Event = Event;
    type Reply = Reply;

    fn step(&mut self, input: Input<Command>, now: Now) -> Output<Event, Reply> {
        match input {
            Input::Command(command, ticket) => self.command(command, ticket, now),
            Input::Tick => self.tick(now),
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Group { group, value } => self.apply_group(group, value.as_ref()),
            Event::Offset { key, value: Some(value) } => {
                self.groups.entry(key.group.clone()).or_default();
                self.offsets.put(key, value.clone());
            }
            Event::Offset { key, value: None } => self.offsets.remove(key),
            Event::PendingOffset { producer_id, key, value } => {
                self.groups.entry(key.group.clone()).or_default();
                self.offsets.put_pending(*producer_id, key, value.clone());
            }
            Event::TransactionEnded { producer_id, committed } => {
                self.offsets.end_transaction(*producer_id, *committed);
            }
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        [alarm, self.cleanup.deadline()].into_iter().flatten().min()
    }

    fn loaded(&mut self, now: Now) {
        let groups: Vec<String> = self.groups.keys().cloned().collect();
        for group in &groups {
            self.with_group(group, now, Classic::start_sessions);
        }
        self.cleanup.start(now, &self.config);
    }

    fn record(event: &Event) -> Record {
        event.encode()
    }

    fn event(replayed: Replayed) -> Option<Event> {
        Event::decode(replayed)
    }
}
