//! Random operations, some of them refused by the log, with what must hold after each.

use super::driver::{Driver, config};
use crate::coordinator::group::classic::{Classic, State};
use crate::coordinator::group::command::*;
use crate::coordinator::group::machine::{Command, Reply};
use crate::coordinator::group::records::{Event, GroupMetadata};
use crate::coordinator::machine::{Machine, Record, Replayed, Ticket};
use crate::types::{Mono, Uuid};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// One thing that somebody does. Numbers pick among what exists, so that most operations make sense.
#[derive(Clone, Debug)]
enum Op {
    Join { group: u8, instance: Option<u8>, version: u8, protocols: u8 },
    JoinAgain { who: u8, protocols: u8 },
    Sync { who: u8 },
    Heartbeat { who: u8 },
    Leave { who: u8 },
    Commit { who: u8, topic: u8, offset: u16 },
    CommitAlone { group: u8, topic: u8, offset: u16 },
    DeleteOffsets { group: u8, topic: u8 },
    DeleteGroup { group: u8 },
    TopicDeleted { topic: u8 },
    Advance { millis: u32 },
    Refuse,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let small = 0..4u8;
    let instance = proptest::option::weighted(0.4, 0..3u8);
    prop_oneof![
        6 => (small.clone(), instance, 3..10u8, 0..3u8)
            .prop_map(|(group, instance, version, protocols)| Op::Join { group, instance, version, protocols }),
        8 => (any::<u8>(), 0..3u8).prop_map(|(who, protocols)| Op::JoinAgain { who, protocols }),
        10 => any::<u8>().prop_map(|who| Op::Sync { who }),
        4 => any::<u8>().prop_map(|who| Op::Heartbeat { who }),
        2 => any::<u8>().prop_map(|who| Op::Leave { who }),
        4 => (any::<u8>(), small.clone(), any::<u16>()).prop_map(|(who, topic, offset)| Op::Commit { who, topic, offset }),
        2 => (small.clone(), small.clone(), any::<u16>())
            .prop_map(|(group, topic, offset)| Op::CommitAlone { group, topic, offset }),
        1 => (small.clone(), small.clone()).prop_map(|(group, topic)| Op::DeleteOffsets { group, topic }),
        1 => small.clone().prop_map(|group| Op::DeleteGroup { group }),
        1 => small.prop_map(|topic| Op::TopicDeleted { topic }),
        6 => (0..40_000u32).prop_map(|millis| Op::Advance { millis }),
        1 => (0..700_000_000u32).prop_map(|millis| Op::Advance { millis }),
        1 => Just(Op::Refuse),
        1 => Just(Op::Restart),
    ]
}

/// What a client believes.
#[derive(Clone, Debug)]
struct Client {
    group: String,
    member: String,
    instance: Option<String>,
    generation: i32,
    leads: Vec<String>,
}

struct World {
    driver: Driver,
    clients: Vec<Client>,
    asked: HashMap<Ticket, usize>,
    waiting: HashSet<Ticket>,
    generations: HashMap<String, i32>,
    minted: u32,
    steps: u32,
}

impl World {
    fn new() -> Self {
        let mut config = config();
        config.max_size = 3;
        World {
            driver: Driver::new(config),
            clients: Vec::new(),
            asked: HashMap::new(),
            waiting: HashSet::new(),
            generations: HashMap::new(),
            minted: 0,
            steps: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Advance { millis } => self.advance(*millis),
            Op::Refuse => self.driver.refuse = 1,
            Op::Restart => {
                self.driver.restart();
                self.waiting.clear();
            }
            op => {
                if let Some((client, command)) = self.command(op) {
                    self.ask(client, command);
                }
            }
        }
        self.check();
    }

    fn ask(&mut self, client: Option<usize>, command: Command) {
        let (ticket, outcome) = self.driver.command(command);
        self.waiting.insert(ticket);
        if let Some(client) = client {
            self.asked.insert(ticket, client);
        }
        self.hear(outcome.replies);
        self.driver.refuse = 0;
        while let Some(outcome) = self.driver.tick() {
            self.hear(outcome.replies);
        }
    }

    fn advance(&mut self, millis: u32) {
        let until = self.driver.now.mono.plus(Duration::from_millis(millis.into()));
        self.driver.refuse = 0;
        while self.driver.now.mono < until {
            self.driver.advance(until);
            while let Some(outcome) = self.driver.tick() {
                self.hear(outcome.replies);
            }
        }
    }

    fn hear(&mut self, replies: Vec<(Ticket, Option<Reply>)>) {
        for (ticket, reply) in replies {
            assert!(self.waiting.remove(&ticket), "{ticket:?} was answered twice: {reply:?}");
            let Some(client) = self.asked.remove(&ticket) else { continue };
            match reply {
                Some(Reply::Join(Ok(joined))) => self.joined(client, joined),
                Some(Reply::Join(Err(refused))) => self.clients[client].member = refused.member,
                _ => {}
            }
        }
    }

    fn joined(&mut self, client: usize, joined: Joined) {
        let client = &mut self.clients[client];
        client.member = joined.member;
        client.generation = joined.generation;
        client.leads = joined.members.into_iter().map(|member| member.member).collect();
    }

    fn command(&mut self, op: &Op) -> Option<(Option<usize>, Command)> {
        let pick = |who: u8| (!self.clients.is_empty()).then(|| usize::from(who) % self.clients.len());
        Some(match *op {
            Op::Join { group, instance, version, protocols } => {
                let instance = instance.map(|instance| format!("i{instance}"));
                let group = format!("g{group}");
                let client =
                    Client { group, member: String::new(), instance, generation: -1, leads: Vec::new() };
                self.clients.push(client);
                let client = self.clients.len() - 1;
                (Some(client), self.join(client, version, protocols))
            }
            Op::JoinAgain { who, protocols } => {
                let client = pick(who)?;
                (Some(client), self.join(client, 9, protocols))
            }
            Op::Sync { who } => (None, Command::Sync(sync(&self.clients[pick(who)?]))),
            Op::Heartbeat { who } => (None, Command::Heartbeat(heartbeat(&self.clients[pick(who)?]))),
            Op::Leave { who } => (None, Command::Leave(leave(&self.clients[pick(who)?]))),
            Op::Commit { who, topic, offset } => {
                let client = &self.clients[pick(who)?];
                (None, commit(&client.group, &client.member, client.generation, topic, offset))
            }
            Op::CommitAlone { group, topic, offset } => {
                (None, commit(&format!("g{group}"), "", -1, topic, offset))
            }
            Op::DeleteOffsets { group, topic } => {
                let topics = vec![(format!("t{topic}"), vec![0])];
                (None, Command::DeleteOffsets(DeleteOffsets { group: format!("g{group}"), topics }))
            }
            Op::DeleteGroup { group } => {
                (None, Command::DeleteGroup(DeleteGroup { group: format!("g{group}") }))
            }
            Op::TopicDeleted { topic } => (
                None,
                Command::TopicsDeleted(TopicsDeleted { topics: vec![(format!("t{topic}"), Uuid::nil())] }),
            ),
            Op::Advance { .. } | Op::Refuse | Op::Restart => return None,
        })
    }

    fn join(&mut self, client: usize, version: u8, protocols: u8) -> Command {
        self.minted += 1;
        let client = &self.clients[client];
        let names = [&["x", "y"][..], &["y", "x"], &["y"]][usize::from(protocols)];
        let join = Join {
            group: client.group.clone(),
            member: client.member.clone(),
            instance: client.instance.clone(),
            client_id: "c".to_owned(),
            client_host: "/10.0.0.1".to_owned(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(30),
            protocol_type: "consumer".to_owned(),
            protocols: names.iter().map(|name| ((*name).to_owned(), Bytes::from_static(b"raw"))).collect(),
            needs_member_id: version >= 4,
            can_skip_assignment: version >= 9,
            reason: None,
        };
        Command::Join(join, format!("m{}", self.minted))
    }

    fn check(&mut self) {
        for (group, entry) in &self.driver.machine.groups {
            check_group(&entry.classic);
            let generation = entry.classic.generation;
            let before = self.generations.get(group).copied().unwrap_or_default();
            assert!(
                generation >= before || generation >= recorded(&self.driver.log, group),
                "{group} went back"
            );
        }
        self.generations = self
            .driver
            .machine
            .groups
            .iter()
            .map(|(id, entry)| (id.clone(), entry.classic.generation))
            .collect();
        self.driver.machine.check_held();
        let deadline = self.driver.machine.next_deadline();
        for entry in self.driver.machine.groups.values() {
            assert!(entry.classic.deadline().is_none_or(|at| deadline.is_some_and(|next| next <= at)));
        }
        // Reading it all after each step would take most of the time.
        self.steps += 1;
        if self.steps.is_multiple_of(8) {
            self.check_replay();
        }
    }

    /// A machine that reads the whole log knows the same offsets, and the same groups as of their last record.
    fn check_replay(&self) {
        let replayed = self.driver.replay(self.driver.log.len());
        let live = &self.driver.machine;
        for (group, entry) in &live.groups {
            assert_eq!(live.offsets.commits(group), replayed.offsets.commits(group));
            let last = last_record(&self.driver.log, group);
            let settled = matches!(entry.classic.state, State::Stable | State::Empty);
            let found = replayed.groups.get(group).map(|entry| entry.classic.durable());
            if let Some(last) = last {
                assert_eq!(found, Some(last.clone()), "replayed {group}");
                assert!(!settled || entry.classic.durable() == last, "live {group} is not as recorded");
            }
        }
        // A group of which nothing is left may be forgotten at any time.
        for (group, _) in replayed.groups.iter().filter(|(_, entry)| !entry.classic.is_void()) {
            assert!(live.groups.contains_key(group), "{group} is in the log alone");
        }
    }
}

fn check_group(classic: &Classic) {
    assert!(classic.members.are_counted());
    assert_eq!(classic.leader.is_some(), !classic.members.is_empty());
    assert!(classic.leader.as_ref().is_none_or(|leader| classic.members.contains_key(leader)));
    let instances: Vec<&String> =
        classic.members.values().filter_map(|member| member.instance.as_ref()).collect();
    assert_eq!(
        instances.len(),
        instances.iter().collect::<HashSet<_>>().len(),
        "two members for one instance"
    );
    let waits = |member: &&crate::coordinator::group::classic::Member| member.join.is_some();
    match classic.state {
        State::Empty => assert!(classic.members.is_empty()),
        State::Stable | State::CompletingRebalance => {
            assert!(!classic.members.is_empty() && classic.protocol.is_some());
            assert_eq!(classic.members.values().filter(waits).count(), 0, "joins are answered");
        }
        State::PreparingRebalance => {}
    }
    if classic.state == State::Stable {
        assert!(classic.members.values().all(|member| member.sync.is_none()), "syncs are answered");
        assert!(classic.members.values().all(|member| !member.assignment.is_empty() || !member.is_new));
    }
    // Whoever is in cannot stay for ever without a sign of life.
    let watched = classic.deadline().is_some() || classic.members.is_empty();
    assert!(watched, "nothing will ever end {classic:?}");
}

fn last_record(log: &[Record], group: &str) -> Option<GroupMetadata> {
    let decode =
        |record: &Record| Event::decode(Replayed::Record { producer_id: -1, record: record.clone() });
    let events = log.iter().rev().filter_map(decode);
    let mut values = events.filter_map(|event| match event {
        Event::Group { group: found, value } if found == group => Some(value),
        _ => None,
    });
    values.next().flatten()
}

fn recorded(log: &[Record], group: &str) -> i32 {
    last_record(log, group).map_or(0, |value| value.generation)
}

fn sync(client: &Client) -> Sync {
    let assignments =
        client.leads.iter().map(|member| (member.clone(), Bytes::from(format!("for {member}"))));
    Sync {
        group: client.group.clone(),
        member: client.member.clone(),
        instance: client.instance.clone(),
        generation: client.generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments.collect(),
    }
}

fn heartbeat(client: &Client) -> Heartbeat {
    Heartbeat {
        group: client.group.clone(),
        member: client.member.clone(),
        instance: client.instance.clone(),
        generation: client.generation,
    }
}

fn leave(client: &Client) -> Leave {
    let leaving = Leaving { member: client.member.clone(), instance: client.instance.clone(), reason: None };
    Leave { group: client.group.clone(), members: vec![leaving] }
}

fn commit(group: &str, member: &str, generation: i32, topic: u8, offset: u16) -> Command {
    let partition = CommitPartition { partition: 0, offset: offset.into(), leader_epoch: -1, metadata: None };
    Command::CommitOffsets(CommitOffsets {
        group: group.to_owned(),
        member: member.to_owned(),
        instance: None,
        generation,
        knows_group_not_found: true,
        retention: None,
        topics: vec![CommitTopic { name: format!("t{topic}"), id: Uuid::nil(), partitions: vec![partition] }],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.run(op));
        // Left alone, everyone who waits is answered.
        world.advance(3_600_000);
        prop_assert!(world.waiting.is_empty(), "still waiting: {:?}", world.waiting);
        world.check_replay();
    }

    #[test]
    fn any_prefix_of_the_log_loads(ops in prop::collection::vec(op(), 1..80), cut in any::<prop::sample::Index>()) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.run(op));
        let mut driver = world.driver;
        let cut = cut.index(driver.log.len() + 1);
        driver.log.truncate(cut);
        driver.restart();
        for entry in driver.machine.groups.values() {
            check_group(&entry.classic);
        }
        let until = Mono(driver.now.mono.0 + 3_600_000);
        while driver.now.mono < until {
            driver.advance(until);
            while driver.tick().is_some() {}
        }
        prop_assert!(driver.machine.groups.values().all(|entry| entry.classic.is_empty()));
    }
}
