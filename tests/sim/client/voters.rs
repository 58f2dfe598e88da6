//! An operator of the quorum: gives controllers votes and takes them, until each has one.
//!
//! A voter whose directory was lost votes no more, and nobody may lose another before its successor has a vote for certain:
//! of those that remain a majority must answer. So a seed either loses directories or takes votes from those that live.

use super::wire::text;
use super::{Act, Client, PAUSE};
use crate::setup::CONTROLLERS;
use drave::types::Uuid;
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::{PartitionData as Quorum, ReplicaState};
use kafka_protocol::messages::{
    AddRaftVoterRequest, DescribeQuorumRequest, RemoveRaftVoterRequest, TopicName,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::time::sleep;

const DESCRIBE: i16 = 2;
const CHANGE: i16 = 0;
/// What a request may take, ms: less than a client waits.
const LIMIT: i32 = 4_000;
/// While nothing is to be mended, one look in so many takes a vote.
const RARELY: usize = 4;

type Directories = BTreeMap<i32, Uuid>;

/// Whose directories vote, as far as that is certain; clones are the same.
#[derive(Clone, Default)]
pub struct Votes(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Empty until it was seen.
    certain: Directories,
    /// Whose directory is gone and has no successor yet.
    lost: Option<i32>,
}

impl Votes {
    /// The directory of a node is lost, if it may be.
    pub fn lose(&self, node: i32) -> bool {
        let known = &mut *self.0.lock();
        if !CONTROLLERS.contains(&node) {
            return true;
        }
        if known.certain.is_empty() || known.lost.is_some() {
            return false;
        }
        known.lost = Some(node);
        true
    }

    /// Each controller has one vote, for certain; a leader that was deposed may still show a directory that is lost.
    fn settled(&self, found: Directories) -> bool {
        let known = &mut *self.0.lock();
        if known.lost.is_some_and(|lost| known.certain.get(&lost) == found.get(&lost)) {
            return false;
        }
        *known = Known { certain: found, lost: None };
        true
    }

    /// The directory that is gone, if it is one of these.
    fn gone(&self, voters: &[ReplicaState]) -> Option<(i32, Uuid)> {
        let known = self.0.lock();
        let lost = known.lost.and_then(|lost| Some((lost, *known.certain.get(&lost)?)));
        lost.filter(|lost| voters.iter().any(|one| identity(one) == *lost))
    }
}

/// Works until the story ends.
pub async fn run(client: Client, votes: Votes, takes: bool) {
    loop {
        // Nobody may answer, or a change be refused: what came of it is seen by the next look.
        let settled = look(&client, &votes, takes).await.unwrap_or(false);
        if settled && client.act() != Act::Work {
            return client.history.finished();
        }
        client.pause(1_000).await;
        sleep(PAUSE).await;
    }
}

/// Whether each controller has its vote; if not, what it takes is asked for.
async fn look(client: &Client, votes: &Votes, takes: bool) -> io::Result<bool> {
    let quorum = describe(client).await?;
    let observers = quorum.observers.iter().map(identity).find(|(node, _)| CONTROLLERS.contains(node));
    if let Some(observer) = observers {
        add(client, observer).await?;
    } else if let Some(gone) = votes.gone(&quorum.current_voters) {
        remove(client, gone).await?;
    } else if is_certain(&quorum) && votes.settled(quorum.current_voters.iter().map(identity).collect()) {
        if takes && client.act() == Act::Work && client.below(RARELY) == 0 {
            let taken = client.below(quorum.current_voters.len());
            remove(client, identity(&quorum.current_voters[taken])).await?;
            return Ok(false);
        }
        return Ok(true);
    }
    Ok(false)
}

fn identity(replica: &ReplicaState) -> (i32, Uuid) {
    (replica.replica_id.0, replica.replica_directory_id)
}

/// Each controller has one vote, and all that made it so is committed.
fn is_certain(quorum: &Quorum) -> bool {
    let voters = &quorum.current_voters;
    let leads = voters.iter().find(|one| one.replica_id == quorum.leader_id);
    voters.len() == CONTROLLERS.len()
        && CONTROLLERS.iter().all(|id| voters.iter().any(|one| one.replica_id.0 == *id))
        && leads.is_some_and(|leads| leads.log_end_offset <= quorum.high_watermark)
}

async fn describe(client: &Client) -> io::Result<Quorum> {
    let log = TopicData::default().with_topic_name(TopicName(text("__cluster_metadata")));
    let log = log.with_partitions(vec![PartitionData::default()]);
    let request = DescribeQuorumRequest::default().with_topics(vec![log]);
    let answer = client.any_broker().await?.call(DESCRIBE, &request).await?;
    let found = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
    found.filter(|one| one.error_code == 0).ok_or_else(|| io::ErrorKind::NotFound.into())
}

async fn add(client: &Client, (node, directory): (i32, Uuid)) -> io::Result<()> {
    let request = AddRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(node)
        .with_voter_directory_id(directory)
        .with_timeout_ms(LIMIT)
        .with_listeners(vec![Listener::default().with_name(text("CONTROLLER"))]);
    let answer = client.any_broker().await?.call(CHANGE, &request).await?;
    tracing::info!(node, %directory, code = answer.error_code, why = ?answer.error_message, "asked for a vote");
    Ok(())
}

async fn remove(client: &Client, (node, directory): (i32, Uuid)) -> io::Result<()> {
    let request = RemoveRaftVoterRequest::default()
        .with_cluster_id(None)
        .with_voter_id(node)
        .with_voter_directory_id(directory);
    let answer = client.any_broker().await?.call(CHANGE, &request).await?;
    tracing::info!(node, %directory, code = answer.error_code, why = ?answer.error_message, "took a vote");
    Ok(())
}
