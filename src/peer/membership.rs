//! A member sees to it that its leader knows where it is; a leader forgets those that are gone.
//!
//! ```text
//!   member   nobody calls it: it has moved, or was forgotten ──► finds the leader ──► joins again
//!            meanwhile tells all others where it is ──► without a leader, they can elect one all the same
//!   leader   a follower without a vote that is silent for long, or that another directory of its node has replaced ──► forgotten
//!            too few voters answer ──► looks who is there in their place
//! ```

use super::first_start::FirstStart;
use super::lost;
use super::members::{Address, Members};
use super::message::{Hello, Join, Joined, Known, decode, encode};
use super::places::{Place, places};
use super::{HELLO, JOIN};
use crate::cluster::Metadata;
use crate::config::HostPort;
use crate::types::BrokerId;
use futures_util::future::join_all;
use raft::{Follower, Quorum, State, Status};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long one node may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// Whom no leader calls for so long asks for it. Longer than an election takes.
const SILENCE: Duration = Duration::from_secs(2);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(1);
/// A follower without a vote that is silent for so long is gone, as in Kafka.
const GONE: Duration = Duration::from_secs(300);
/// Who does not answer for so long may be replaced by another directory of its node.
const REPLACED: Duration = Duration::from_secs(10);

/// This node as a member of the quorum.
#[derive(Clone, Debug)]
pub struct Me {
    /// Its id in the quorum.
    pub member: u64,
    /// Where it answers other nodes.
    pub address: Address,
}

impl Me {
    pub(super) fn hello(&self, cluster_id: Option<String>) -> Hello {
        let (node, member, address) = (self.address.node, self.member, self.address.to_string());
        Hello { node, member, address, cluster_id }
    }

    /// Asks the leader, which is at `leader`, to be told what it decides. `None` if there is no answer.
    pub(super) async fn join(
        &self,
        members: &Members,
        leader: &str,
        cluster_id: Option<String>,
    ) -> Option<Joined> {
        let join = Join { member: self.member, address: self.address.to_string(), cluster_id };
        let joined = decode(&members.call(leader, JOIN, encode(&join), LIMIT).await.ok()?);
        if let Some(Joined::OtherCluster(theirs)) = &joined {
            tracing::error!(
                "{leader} leads cluster {theirs}, and this node belongs to another; correct the list of controllers, or \
                 choose other directories"
            );
        }
        joined
    }
}

/// What each of these places answers; `None` where nobody does.
pub(super) async fn ask_all(members: &Members, hello: &Hello, places: &[Place]) -> Vec<Option<Known>> {
    join_all(places.iter().map(|place| ask(members, hello, place.address()))).await
}

async fn ask(members: &Members, hello: &Hello, to: String) -> Option<Known> {
    decode(&members.call(&to, HELLO, encode(hello), LIMIT).await.ok()?)
}

/// Whether `member` answers at an address.
pub(super) async fn is_at(members: &Members, hello: &Hello, address: &str, member: u64) -> bool {
    ask(members, hello, address.to_owned()).await.is_some_and(|known| known.member == member)
}

/// Keeps this node's membership as it should be.
pub struct Membership {
    me: Me,
    quorum: Quorum,
    metadata: Metadata,
    members: Members,
    /// The controllers that the configuration names.
    configured: Vec<(Option<BrokerId>, HostPort)>,
    /// Members of other clusters that were met, and named in the log.
    strangers: BTreeSet<u64>,
    /// The term in which it turned out that this node answers at the address that is known of it too.
    aliased: Option<u64>,
    /// What was said of a majority that lost its metadata.
    lost: Option<String>,
}

/// What a member has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A leader calls it.
    Rest,
    /// It leads itself, and others know it elsewhere.
    Move,
    /// The leader, at this address, calls it, and others know it elsewhere.
    Join(String),
    /// No leader calls.
    Search,
}

impl Me {
    fn step(&self, status: &Status, silence: Duration) -> Step {
        let is_known = status.address(self.member) == Some(&self.address.to_string());
        match status.leader_address() {
            _ if status.leader_ready => {
                if is_known {
                    Step::Rest
                } else {
                    Step::Move
                }
            }
            _ if silence >= SILENCE => Step::Search,
            Some(leader) if !is_known && !status.is_leader() => Step::Join(leader.clone()),
            _ => Step::Rest,
        }
    }
}

impl Membership {
    pub fn new(first: FirstStart, quorum: Quorum, metadata: Metadata, members: Members) -> Membership {
        let FirstStart { me, voters: configured, .. } = first;
        let (strangers, aliased, lost) = Default::default();
        Membership { me, quorum, metadata, members, configured, strangers, aliased, lost }
    }

    /// Runs until the quorum has stopped.
    pub async fn run(mut self) {
        let mut status = self.quorum.status();
        let mut led: Option<(u64, Instant)> = None;
        loop {
            let now = status.borrow_and_update().clone();
            let step = self.me.step(&now, self.quorum.silence());
            self.take(&step, &now).await;
            if now.is_leader() && led.is_none_or(|(term, _)| term != now.term) {
                led = Some((now.term, Instant::now()));
            }
            if let Some((_, since)) = led.filter(|_| now.is_leader()) {
                self.forget(since.elapsed()).await;
                self.look_for_voters(&now, since.elapsed()).await;
            }
            let news = |status: &Status| {
                let what = |one: &Status| (one.leader, one.leader_ready, one.learners.is_empty());
                status.state != State::Running || what(status) != what(&now)
            };
            let changed = match self.is_idle(&now, &step) {
                true => Ok(status.wait_for(news).await.is_ok()),
                false => timeout(PAUSE, status.wait_for(news)).await.map(|changed| changed.is_ok()),
            };
            if changed == Ok(false) || status.borrow().state != State::Running {
                return;
            }
        }
    }

    /// A quorum of one never wakes up by itself.
    fn is_idle(&self, status: &Status, step: &Step) -> bool {
        let is_alone = status.voters.len() == 1 && status.learners.is_empty();
        *step == Step::Rest && status.leader_ready && is_alone
    }

    async fn take(&mut self, step: &Step, status: &Status) {
        match step {
            Step::Rest if status.is_leader() => {}
            Step::Rest => self.lost = None,
            Step::Move | Step::Join(_) if self.aliased == Some(status.term) => {}
            // What others reach it by shall stay, though this node has another name for itself.
            Step::Move if self.is_known_by_alias(status).await => self.aliased = Some(status.term),
            Step::Move => {
                let moved = self.quorum.add_learner(self.me.member, self.me.address.to_string()).await;
                tracing::info!(?moved, at = %self.me.address.at, "the controller has moved");
            }
            Step::Join(leader) => {
                if self.join(leader).await == Some(Joined::IsElsewhere) {
                    self.aliased = Some(status.term);
                }
            }
            Step::Search => {
                self.aliased = None;
                if let Some(leader) = self.search(status).await {
                    self.join(&leader).await;
                }
            }
        }
    }

    async fn is_known_by_alias(&self, status: &Status) -> bool {
        let Some(known) = status.voters.get(&self.me.member) else { return false };
        is_at(&self.members, &self.me.hello(self.cluster_id()), known, self.me.member).await
    }

    async fn join(&self, leader: &str) -> Option<Joined> {
        let (me, at) = (&self.me, &self.me.address.at);
        let joined = me.join(&self.members, leader, self.cluster_id()).await;
        match &joined {
            Some(Joined::Yes) => tracing::info!(leader, %at, "this node has joined the quorum again"),
            other => tracing::debug!(leader, %at, ?other, "this node did not join the quorum"),
        }
        let votes = self.quorum.status().borrow().voters.contains_key(&me.member);
        if votes && !me.address.is_controller {
            tracing::warn!(
                "this node has a vote on the metadata, but its process.roles is broker: take the vote away \
                 (kafka-metadata-quorum.sh remove-controller)"
            );
        }
        joined
    }

    /// Tells all that may be controllers where this node is; returns where the leader is, if any of them knows.
    async fn search(&mut self, status: &Status) -> Option<String> {
        let hello = self.me.hello(self.cluster_id());
        let others = status.voters.iter().filter(|(member, _)| **member != self.me.member);
        let voters = others.map(|(_, address)| ask(&self.members, &hello, address.clone()));
        let asked = places(&self.configured).await;
        let (voters, configured) = tokio::join!(join_all(voters), ask_all(&self.members, &hello, &asked));
        let answers = voters.into_iter().chain(configured).flatten();
        let (mut same, strange): (Vec<Known>, Vec<Known>) =
            answers.partition(|known| known.cluster_id.is_none() || known.cluster_id == hello.cluster_id);
        strange.into_iter().for_each(|known| self.name_stranger(known, hello.cluster_id.as_deref()));
        self.name_lost(status, &same);
        // Others may not have heard of it yet.
        same.sort_by_key(|known| known.leader != Some(known.member));
        same.into_iter().find_map(|known| {
            let leader = known.leader.filter(|leader| *leader != self.me.member)?;
            known.voters.into_iter().find(|(member, _)| *member == leader).map(|(_, address)| address)
        })
    }

    fn name_stranger(&mut self, known: Known, ours: Option<&str>) {
        if self.strangers.insert(known.member) {
            tracing::error!(
                "node {} belongs to cluster {}, but this node to {}; correct the list of controllers, or choose other \
                 directories",
                known.node,
                known.cluster_id.unwrap_or_default(),
                ours.unwrap_or("none")
            );
        }
    }

    fn name_lost(&mut self, status: &Status, answers: &[Known]) {
        let voters = status.voters.iter().map(|(member, at)| (*member, at.as_str()));
        let lost = lost::majority(voters, &answers.iter().collect::<Vec<_>>());
        if lost != self.lost {
            lost.iter().for_each(|why| tracing::error!("{why}"));
            self.lost = lost;
        }
    }

    /// As the leader, for so long, if too few voters answer: the core goes on leading.
    async fn look_for_voters(&mut self, status: &Status, leading: Duration) {
        let Some(progress) = self.quorum.progress() else { return };
        let is_silent = |voter: &&Follower| voter.heard.unwrap_or(leading) >= SILENCE;
        let silent = progress.members.iter().filter(|member| member.votes).filter(is_silent).count();
        if 2 * silent < status.voters.len() {
            self.lost = None;
            return;
        }
        let hello = self.me.hello(self.cluster_id());
        let others = status.voters.iter().filter(|(member, _)| **member != self.me.member);
        let answers = join_all(others.map(|(_, at)| ask(&self.members, &hello, at.clone()))).await;
        let answers: Vec<Known> = answers.into_iter().flatten().collect();
        self.name_lost(status, &answers);
    }

    fn cluster_id(&self) -> Option<String> {
        self.metadata.image().cluster_id.clone()
    }

    /// As the leader, for so long.
    async fn forget(&self, leading: Duration) {
        let Some(progress) = self.quorum.progress() else { return };
        for gone in gone(&progress.members, leading) {
            if let Err(error) = self.quorum.forget_learner(gone.id).await {
                tracing::debug!(%error, "a follower was not forgotten");
                return;
            }
            tracing::info!(address = gone.address, "a follower that is gone is forgotten");
        }
    }
}

/// Whom a leader of so long should forget.
fn gone(members: &[Follower], leading: Duration) -> Vec<&Follower> {
    let silence = |member: &Follower| member.heard.unwrap_or(leading);
    let node = |member: &Follower| Address::parse(&member.address).map(|address| address.node);
    let is_gone = |member: &&Follower| {
        let replaced = || {
            let same = |other: &&Follower| other.id != member.id && node(other) == node(member);
            members.iter().filter(same).any(|other| silence(other) < REPLACED)
        };
        !member.votes && (silence(member) >= GONE || silence(member) >= REPLACED && replaced())
    };
    members.iter().filter(is_gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    fn me() -> Me {
        let at = HostPort { host: "h".into(), port: 1 };
        Me { member: 1, address: Address { node: 1, at, directory: Uuid::nil(), is_controller: true } }
    }

    fn status(leader: Option<u64>, voters: &[(u64, &str)]) -> Status {
        let voters = voters.iter().map(|(id, address)| (*id, (*address).into())).collect();
        Status { node_id: 1, leader, leader_ready: leader == Some(1), voters, ..Status::default() }
    }

    const CALLED: Duration = Duration::ZERO;

    #[test]
    fn who_is_called_where_it_is_rests() {
        let known = [(1, "1@h:1"), (2, "2@h:2")];
        for leader in [None, Some(1), Some(2)] {
            assert_eq!(me().step(&status(leader, &known), CALLED), Step::Rest);
        }
        let mut follows = status(Some(2), &[(2, "2@h:2")]);
        follows.learners.insert(1, "1@h:1".into());
        assert_eq!(me().step(&follows, CALLED), Step::Rest);
    }

    #[test]
    fn who_is_known_elsewhere_says_where_it_is() {
        let elsewhere = [(1, "1@old:1"), (2, "2@h:2")];
        assert_eq!(me().step(&status(Some(2), &elsewhere), CALLED), Step::Join("2@h:2".into()));
        assert_eq!(me().step(&status(Some(1), &elsewhere), CALLED), Step::Move);
        let not_ready = Status { leader_ready: false, ..status(Some(1), &elsewhere) };
        assert_eq!(me().step(&not_ready, CALLED), Step::Rest);
        assert_eq!(me().step(&status(None, &elsewhere), CALLED), Step::Rest, "an election is under way");
        let was_leader = Status { leader_ready: false, ..status(Some(1), &elsewhere) };
        assert_eq!(
            me().step(&was_leader, SILENCE),
            Step::Search,
            "it knows of no other since it was started"
        );
    }

    #[test]
    fn whom_nobody_calls_searches() {
        let known = [(1, "1@h:1"), (2, "2@h:2")];
        assert_eq!(me().step(&status(Some(2), &known), SILENCE), Step::Search);
        assert_eq!(me().step(&status(None, &known), SILENCE), Step::Search);
        assert_eq!(me().step(&status(Some(1), &known), CALLED), Step::Rest, "a leader calls itself");
    }

    #[test]
    fn a_leader_forgets_who_is_gone_and_never_a_voter() {
        let member = |id, address: &str, votes, heard: Option<u64>| {
            let heard = heard.map(Duration::from_secs);
            Follower { id, address: address.into(), votes, last: None, heard, caught_up: None }
        };
        let members = [
            member(1, "1@h:1", true, Some(0)),
            member(2, "2@h:2", true, None),
            member(3, "3@h:3", false, Some(299)),
            member(4, "4@h:4", false, None),
            member(5, "1@h:1", false, Some(10)),
            member(6, "6@h:6", false, Some(9)),
            member(7, "6@h:6", false, Some(1)),
        ];
        let ids = |leading| {
            gone(&members, Duration::from_secs(leading)).iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(0), [5], "its node follows with another directory");
        assert_eq!(ids(300), [4, 5]);
    }
}
