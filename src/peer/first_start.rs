//! How a node without a metadata log finds its cluster, or begins one.
//!
//! An empty node asks every configured voter. Only if all answer, and none of them has a log, does a cluster begin, and
//! only the voter with the lowest id begins it. If any has a log there is a cluster: the node waits to be told of it, or
//! asks to follow it. So a wiped voter never votes a second time for what it has forgotten.

use super::lost;
use super::members::{Address, Members};
use super::membership::{Me, ask_all};
use super::message::{Joined, Known};
use super::places::{Place, places};
use crate::config::HostPort;
use crate::types::BrokerId;
use raft::{InitializeError, Quorum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::time::sleep;

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
    #[error(
        "node {node} at {at} is named as a controller, but its process.roles is broker; correct process.roles, or the list of controllers"
    )]
    NotAController { node: BrokerId, at: HostPort },
    #[error("{}: holds no metadata, but {} is a partition of cluster {cluster}; restore that cluster's metadata.log.dir, or move its partitions away to begin a new cluster; no partition was touched", metadata.display(), partition.display())]
    MetadataLost { metadata: PathBuf, partition: PathBuf, cluster: String },
    #[error(transparent)]
    Initialize(#[from] InitializeError),
}

/// What an empty node knows of itself and of the voters.
#[derive(Clone, Debug)]
pub struct FirstStart {
    pub me: Me,
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
            let asked = places(&self.voters).await;
            let known = ask_all(members, &self.me.hello(self.cluster_id.clone()), &asked).await;
            let why = match self.decide(&asked, &known)? {
                Step::Begin(voters) => {
                    self.check_data()?;
                    tracing::info!(voters = voters.len(), "a new cluster begins");
                    return Ok(quorum.initialize(voters).await?);
                }
                Step::Follow(leader) => self.follow(members, &leader).await,
                Step::Wait(why) => why,
            };
            if why != said && quorum.is_empty() {
                tracing::info!("waiting for the cluster: {why}");
                said = why;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// For a node whose log names no other voter, so that it leads alone, whatever the configuration says: it is not to do so
    /// beside the cluster that it was meant for. An error if a configured controller belongs to another one; whoever is silent
    /// is not waited for.
    pub async fn check_alone(&self, members: &Members) -> Result<(), FirstStartError> {
        let others: Vec<_> =
            self.voters.iter().filter(|(_, at)| *at != self.me.address.at).cloned().collect();
        let asked = places(&others).await;
        let known = ask_all(members, &self.me.hello(self.cluster_id.clone()), &asked).await;
        let mut answers =
            asked.iter().zip(&known).filter_map(|(place, known)| Some((place, known.as_ref()?)));
        answers.find_map(|(place, known)| self.other_cluster(place, known)).map_or(Ok(()), Err)
    }

    /// `known` is in the order of `asked`; this node may be among them: it must be the one at its own address.
    fn decide(&self, asked: &[Place], known: &[Option<Known>]) -> Result<Step, FirstStartError> {
        self.check(asked, known)?;
        let answers: Vec<&Known> = known.iter().flatten().collect();
        let with_log = |known: &&&Known| known.has_log && known.member != self.me.member;
        let leads = answers.iter().filter(with_log).find(|known| known.leader.is_some());
        if let Some(one) = leads.or(answers.iter().find(with_log)) {
            let voters = one.voters.iter().map(|(member, at)| (*member, at.as_str()));
            let lost = lost::majority(voters, &answers);
            return Ok(lost.map_or_else(|| self.beside(one), Step::Wait));
        }
        Ok(self.alone(asked, known))
    }

    /// There is no cluster yet. `None` stands for one that does not answer.
    fn alone(&self, asked: &[Place], known: &[Option<Known>]) -> Step {
        match self.obstacle(asked, known) {
            Some(why) => Step::Wait(why),
            None => self.begin(&controllers(asked, known)),
        }
    }

    /// The shared name of all that answered, if that was this node each time: every node may see but itself by it.
    fn name_of_me_alone<'a>(
        &self,
        asked: &'a [Place],
        controllers: &[Controller<'_>],
    ) -> Option<&'a HostPort> {
        let only_me = controllers.iter().all(|(_, known)| known.member == self.me.member);
        asked.iter().filter(|_| only_me).find_map(|place| place.shared.as_ref())
    }

    /// What has to change before anyone can begin a cluster.
    fn obstacle(&self, asked: &[Place], known: &[Option<Known>]) -> Option<String> {
        let controllers = controllers(asked, known);
        if let Some(name) = name_of_several(&controllers) {
            // Who has not been started yet may be missing among its addresses: each might begin a cluster of its own.
            return Some(format!(
                "{name} is the name of several nodes, so that nobody knows who they all are; a cluster begins when \
                 controller.quorum.voters, or the bootstrap servers, name each controller"
            ));
        }
        let silent = asked.iter().zip(known).filter(|(_, known)| known.is_none());
        let silent: Vec<String> = silent.map(|(place, _)| place.to_string()).collect();
        if !silent.is_empty() {
            return Some(format!("no answer from {}", silent.join(", ")));
        }
        if let Some(name) = self.name_of_me_alone(asked, &controllers) {
            return Some(format!(
                "by {name} this node sees only itself, and others may by it too; a cluster begins when \
                 controller.quorum.voters, or the bootstrap servers, name each controller"
            ));
        }
        let me = (self.me.address.node, self.me.member);
        let all = || controllers.iter().map(|(_, known)| (known.node, known.member)).chain([me]);
        let has_twin = |(_, known): &&Controller<'_>| {
            all().any(|(node, member)| node == known.node && member != known.member)
        };
        let twin = controllers.iter().rev().find(has_twin);
        twin.map(|(at, known)| {
            let node = known.node;
            format!(
                "several processes are node {node}, one of them at {at}; no two may have the same node.id"
            )
        })
    }

    /// All that are named have answered.
    fn begin(&self, controllers: &[Controller<'_>]) -> Step {
        let is_mine = |known: &Known| known.member == self.me.member;
        let is_voter = controllers.is_empty() || controllers.iter().any(|(_, known)| is_mine(known));
        let first = controllers.iter().min_by_key(|(_, known)| known.node);
        if let Some((at, first)) = first.filter(|(_, known)| !is_voter || !is_mine(known)) {
            return Step::Wait(format!("node {}, at {at}, has to begin it", first.node));
        }
        if !self.me.address.is_controller {
            return Step::Wait("its first controller has to begin it".into());
        }
        let found = controllers.iter().map(|(at, known)| (known.member, address(at, known)));
        let mut voters: BTreeMap<u64, String> = found.collect();
        if voters.len() < controllers.len() {
            return Step::Wait("one node answers at several of the addresses of its controllers".into());
        }
        voters.insert(self.me.member, self.me.address.to_string());
        Step::Begin(voters)
    }

    /// There is a cluster: `one` has its log.
    fn beside(&self, one: &Known) -> Step {
        let own = (self.me.member, self.me.address.to_string());
        let leader = one.voters.iter().find(|(member, _)| Some(*member) == one.leader);
        match leader {
            Some((_, leader)) if one.voters.contains(&own) => Step::Wait(not_called(leader)),
            Some((_, leader)) => Step::Follow(leader.clone()),
            None => Step::Wait("it has no leader".into()),
        }
    }

    fn check(&self, asked: &[Place], known: &[Option<Known>]) -> Result<(), FirstStartError> {
        for (place, known) in asked.iter().zip(known) {
            let Some(known) = known else { continue };
            let (at, node) = (place.at.clone(), known.node);
            if let Some(expected) = place.node.filter(|expected| *expected != node) {
                return Err(FirstStartError::OtherNode { expected, found: node, at });
            }
            if let Some(error) = self.other_cluster(place, known) {
                return Err(error);
            }
            if !known.is_controller {
                return Err(FirstStartError::NotAController { node, at });
            }
        }
        Ok(())
    }

    fn other_cluster(&self, place: &Place, known: &Known) -> Option<FirstStartError> {
        let (ours, theirs) = (self.cluster_id.clone()?, known.cluster_id.clone()?);
        let (node, at) = (known.node, place.at.clone());
        (ours != theirs).then_some(FirstStartError::OtherCluster { node, at, theirs, ours })
    }

    fn check_data(&self) -> Result<(), FirstStartError> {
        let Some((metadata, partition)) = self.data.clone() else { return Ok(()) };
        let cluster = self.cluster_id.clone().unwrap_or_default();
        Err(FirstStartError::MetadataLost { metadata, partition, cluster })
    }

    /// Asks the leader, and gives it time to call. Returns why there is nothing to follow, if that stays so.
    async fn follow(&self, members: &Members, leader: &str) -> String {
        let joined = self.me.join(members, leader, self.cluster_id.clone()).await;
        if joined == Some(Joined::Yes) && self.me.address.is_controller {
            tracing::warn!(
                "the cluster is older than this node's metadata directory: the node follows without a vote until it is \
                 admitted (kafka-metadata-quorum.sh add-controller)"
            );
        }
        sleep(FOLLOWED).await;
        not_following(leader, joined.as_ref())
    }
}

/// A controller that answered: by the name it is configured by, and what it said.
type Controller<'a> = (&'a HostPort, &'a Known);

/// Who answered. A node that has several addresses under one name is one controller, of that name.
fn controllers<'a>(asked: &'a [Place], known: &'a [Option<Known>]) -> Vec<Controller<'a>> {
    let mut found: Vec<Controller<'a>> = vec![];
    for (place, known) in asked.iter().zip(known) {
        let Some(known) = known else { continue };
        let at = place.shared.as_ref().unwrap_or(&place.at);
        let is_same = |(before, other): &Controller<'_>| *before == at && other.member == known.member;
        if place.shared.is_none() || !found.iter().any(is_same) {
            found.push((at, known));
        }
    }
    found
}

fn name_of_several<'a>(controllers: &[Controller<'a>]) -> Option<&'a HostPort> {
    let is_other = |(at, known): &Controller<'_>, (name, other): &Controller<'_>| {
        at == name && known.member != other.member
    };
    let shared = controllers.iter().find(|one| controllers.iter().any(|other| is_other(one, other)));
    shared.map(|(name, _)| *name)
}

fn not_called(leader: &str) -> String {
    format!("its leader, {leader}, has not called yet")
}

fn not_following(leader: &str, joined: Option<&Joined>) -> String {
    match joined {
        Some(Joined::Yes | Joined::IsElsewhere) => not_called(leader),
        Some(Joined::NotNow) => format!("{leader} leads no more, or is about another change of its members"),
        Some(Joined::OtherCluster(theirs)) => format!("{leader} leads cluster {theirs}, another one"),
        None => format!("no answer from its leader, {leader}"),
    }
}

fn address(at: &HostPort, known: &Known) -> String {
    let Known { node, directory, is_controller, .. } = *known;
    Address { node, at: at.clone(), directory, is_controller }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    fn at(port: u16) -> HostPort {
        HostPort { host: "h".into(), port }
    }

    fn node(node: BrokerId) -> FirstStart {
        let voters = (1..=3).map(|id| (Some(id), at(id as u16))).collect();
        let address = Address { node, at: at(node as u16), directory: Uuid::nil(), is_controller: true };
        FirstStart { me: Me { member: 100 + node as u64, address }, cluster_id: None, data: None, voters }
    }

    impl FirstStart {
        fn told(&self, known: &[Option<Known>]) -> Result<Step, FirstStartError> {
            let place = |(node, at): &(Option<BrokerId>, HostPort)| Place {
                node: *node,
                at: at.clone(),
                shared: None,
            };
            self.decide(&self.voters.iter().map(place).collect::<Vec<_>>(), known)
        }
    }

    fn empty(node: BrokerId) -> Option<Known> {
        Some(Known {
            node,
            member: 100 + node as u64,
            directory: Uuid::nil(),
            is_controller: true,
            cluster_id: None,
            has_log: false,
            leader: None,
            voters: vec![],
        })
    }

    fn leading(node: BrokerId, voters: &[u64]) -> Option<Known> {
        let voters = voters.iter().map(|member| (*member, format!("{0}@h:{0}", member % 100))).collect();
        let cluster_id = Some("c".into());
        let member = 100 + node as u64;
        let directory = Uuid::nil();
        let (is_controller, leader) = (true, Some(member));
        Some(Known { node, member, directory, is_controller, cluster_id, has_log: true, leader, voters })
    }

    #[test]
    fn only_the_first_voter_begins_and_only_if_all_are_empty() {
        let all = BTreeMap::from([(101, "1@h:1".into()), (102, "2@h:2".into()), (103, "3@h:3".into())]);
        assert_eq!(node(1).told(&[empty(1), empty(2), empty(3)]), Ok(Step::Begin(all)));
        let told = node(2).told(&[empty(1), empty(2), empty(3)]);
        assert_eq!(told, Ok(Step::Wait("node 1, at h:1, has to begin it".into())));
        assert_eq!(node(1).told(&[empty(1), empty(2), None]), Ok(Step::Wait("no answer from h:3".into())));
        assert!(matches!(node(4).told(&[empty(1), empty(2), empty(3)]), Ok(Step::Wait(_))));
    }

    #[test]
    fn who_is_not_at_its_own_address_begins_nothing() {
        let twin = Some(Known { member: 999, ..empty(1).unwrap() });
        let Ok(Step::Wait(why)) = node(1).told(&[twin, empty(2), empty(3)]) else { panic!("no wait") };
        assert!(why.starts_with("several processes are node 1, one of them at h:1;"), "{why}");
        let unnamed = FirstStart { voters: (1..=3).map(|id| (None, at(id))).collect(), ..node(1) };
        let twin = Some(Known { member: 999, ..empty(2).unwrap() });
        let Ok(Step::Wait(why)) = unnamed.told(&[empty(1), empty(2), twin]) else { panic!("no wait") };
        assert!(why.starts_with("several processes are node 2, one of them at h:3;"), "{why}");
    }

    #[test]
    fn bootstrap_servers_are_told_apart_by_what_they_answer() {
        let unnamed = |id: BrokerId| {
            let voters = (1..=3).map(|id| (None, at(id as u16))).collect();
            FirstStart { voters, ..node(id) }
        };
        let all = [empty(1), empty(2), empty(3)];
        let begun = BTreeMap::from([(101, "1@h:1".into()), (102, "2@h:2".into()), (103, "3@h:3".into())]);
        assert_eq!(unnamed(1).told(&all), Ok(Step::Begin(begun)));
        assert!(matches!(unnamed(2).told(&all), Ok(Step::Wait(_))));
        assert!(matches!(unnamed(4).told(&all), Ok(Step::Wait(_))));
        let alone = FirstStart { voters: vec![(None, at(1))], ..node(1) };
        assert_eq!(alone.told(&[empty(1)]), Ok(Step::Begin(BTreeMap::from([(101, "1@h:1".into())]))));
    }

    #[test]
    fn beside_a_cluster_nobody_begins_another() {
        let told = node(1).told(&[empty(1), leading(2, &[101, 102, 103]), empty(3)]);
        assert_eq!(told, Ok(Step::Wait("its leader, 2@h:2, has not called yet".into())));
        let headless = Some(Known { leader: None, ..leading(2, &[101, 102, 103]).unwrap() });
        let told = node(1).told(&[empty(1), headless, empty(3)]);
        assert_eq!(told, Ok(Step::Wait("it has no leader".into())));
        let wiped = node(1).told(&[empty(1), leading(2, &[199, 102, 103]), None]);
        assert_eq!(wiped, Ok(Step::Follow("2@h:2".into())));
        let moved = FirstStart {
            me: Me { address: Address { at: at(7), ..node(1).me.address }, ..node(1).me },
            ..node(1)
        };
        let told = moved.told(&[empty(1), leading(2, &[101, 102, 103]), empty(3)]);
        assert_eq!(told, Ok(Step::Follow("2@h:2".into())), "the leader does not know where it is");
    }

    #[test]
    fn without_a_majority_nobody_is_followed() {
        let old = leading(3, &[201, 202, 103]);
        let Ok(Step::Wait(why)) = node(1).told(&[empty(1), empty(2), old.clone()]) else { panic!("no wait") };
        assert!(why.starts_with("2 of 3 voters have lost their metadata"), "{why}");
        let told = node(1).told(&[empty(1), None, old]);
        assert_eq!(told, Ok(Step::Follow("3@h:3".into())), "the second may have what it had");
    }

    #[test]
    fn a_name_of_several_nodes_begins_no_cluster_and_finds_one() {
        let place = |port| Place { node: None, at: at(port), shared: Some(at(9093)) };
        let places = [place(1), place(2)];
        for third in [empty(1), None] {
            let told = node(1).decide(&[place(1), place(2), place(3)], &[empty(1), empty(2), third]);
            let Ok(Step::Wait(why)) = told else { panic!("no wait") };
            assert!(why.starts_with("h:9093 is the name of several nodes"), "{why}");
        }
        let told = node(1).decide(&places, &[empty(1), leading(2, &[102])]);
        assert_eq!(told, Ok(Step::Follow("2@h:2".into())));
    }

    #[test]
    fn a_node_with_several_addresses_under_its_name_is_one_voter() {
        let place = |port| Place { node: None, at: at(port), shared: Some(at(9093)) };
        let other = Place { node: None, at: at(2), shared: None };
        let places = [place(1), place(7), other];
        let begun = BTreeMap::from([(101, "1@h:1".into()), (102, "2@h:2".into())]);
        assert_eq!(node(1).decide(&places, &[empty(1), empty(1), empty(2)]), Ok(Step::Begin(begun)));
        let silent = node(1).decide(&places, &[empty(1), None, empty(2)]);
        assert_eq!(silent, Ok(Step::Wait("no answer from h:7 (h:9093)".into())));
        let told = node(1).decide(&places[..2], &[empty(1), empty(1)]);
        let Ok(Step::Wait(why)) = told else { panic!("no wait") };
        assert!(why.starts_with("by h:9093 this node sees only itself"), "{why}");
        let mut third = node(3);
        third.voters = vec![];
        let places = [place(1), place(7), Place { node: None, at: at(3), shared: None }];
        let told = third.decide(&places, &[empty(1), empty(1), empty(3)]);
        assert_eq!(told, Ok(Step::Wait("node 1, at h:9093, has to begin it".into())));
    }

    #[test]
    fn a_leader_that_does_not_answer_is_named() {
        let silent = not_following("2@h:2", None);
        assert_eq!(silent, "no answer from its leader, 2@h:2");
        assert_eq!(not_following("2@h:2", Some(&Joined::Yes)), "its leader, 2@h:2, has not called yet");
    }

    #[test]
    fn two_addresses_of_one_node_are_not_two_voters() {
        let one = || Place { node: None, at: at(1), shared: None };
        let told = node(1).decide(&[one(), one()], &[empty(1), empty(1)]);
        assert!(matches!(told, Ok(Step::Wait(_))), "{told:?}");
    }

    #[test]
    fn a_node_that_is_a_broker_only_gets_no_vote() {
        let broker = |id| Some(Known { is_controller: false, ..empty(id).unwrap() });
        let refused = node(1).told(&[empty(1), broker(2), empty(3)]).unwrap_err().to_string();
        assert!(
            refused.starts_with("node 2 at h:2 is named as a controller, but its process.roles is broker")
        );
        let mut alone = FirstStart { voters: vec![], ..node(1) };
        alone.me.address.is_controller = false;
        assert!(matches!(alone.told(&[]), Ok(Step::Wait(_))));
    }

    #[test]
    fn a_stranger_is_refused() {
        let mut ours = node(1);
        ours.cluster_id = Some("d".into());
        let refused = ours.told(&[empty(1), leading(2, &[102]), None]).unwrap_err().to_string();
        assert!(refused.starts_with("node 2 at h:2 belongs to cluster c, but this node to d;"), "{refused}");
        let refused = node(1).told(&[empty(1), empty(3), None]).unwrap_err().to_string();
        assert!(refused.starts_with("controller.quorum.voters names node 2 at h:2, but node 3"), "{refused}");
    }
}
