//! The language of the scenarios: a command a line, `key=value` arguments, one line for each record and each answer.

use super::driver::{Driver, Outcome, config};
use crate::cluster::Image;
use crate::cluster::change::{Change, TopicCreated};
use crate::cluster::image::Topics;
use crate::coordinator::group::command::*;
use crate::coordinator::group::machine::{Command, Reply};
use crate::coordinator::group::records::{Event, GroupMetadata};
use crate::coordinator::machine::Ticket;
use crate::types::{ErrorCode, Uuid};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub struct Runner {
    driver: Driver,
    callers: BTreeMap<Ticket, String>,
    minted: u32,
}

/// `key=value` words after the first two.
struct Args<'a>(HashMap<&'a str, &'a str>);

impl Default for Runner {
    fn default() -> Self {
        Runner { driver: Driver::new(config()), callers: BTreeMap::new(), minted: 0 }
    }
}

impl Runner {
    pub fn run(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let args = Args(words.iter().filter_map(|word| word.split_once('=')).collect());
        let caller = words.get(1).copied().unwrap_or_default();
        match words[0] {
            "config" => self.configure(&args),
            "advance" => return self.advance(caller.parse().unwrap()),
            "refuse" => self.driver.refuse = 1,
            "restart" => self.driver.restart(),
            "clock" => self.driver.now.wall.0 += caller.parse::<i64>().unwrap(),
            verb => {
                let command = self.command(verb, &args).unwrap_or_else(|| panic!("what is {line:?}?"));
                return self.ask(caller, command);
            }
        }
        Vec::new()
    }

    fn configure(&mut self, args: &Args<'_>) {
        let mut config = config();
        config.max_size = args.number("max-size", usize::MAX as i64) as usize;
        config.held_max_bytes = args.number("held-max", i64::MAX) as usize;
        config.initial_rebalance_delay = Duration::from_millis(args.number("initial-delay", 3000) as u64);
        config.offset_metadata_max_bytes = args.number("metadata-max", 4096) as usize;
        config.offsets_retention = Duration::from_millis(args.number("retention", 604_800_000) as u64);
        let log = std::mem::take(&mut self.driver.log);
        self.driver = Driver::new(config);
        self.driver.log = log;
        self.driver.restart();
    }

    fn ask(&mut self, caller: &str, command: Command) -> Vec<String> {
        let (ticket, outcome) = self.driver.command(command);
        self.callers.insert(ticket, caller.to_owned());
        let mut said = self.say(outcome);
        self.drain(&mut said);
        said
    }

    /// Ticks whatever is due at this instant.
    fn drain(&mut self, said: &mut Vec<String>) {
        while self.driver.refuse == 0
            && let Some(outcome) = self.driver.tick()
        {
            said.extend(self.say(outcome));
        }
    }

    fn advance(&mut self, millis: u64) -> Vec<String> {
        let until = self.driver.now.mono.plus(Duration::from_millis(millis));
        let mut said = Vec::new();
        while self.driver.now.mono < until {
            self.driver.advance(until);
            let before = said.len();
            if let Some(outcome) = self.driver.tick() {
                said.extend(self.say(outcome));
            }
            let at = self.driver.now.mono.0;
            said[before..].iter_mut().for_each(|line| line.insert_str(0, &format!("[{at}] ")));
        }
        said
    }

    fn say(&mut self, outcome: Outcome) -> Vec<String> {
        let mut said: Vec<String> = outcome.events.iter().map(say_event).collect();
        if outcome.refused {
            said.push("log refused".to_owned());
        }
        for (ticket, reply) in outcome.replies {
            let caller = self.callers.remove(&ticket).unwrap_or_else(|| "?".to_owned());
            said.push(format!("{caller}: {}", reply.map_or("failed".to_owned(), say_reply)));
        }
        said
    }

    fn command(&mut self, verb: &str, args: &Args<'_>) -> Option<Command> {
        Some(match verb {
            "join" => self.join(args),
            "sync" => Command::Sync(args.sync()),
            "heartbeat" => Command::Heartbeat(Heartbeat {
                group: args.group(),
                member: args.text("member", ""),
                instance: args.optional("instance"),
                generation: args.number("gen", -1) as i32,
            }),
            "leave" => Command::Leave(Leave { group: args.group(), members: args.leaving() }),
            "commit" => Command::CommitOffsets(args.commit()),
            "fetch" => Command::FetchOffsets(FetchOffsets {
                group: args.group(),
                topics: args.optional("offsets").map(|list| topics(&list)),
                require_stable: false,
            }),
            "delete-offsets" => Command::DeleteOffsets(DeleteOffsets {
                group: args.group(),
                topics: topics(&args.text("offsets", "")),
            }),
            "describe" => Command::Describe(DescribeGroup { group: args.group() }),
            "list" => Command::List(ListGroups { states: args.list("states"), types: args.list("types") }),
            "delete" => Command::DeleteGroup(DeleteGroup { group: args.group() }),
            "topics-deleted" => Command::TopicsDeleted(TopicsDeleted { topics: args.made() }),
            "topics-are" => Command::TopicsAre(topics_of(args.made())),
            _ => return None,
        })
    }

    fn join(&mut self, args: &Args<'_>) -> Command {
        let version = args.number("v", 4);
        let (client_id, instance) = (args.text("client", "c"), args.optional("instance"));
        let member = args.text("member", "");
        let mut minted = String::new();
        if member.is_empty() {
            self.minted += 1;
            minted = format!("{}-{}", instance.as_ref().unwrap_or(&client_id), self.minted);
        }
        let join = Join {
            group: args.group(),
            member,
            instance,
            client_id,
            client_host: "/10.0.0.1".to_owned(),
            session_timeout: Duration::from_millis(args.number("session", 10_000) as u64),
            rebalance_timeout: Duration::from_millis(args.number("rebalance", 60_000) as u64),
            protocol_type: args.text("type", "consumer"),
            protocols: args.protocols(),
            needs_member_id: version >= 4,
            can_skip_assignment: version >= 9,
            reason: None,
        };
        Command::Join(join, minted)
    }
}

impl Args<'_> {
    fn optional(&self, key: &str) -> Option<String> {
        self.0.get(key).map(|text| (*text).to_owned())
    }

    fn text(&self, key: &str, default: &str) -> String {
        self.optional(key).unwrap_or_else(|| default.to_owned())
    }

    fn number(&self, key: &str, default: i64) -> i64 {
        self.0.get(key).map_or(default, |text| text.parse().unwrap())
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.optional(key).map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
    }

    fn made(&self) -> Vec<(String, Uuid)> {
        self.list("names").iter().map(|name| made(name)).collect()
    }

    fn group(&self) -> String {
        self.text("group", "g")
    }

    /// `range:t1+t2,sticky:t1`: names, each with the topics subscribed to; `raw` stands for bytes of another kind.
    /// `more-protocols=9` adds so many others.
    fn protocols(&self) -> Vec<(String, Bytes)> {
        let more = (0..self.number("more-protocols", 0)).map(|at| (format!("p{at}"), Bytes::new()));
        let list = self.text("protocols", "range:t1");
        let entries = list.split(',').filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                let (name, topics) = entry.split_once(':').unwrap_or((entry, ""));
                (name.to_owned(), subscription(topics))
            })
            .chain(more)
            .collect()
    }

    fn sync(&self) -> Sync {
        let assignments = self.list("assign").into_iter().map(|entry| {
            let (member, assignment) = entry.split_once(':').unwrap();
            (member.to_owned(), Bytes::copy_from_slice(assignment.as_bytes()))
        });
        Sync {
            group: self.group(),
            member: self.text("member", ""),
            instance: self.optional("instance"),
            generation: self.number("gen", 1) as i32,
            protocol_type: self.optional("type"),
            protocol: self.optional("protocol"),
            assignments: assignments.collect(),
        }
    }

    /// `members=m1,m2@instance,@instance`
    fn leaving(&self) -> Vec<Leaving> {
        let leaving = |entry: String| {
            let (member, instance) = entry.split_once('@').map_or((&entry[..], None), |(m, i)| (m, Some(i)));
            Leaving { member: member.to_owned(), instance: instance.map(str::to_owned), reason: None }
        };
        self.list("members").into_iter().map(leaving).collect()
    }

    /// `offsets=topic/partition:offset:metadata,…`
    fn commit(&self) -> CommitOffsets {
        let topic = |entry: String| {
            let (at, value) = entry.split_once(':').unwrap();
            let (name, partition) = at.split_once('/').unwrap();
            let (offset, metadata) = value.split_once(':').map_or((value, None), |(o, m)| (o, Some(m)));
            let partition = CommitPartition {
                partition: partition.parse().unwrap(),
                offset: offset.parse().unwrap(),
                leader_epoch: self.number("epoch", -1) as i32,
                metadata: metadata.map(str::to_owned),
            };
            let (name, id) = made(name);
            CommitTopic { name, id, partitions: vec![partition] }
        };
        CommitOffsets {
            group: self.group(),
            member: self.text("member", ""),
            instance: self.optional("instance"),
            generation: self.number("gen", -1) as i32,
            knows_group_not_found: self.number("v", 8) >= 9,
            retention: self.optional("retention").map(|ms| Duration::from_millis(ms.parse().unwrap())),
            topics: self.list("offsets").into_iter().map(topic).collect(),
        }
    }
}

/// `t1#7`: the name of a topic, and its id if that matters.
fn made(topic: &str) -> (String, Uuid) {
    let (name, id) = topic.split_once('#').unwrap_or((topic, "0"));
    (name.to_owned(), Uuid::from_u128(id.parse().unwrap()))
}

fn topics_of(made: Vec<(String, Uuid)>) -> Topics {
    let created = made.into_iter().map(|(name, id)| Change::TopicCreated(TopicCreated { id, name }));
    let mut image = Image::default();
    image.apply_all(&created.collect::<Vec<_>>()).unwrap();
    image.topics
}

/// `t1/0,t2/1`
fn topics(list: &str) -> Vec<(String, Vec<i32>)> {
    let entries = list.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (name, partition) = entry.split_once('/').unwrap();
            (name.to_owned(), vec![partition.parse().unwrap()])
        })
        .collect()
}

fn subscription(topics: &str) -> Bytes {
    if topics == "raw" {
        return Bytes::from_static(b"raw");
    }
    let names: Vec<&str> = topics.split('+').filter(|name| !name.is_empty()).collect();
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(names.len() as i32);
    for name in names {
        out.put_i16(name.len() as i16);
        out.put_slice(name.as_bytes());
    }
    out.put_i32(-1);
    out.freeze()
}

fn say_event(event: &Event) -> String {
    match event {
        Event::Group { group, value: None } => format!("log group {group} gone"),
        Event::Group { group, value: Some(value) } => format!("log group {group} {}", say_group(value)),
        Event::Offset { key, value } => {
            let value = value.as_ref().map_or("gone".to_owned(), |value| value.offset.to_string());
            format!("log offset {} {}/{} {value}", key.group, key.topic, key.partition)
        }
        other => format!("log {other:?}"),
    }
}

fn say_group(value: &GroupMetadata) -> String {
    let members = value.members.iter().map(|member| format!("{}={:?}", member.member, member.assignment));
    let members: Vec<String> = members.collect();
    format!(
        "gen={} type={} protocol={} leader={} [{}]",
        value.generation,
        value.protocol_type,
        value.protocol.as_deref().unwrap_or("-"),
        value.leader.as_deref().unwrap_or("-"),
        members.join(" ")
    )
}

fn say_error(error: &ErrorCode) -> String {
    format!("{error:?}")
}

fn say_reply(reply: Reply) -> String {
    match reply {
        Reply::Join(Ok(joined)) => say_joined(&joined),
        Reply::Join(Err(refused)) => {
            format!("{} {}", say_error(&refused.error), refused.member).trim_end().to_owned()
        }
        Reply::Sync(Ok(synced)) => format!("assigned {:?}", synced.assignment),
        Reply::Sync(Err(error)) => say_error(&error),
        Reply::Heartbeat(outcome) => outcome.map_or_else(|error| say_error(&error), |()| "ok".to_owned()),
        Reply::DeleteGroup(outcome) => outcome.map_or_else(|error| say_error(&error), |()| "ok".to_owned()),
        Reply::Leave(outcome) => outcome.map_or_else(|error| say_error(&error), |left| say_left(&left)),
        Reply::Outcomes(outcome) => {
            outcome.map_or_else(|error| say_error(&error), |topics| say_topics(&topics))
        }
        Reply::Fetch(outcome) => {
            outcome.map_or_else(|error| say_error(&error), |topics| say_fetched(&topics))
        }
        Reply::Describe(outcome) => {
            outcome.map_or_else(|error| say_error(&error), |found| say_described(&found))
        }
        Reply::List(groups) => say_listed(groups),
        Reply::Noted => "noted".to_owned(),
    }
}

fn say_joined(joined: &Joined) -> String {
    let members: Vec<&str> = joined.members.iter().map(|member| member.member.as_str()).collect();
    format!(
        "joined {} gen={} protocol={} leader={} [{}]{}",
        joined.member,
        joined.generation,
        joined.protocol.as_deref().unwrap_or("-"),
        joined.leader,
        members.join(" "),
        if joined.skip_assignment { " skip" } else { "" }
    )
}

fn or_ok(error: &Option<ErrorCode>) -> String {
    error.as_ref().map_or("ok".to_owned(), say_error)
}

fn say_left(left: &[Left]) -> String {
    let one = |left: &Left| {
        let instance = left.instance.as_ref().map(|instance| format!("@{instance}")).unwrap_or_default();
        format!("{}{instance} {}", left.member, or_ok(&left.error))
    };
    left.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn say_topics(topics: &[TopicOutcome]) -> String {
    let partition =
        |name: &str, (at, error): &(i32, Option<ErrorCode>)| format!("{name}/{at} {}", or_ok(error));
    let one = |topic: &TopicOutcome| {
        topic.partitions.iter().map(|outcome| partition(&topic.name, outcome)).collect::<Vec<_>>().join(", ")
    };
    topics.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn say_fetched(topics: &[FetchedTopic]) -> String {
    let mut said = Vec::new();
    for topic in topics {
        for found in &topic.partitions {
            let error = found.error.as_ref().map(|error| format!(" {error:?}")).unwrap_or_default();
            said.push(format!(
                "{}/{} {} epoch={} {:?}{error}",
                topic.name, found.partition, found.offset, found.leader_epoch, found.metadata
            ));
        }
    }
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

fn say_described(found: &GroupDescription) -> String {
    let one = |member: &MemberDescription| {
        let instance = member.instance.as_ref().map(|instance| format!("@{instance}")).unwrap_or_default();
        format!("{}{instance} metadata={}B {:?}", member.member, member.metadata.len(), member.assignment)
    };
    let members: Vec<String> = found.members.iter().map(one).collect();
    format!(
        "{} type={:?} protocol={:?} [{}]",
        found.state,
        found.protocol_type,
        found.protocol,
        members.join(" ")
    )
}

fn say_listed(mut groups: Vec<ListedGroup>) -> String {
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    let one = |group: &ListedGroup| {
        format!("{} {} {:?} {}", group.group, group.state, group.protocol_type, group.kind)
    };
    groups.iter().map(one).collect::<Vec<_>>().join(", ")
}
