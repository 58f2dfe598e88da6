//! Answers and changes as text.

use super::super::*;
use crate::cluster::change::*;
use crate::cluster::image::{Broker, ConfigResource, PartitionImage};
use crate::types::{BrokerId, PartitionEpoch, Uuid};

/// Marks the ids of directories, so that they are told from topics'.
const DIRECTORY: u128 = 0xd << 64;

pub(super) fn directory_id(number: u128) -> Uuid {
    Uuid::from_u128(DIRECTORY | number)
}

fn outcome<T>(outcome: &Outcome<T>, show: impl Fn(&T) -> String) -> String {
    match outcome {
        Ok(value) => show(value),
        Err(refusal) => format!("{:?}: {}", refusal.code, refusal.message),
    }
}

/// Long names are cut, empty ones made visible.
fn name(name: &str) -> String {
    match name.len() {
        0 => "\"\"".into(),
        1..=40 => name.into(),
        long => format!("{}…({long})", &name[..5]),
    }
}

pub(super) fn created(answers: &[(String, Outcome<CreatedTopic>)]) -> String {
    let show = |topic: &CreatedTopic| {
        format!(
            "#{} with {} partition(s) of {} replica(s)",
            topic.id.as_u128(),
            topic.partitions,
            topic.replication_factor
        )
    };
    answers.iter().map(|(topic, result)| format!("{}: {}\n", name(topic), outcome(result, show))).collect()
}

pub(super) fn deleted(answers: &[DeletedTopic]) -> String {
    let line = |topic: &DeletedTopic| {
        let id = topic.id.map_or(String::new(), |id| format!(" #{}", id.as_u128()));
        let known = topic.name.as_deref().unwrap_or("?");
        format!("{known}{id}: {}\n", outcome(&topic.outcome, |()| "deleted".into()))
    };
    answers.iter().map(line).collect()
}

pub(super) fn reassigned(asked: &[Reassignment], answers: &[Outcome<()>]) -> String {
    let line = |(asked, result): (&Reassignment, &Outcome<()>)| {
        format!("{}/{}: {}\n", asked.topic, asked.partition, outcome(result, |()| "ok".into()))
    };
    asked.iter().zip(answers).map(line).collect()
}

pub(super) fn named(answers: &[(String, Outcome<()>)]) -> String {
    answers
        .iter()
        .map(|(topic, result)| format!("{topic}: {}\n", outcome(result, |()| "ok".into())))
        .collect()
}

pub(super) fn configured(answers: &[(ConfigResource, Outcome<()>)]) -> String {
    let line = |(on, result): &(ConfigResource, Outcome<()>)| {
        format!("{}: {}\n", resource(on), outcome(result, |()| "ok".into()))
    };
    answers.iter().map(line).collect()
}

pub(super) fn altered(proposed: &[IsrProposal], answers: &[Result<PartitionEpoch, Code>]) -> String {
    let line = |(proposal, answer): (&IsrProposal, &Result<PartitionEpoch, Code>)| {
        let answer = match answer {
            Ok(epoch) => format!("in force as of partition epoch {epoch}"),
            Err(Code(code)) => format!("{code:?}"),
        };
        format!("#{}/{}: {answer}\n", proposal.topic.as_u128(), proposal.partition)
    };
    proposed.iter().zip(answers).map(line).collect()
}

pub(super) fn elected(answers: &[(String, i32, Result<(), Code>)]) -> String {
    let line = |(topic, index, result): &(String, i32, Result<(), Code>)| match result {
        Ok(()) => format!("{topic}/{index}: elected\n"),
        Err(Code(code)) => format!("{topic}/{index}: {code:?}\n"),
    };
    answers.iter().map(line).collect()
}

fn resource(resource: &ConfigResource) -> String {
    format!("{:?} {}", resource.kind, name(&resource.name)).to_lowercase()
}

pub(super) fn change(change: &Change, before: &Image, after: &Image) -> String {
    let topic = |id: &Uuid| {
        let found = after.topics.by_id(*id).or(before.topics.by_id(*id));
        found.map_or(format!("#{}", id.as_u128()), |topic| topic.name.clone())
    };
    let text = match change {
        Change::ClusterFormed(formed) => format!("cluster {}", formed.cluster_id),
        Change::ControllerElected(elected) => format!("controller {}", elected.node),
        Change::BrokerRegistered(new) => broker(new),
        Change::BrokerFencingChanged(change) => {
            let state = match (change.fenced, change.shutting_down) {
                (true, _) => "fenced",
                (false, true) => "shutting down",
                (false, false) => "unfenced",
            };
            format!("broker {} {state}", change.broker)
        }
        Change::BrokerUnregistered(gone) => format!("broker {} unregistered", gone.broker),
        Change::TopicCreated(new) => format!("topic {} #{}", name(&new.name), new.id.as_u128()),
        Change::PartitionChanged(new) => {
            format!("{}/{}", name(&topic(&new.topic)), partition(&new.partition))
        }
        Change::TopicDeleted(gone) => {
            format!("topic {} deleted, held by {}", topic(&gone.id), list(&gone.held_by))
        }
        Change::DeletionConfirmed(gone) => {
            format!("#{} is gone from broker {}", gone.id.as_u128(), gone.broker)
        }
        Change::ConfigSet(set) => format!("{}: {}={}", resource(&set.resource), set.key, name(&set.value)),
        Change::ConfigRemoved(gone) => format!("{}: {} removed", resource(&gone.resource), gone.key),
        Change::ProducerIdsAllocated(ids) => format!("next producer id {}", ids.next),
        Change::FeatureLevel(feature) => format!("feature {} {}", feature.name, feature.level),
    };
    format!("+ {text}\n")
}

fn moves(new: &PartitionImage) -> String {
    let named = |name: &str, brokers: &[BrokerId]| match brokers {
        [] => String::new(),
        _ => format!(", {name} {}", list(brokers)),
    };
    let released: String =
        new.released.iter().map(|r| format!(" {}@{}", r.broker, directory(r.directory))).collect();
    let released = if released.is_empty() { released } else { format!(", released{released}") };
    let moving = named("adding", &new.adding) + &named("removing", &new.removing);
    moving + &released + &named("blank", &new.blank)
}

fn broker(new: &Broker) -> String {
    let rack = new.rack.as_ref().map_or(String::new(), |rack| format!(" in rack {rack}"));
    let directories: String = new.directories.iter().map(|id| format!(" {}", directory(*id))).collect();
    let failed: String = new.failed.iter().map(|id| format!(" {}", directory(*id))).collect();
    let failed = if failed.is_empty() { failed } else { format!(", failed{failed}") };
    let state = if new.fenced { "fenced" } else { "unfenced" };
    format!("broker {}{rack} with{directories}{failed}, epoch {}, {state}", new.id, new.epoch)
}

fn directory(id: Uuid) -> String {
    format!("d{}", id.as_u128() & !DIRECTORY)
}

fn list(brokers: &[BrokerId]) -> String {
    match brokers {
        [] => "none".into(),
        _ => brokers.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn partition(new: &PartitionImage) -> String {
    let on: String =
        new.replicas.iter().map(|r| format!(" {}@{}", r.broker, directory(r.directory))).collect();
    let leader = new.leader.map_or("none".into(), |id| id.to_string());
    let elr = if new.elr.is_empty() { String::new() } else { format!(", elr {}", list(&new.elr)) };
    let last = new.last_known_leader.map_or(String::new(), |id| format!(", last led by {id}"));
    let epochs = format!("{}.{}", new.leader_epoch, new.partition_epoch);
    let moves = moves(new);
    format!("{} on{on}{moves}, isr {}{elr}, leader {leader}{last}, epoch {epochs}", new.index, list(&new.isr))
}
