//! How a node without a metadata log finds its cluster, or begins one.
//!
//! An empty node asks every configured voter. Only if all answer, and none of them has a log, does a cluster begin, and
//! only the voter with the lowest id begins it. If any has a log there is a cluster: the node waits to be told of it, or
//! asks to follow it. So a wiped voter never votes a second time for what it has forgotten.

use super::members::{Address, Members};
use super::message::{Hello, Join, Known, Taken, decode, encode};
use super::{HELLO, JOIN};
use crate::config::HostPort;
use crate::types::{BrokerId, Uuid};
use raft::{InitializeError, Quorum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::time::sleep;

/// How long one node may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// In the address of a node whose id is not known yet.
const UNKNOWN: BrokerId = -1;
/// After a request to follow: the leader calls soon, if it reaches this node.
const FOLLOWED: Duration = Duration::from_secs(2);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Why this node can be part of no cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FirstStartError {
    #[error(
        "node {node} at {at} belongs to cluster {theirs}, but this node to {ours}; correct controller.quorum.voters or CLUSTER_ID, or choose other directories"
    )]
    OtherCluster { node: BrokerId, at: HostPort, theirs: String, ours: String },
    #[error(
        "controller.quorum.voters names node {expected} at {at}, but node {found} answers there; correct it"
    )]
    OtherNode { expected: BrokerId, found: BrokerId, at: HostPort },
    #[error("{}: holds no metadata, but {} is a partition of cluster {cluster}; restore that cluster's metadata.log.dir, or move its partitions away to begin a new cluster; no partition was touched", metadata.display(), partition.display())]
    MetadataLost { metadata: PathBuf, partition: PathBuf, cluster: String },
    #[error(transparent)]
    Initialize(#[from] InitializeError),
}

/// What an empty node knows of itself and of the voters.
#[derive(Clone, Debug)]
pub struct FirstStart {
    pub node: BrokerId,
    /// Its id in the quorum.
    pub member: u64,
    /// The id of its metadata directory.
    pub directory: Uuid,
    /// Where it answers other nodes.
    pub at: HostPort,
    /// The cluster it is meant for, if that is known.
    pub cluster_id: Option<String>,
    /// The directory of the metadata log, and a partition among the data, if there is one: then there was a cluster, and
    /// none may begin beside it.
    pub data: Option<(PathBuf, PathBuf)>,
    /// As configured, this node perhaps among them; bootstrap servers have no known id.
    pub voters: Vec<(Option<BrokerId>, HostPort)>,
}

/// What to do, by what the voters said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Begin a cluster of these members.
    Begin(BTreeMap<u64, String>),
    /// Ask the leader, this voter, to be told.
    Follow(String),
    Wait(String),
}

impl FirstStart {
    /// Returns once this node's log has begun.
    pub async fn run(&self, quorum: &Quorum, members: &Members) -> Result<(), FirstStartError> {
        let mut said = String::new();
        while quorum.is_empty() {
            let known = self.ask(members).await;
            match self.decide(&known)? {
                Step::Begin(voters) => {
                    self.check_data()?;
                    tracing::info!(voters = voters.len(), "a new cluster begins");
                    return Ok(quorum.initialize(voters).await?);
                }
                Step::Follow(leader) => {
                    self.follow(members, &leader).await;
                    sleep(FOLLOWED).await;
                }
                Step::Wait(why) if why != said => {
                    tracing::info!("waiting for the cluster: {why}");
                    said = why;
                }
                Step::Wait(_) => {}
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What each voter knows, this node too: it must be the one at its own address. `None` for one that does not answer.
    async fn ask(&self, members: &Members) -> Vec<Option<Known>> {
        let hello = Hello { node: self.node, member: self.member, cluster_id: self.cluster_id.clone() };
        let asked = self.voters.iter().map(|(node, at)| {
            let (hello, to) = (encode(&hello), address(node.unwrap_or(UNKNOWN), at, Uuid::nil()));
            async move { decode(&members.call(&to, HELLO, hello, LIMIT).await.ok()?) }
        });
        futures_util::future::join_all(asked).await
    }

    fn address(&self) -> String {
        address(self.node, &self.at, self.directory)
    }

    /// `known` is in the order of the voters.
    fn decide(&self, known: &[Option<Known>]) -> Result<Step, FirstStartError> {
        self.check(known)?;
        let answers: Vec<&Known> = known.iter().flatten().collect();
        let with_log = |known: &&&Known| known.has_log && known.member != self.member;
        let leads = answers.iter().filter(with_log).find(|known| known.leader.is_some());
        if let Some(one) = leads.or(answers.iter().find(with_log)) {
            return Ok(self.beside(one));
        }
        let silent: Vec<String> = self
            .voters
            .iter()
            .zip(known)
            .filter(|(_, known)| known.is_none())
            .map(|((_, at), _)| at.to_string())
            .collect();
        if !silent.is_empty() {
            return Ok(Step::Wait(format!("no answer from {}", silent.join(", "))));
        }
        let is_mine = |known: &Known| known.member == self.member;
        let is_voter = self.voters.is_empty() || answers.iter().any(|known| is_mine(known));
        let is_first = answers.iter().all(|known| is_mine(known) || known.node > self.node);
        if !is_voter || !is_first {
            return Ok(Step::Wait("its first controller has to begin it".into()));
        }
        let found = self.voters.iter().zip(&answers).filter(|(_, known)| !is_mine(known));
        let others = found.map(|((_, at), known)| (known.member, address(known.node, at, known.directory)));
        Ok(Step::Begin(others.chain([(self.member, self.address())]).collect()))
    }

    /// There is a cluster: `one` has its log.
    fn beside(&self, one: &Known) -> Step {
        if one.voters.iter().any(|(member, _)| *member == self.member) {
            return Step::Wait("its leader has not called yet".into());
        }
        let leader = one.voters.iter().find(|(member, _)| Some(*member) == one.leader);
        match leader {
            Some((_, leader)) => Step::Follow(leader.clone()),
            None => Step::Wait("it has no leader".into()),
        }
    }

    fn check(&self, known: &[Option<Known>]) -> Result<(), FirstStartError> {
        for ((expected, at), known) in self.voters.iter().zip(known) {
            let Some(known) = known else { continue };
            let (at, found) = (at.clone(), known.node);
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(FirstStartError::OtherNode { expected, found, at });
            }
            if let (Some(ours), Some(theirs)) = (&self.cluster_id, &known.cluster_id)
                && ours != theirs
            {
                let (theirs, ours) = (theirs.clone(), ours.clone());
                return Err(FirstStartError::OtherCluster { node: known.node, at, theirs, ours });
            }
        }
        Ok(())
    }

    fn check_data(&self) -> Result<(), FirstStartError> {
        let Some((metadata, partition)) = self.data.clone() else { return Ok(()) };
        let cluster = self.cluster_id.clone().unwrap_or_default();
        Err(FirstStartError::MetadataLost { metadata, partition, cluster })
    }

    async fn follow(&self, members: &Members, leader: &str) {
        let join = Join { member: self.member, address: self.address() };
        let answer = members.call(leader, JOIN, encode(&join), LIMIT).await;
        let is_voter = self.voters.iter().any(|(node, _)| *node == Some(self.node));
        if answer.is_ok_and(|answer| decode(&answer) == Some(Taken::Yes)) && is_voter {
            tracing::warn!(
                "the cluster is older than this node's metadata directory: the node follows without a vote until it is \
                 admitted (kafka-metadata-quorum.sh add-controller)"
            );
        }
    }
}

fn address(node: BrokerId, at: &HostPort, directory: Uuid) -> String {
    Address { node, at: at.clone(), directory }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> HostPort {
        HostPort { host: "h".into(), port }
    }

    fn node(node: BrokerId) -> FirstStart {
        let voters = (1..=3).map(|id| (Some(id), at(id as u16))).collect();
        FirstStart {
            node,
            member: 100 + node as u64,
            directory: Uuid::nil(),
            at: at(node as u16),
            cluster_id: None,
            data: None,
            voters,
        }
    }

    fn empty(node: BrokerId) -> Option<Known> {
        Some(Known {
            node,
            member: 100 + node as u64,
            directory: Uuid::nil(),
            cluster_id: None,
            has_log: false,
            leader: None,
            voters: vec![],
        })
    }

    fn leading(node: BrokerId, voters: &[u64]) -> Option<Known> {
        let voters = voters.iter().map(|member| (*member, format!("{}@h:9", member - 100))).collect();
        let cluster_id = Some("c".into());
        let member = 100 + node as u64;
        let directory = Uuid::nil();
        Some(Known { node, member, directory, cluster_id, has_log: true, leader: Some(member), voters })
    }

    #[test]
    fn only_the_first_voter_begins_and_only_if_all_are_empty() {
        let all = BTreeMap::from([(101, "1@h:1".into()), (102, "2@h:2".into()), (103, "3@h:3".into())]);
        assert_eq!(node(1).decide(&[empty(1), empty(2), empty(3)]), Ok(Step::Begin(all)));
        assert!(matches!(node(2).decide(&[empty(1), empty(2), empty(3)]), Ok(Step::Wait(_))));
        assert_eq!(node(1).decide(&[empty(1), empty(2), None]), Ok(Step::Wait("no answer from h:3".into())));
        assert!(matches!(node(4).decide(&[empty(1), empty(2), empty(3)]), Ok(Step::Wait(_))));
    }

    #[test]
    fn who_is_not_at_its_own_address_begins_nothing() {
        let twin = Some(Known { member: 999, ..empty(1).unwrap() });
        assert!(matches!(node(1).decide(&[twin, empty(2), empty(3)]), Ok(Step::Wait(_))));
    }

    #[test]
    fn bootstrap_servers_are_told_apart_by_what_they_answer() {
        let unnamed = |id: BrokerId| {
            let voters = (1..=3).map(|id| (None, at(id as u16))).collect();
            FirstStart { voters, ..node(id) }
        };
        let all = [empty(1), empty(2), empty(3)];
        let begun = BTreeMap::from([(101, "1@h:1".into()), (102, "2@h:2".into()), (103, "3@h:3".into())]);
        assert_eq!(unnamed(1).decide(&all), Ok(Step::Begin(begun)));
        assert!(matches!(unnamed(2).decide(&all), Ok(Step::Wait(_))));
        assert!(matches!(unnamed(4).decide(&all), Ok(Step::Wait(_))));
        let alone = FirstStart { voters: vec![(None, at(1))], ..node(1) };
        assert_eq!(alone.decide(&[empty(1)]), Ok(Step::Begin(BTreeMap::from([(101, "1@h:1".into())]))));
    }

    #[test]
    fn beside_a_cluster_nobody_begins_another() {
        let told = node(1).decide(&[empty(1), leading(2, &[101, 102, 103]), empty(3)]);
        assert_eq!(told, Ok(Step::Wait("its leader has not called yet".into())));
        let wiped = node(1).decide(&[empty(1), leading(2, &[199, 102, 103]), None]);
        assert_eq!(wiped, Ok(Step::Follow("2@h:9".into())));
    }

    #[test]
    fn a_stranger_is_refused() {
        let mut ours = node(1);
        ours.cluster_id = Some("d".into());
        let refused = ours.decide(&[empty(1), leading(2, &[102]), None]).unwrap_err().to_string();
        assert!(refused.starts_with("node 2 at h:2 belongs to cluster c, but this node to d;"), "{refused}");
        let refused = node(1).decide(&[empty(1), empty(3), None]).unwrap_err().to_string();
        assert!(refused.starts_with("controller.quorum.voters names node 2 at h:2, but node 3"), "{refused}");
    }
}
