//! The quorum as administrators see it: its leader knows, and any node asks it.

use super::members::{Address, Members};
use super::message::{decode, encode};
use crate::seam::Clock;
use crate::types::{BrokerId, ErrorCode, Uuid, error_code};
use bytes::Bytes;
use raft::{Follower, ProposeError, Quorum, VotersError};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use storage::kafka_uuid;
use tokio::time::{Instant, sleep, timeout};

/// How long a leader is looked for and asked.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one answer may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long the leader may wait until a vote can be taken away.
const CHANGE: Duration = Duration::from_secs(5);
/// The longest time in which a vote may be given.
const LONGEST: Duration = Duration::from_secs(600);
/// Who answered so lately lives.
const LIVES: Duration = Duration::from_secs(3);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Of a change that was begun in an epoch that is over: whoever leads next finishes it.
const BEGUN: ErrorCode = ErrorCode::FencedLeaderEpoch;

/// What the leader is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    Describe,
    /// Give it a vote, within this time.
    Add(Voter, Duration),
    Remove(Voter),
}

impl Question {
    /// Whether a leader that refuses it so may have found that it is done.
    fn may_be_done(&self, refusal: ErrorCode) -> bool {
        match self {
            Question::Describe => false,
            Question::Add(..) => refusal == ErrorCode::DuplicateVoter,
            Question::Remove(_) => refusal == ErrorCode::VoterNotFound,
        }
    }

    /// Whether these voters are as it asks.
    fn is_done(&self, voters: &[Replica]) -> bool {
        let votes = |voter: &Voter| voters.iter().any(|one| one.is(*voter));
        match self {
            Question::Describe => false,
            Question::Add(voter, _) => votes(voter),
            Question::Remove(voter) => !votes(voter),
        }
    }
}

/// A controller, and which of its lives is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    pub node: BrokerId,
    /// Of its metadata directory.
    pub directory: Uuid,
}

/// Why the leader does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    #[serde(with = "error_code")]
    pub code: ErrorCode,
    pub why: String,
}

impl Refusal {
    fn new(code: ErrorCode, why: impl Into<String>) -> Refusal {
        Refusal { code, why: why.into() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal::new(code, code.to_string())
    }
}

/// The quorum as its leader sees it. Offsets are the log's indices, an end the one after the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub leader: BrokerId,
    pub epoch: i32,
    pub high_watermark: i64,
    pub voters: Vec<Replica>,
    pub observers: Vec<Replica>,
}

/// One member. Times are those of the leader's wall clock in milliseconds; -1 for never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub node: BrokerId,
    /// Of its metadata directory.
    pub directory: Uuid,
    pub host: String,
    pub port: u16,
    pub log_end: i64,
    pub last_fetch: i64,
    pub last_caught_up: i64,
}

impl Replica {
    fn is(&self, voter: Voter) -> bool {
        self.node == voter.node && self.directory == voter.directory
    }
}

/// Asks the leader, wherever it is, by connections of its own: those of the quorum itself never wait for it.
#[derive(Clone)]
pub struct QuorumAdmin {
    quorum: Quorum,
    members: Members,
    clock: Clock,
}

impl QuorumAdmin {
    pub fn new(quorum: Quorum, member: u64, clock: Clock) -> QuorumAdmin {
        QuorumAdmin { quorum, members: Members::new(member), clock }
    }

    /// NOT_LEADER_OR_FOLLOWER if there is no leader for long.
    pub async fn describe(&self) -> Result<Described, Refusal> {
        self.ask(&Question::Describe, ATTEMPT).await
    }

    /// Gives a controller that follows a vote, once it has caught up. After REQUEST_TIMED_OUT it may have it, now or later.
    pub async fn add_voter(&self, voter: Voter, limit: Duration) -> Result<(), Refusal> {
        let limit = limit.min(LONGEST);
        self.change(&Question::Add(voter, limit), limit + ATTEMPT).await
    }

    /// Takes a controller's vote away. After REQUEST_TIMED_OUT it may have lost it, now or later.
    pub async fn remove_voter(&self, voter: Voter) -> Result<(), Refusal> {
        self.change(&Question::Remove(voter), CHANGE + ATTEMPT).await
    }

    async fn change(&self, question: &Question, limit: Duration) -> Result<(), Refusal> {
        let voters = async { self.describe().await.map(|described| described.voters) };
        changed(question, || self.ask(question, limit), voters).await
    }

    /// `limit` is what the leader may take.
    async fn ask<A: Serialize + for<'a> Deserialize<'a>>(
        &self,
        question: &Question,
        limit: Duration,
    ) -> Result<A, Refusal> {
        let (question, deadline) = (encode(question), Instant::now() + PATIENCE);
        loop {
            match self.attempt(question.clone(), limit).await {
                Err(refusal)
                    if refusal.code == ErrorCode::NotLeaderOrFollower && Instant::now() < deadline =>
                {
                    sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    async fn attempt<A: for<'a> Deserialize<'a>>(
        &self,
        question: Bytes,
        limit: Duration,
    ) -> Result<A, Refusal> {
        let status = self.quorum.status().borrow().clone();
        let leader = status.leader.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let answer = match status.leader_address() {
            _ if leader == status.node_id => {
                timeout(limit, self.answer(&question)).await.map_err(|_| ErrorCode::RequestTimedOut)?
            }
            Some(address) => self.members.ask_leader(leader, address, &question, limit).await?,
            None => return Err(ErrorCode::NotLeaderOrFollower.into()),
        };
        let answer: Option<Result<A, Refusal>> = decode(&answer);
        answer.unwrap_or(Err(ErrorCode::UnknownServerError.into()))
    }

    /// Answers a question as the leader, which this node perhaps is not.
    pub(super) async fn answer(&self, question: &[u8]) -> Bytes {
        match decode(question) {
            Some(Question::Describe) => encode(&self.described()),
            Some(Question::Add(voter, limit)) => encode(&self.added(voter, Instant::now() + limit).await),
            Some(Question::Remove(voter)) => encode(&self.removed(voter, Instant::now() + CHANGE).await),
            None => encode(&Err::<(), _>(Refusal::from(ErrorCode::UnsupportedVersion))),
        }
    }

    async fn added(&self, voter: Voter, deadline: Instant) -> Result<(), Refusal> {
        // A directory that was lost just now has answered lately. One that lives answers again.
        let known_by = Instant::now() + LIVES + 2 * PAUSE;
        loop {
            let progress = self.quorum.progress().ok_or(ErrorCode::NotLeaderOrFollower)?;
            let refusal = match candidate(&progress.members, voter)? {
                Ok(id) => match self.quorum.add_voter(id, deadline - Instant::now()).await {
                    Ok(()) => return Ok(()),
                    Err(error) => why(voter, &error)?,
                },
                Err(refusal) => refusal,
            };
            let is_twin = refusal.code == ErrorCode::DuplicateVoter;
            wait(refusal, if is_twin { deadline.min(known_by) } else { deadline }).await?;
        }
    }

    async fn removed(&self, voter: Voter, deadline: Instant) -> Result<(), Refusal> {
        loop {
            let progress = self.quorum.progress().ok_or(ErrorCode::NotLeaderOrFollower)?;
            let id = leaving(&progress.members, voter)?;
            match self.quorum.remove_voter(id).await {
                Ok(()) => return Ok(()),
                Err(error) => wait(why(voter, &error)?, deadline).await?,
            }
        }
    }

    fn described(&self) -> Result<Described, Refusal> {
        let progress = self.quorum.progress().ok_or(ErrorCode::NotLeaderOrFollower)?;
        let leader = self.quorum.status().borrow().node_id;
        let now = self.clock.now().wall.0;
        // Of an observer that never answered this leader nothing is known, not even that there still is one.
        let known = progress.members.iter().filter(|member| member.votes || member.heard.is_some());
        let (voters, observers): (Vec<_>, Vec<_>) = known.partition(|member| member.votes);
        let replicas = |members: Vec<&Follower>| members.into_iter().map(|one| replica(one, now)).collect();
        let leads = progress.members.iter().find(|member| member.id == leader);
        Ok(Described {
            leader: leads.map_or(-1, |leads| replica(leads, now).node),
            epoch: progress.term as i32,
            high_watermark: end(progress.committed),
            voters: replicas(voters),
            observers: replicas(observers),
        })
    }
}

/// Asks until it is known what becomes of a change. One that was begun is finished by whoever leads next, which has nothing
/// left to do then and refuses: the voters tell whether that is why. What was not begun is refused as it is.
async fn changed<A: Future<Output = Result<(), Refusal>>>(
    question: &Question,
    ask: impl Fn() -> A,
    voters: impl Future<Output = Result<Vec<Replica>, Refusal>>,
) -> Result<(), Refusal> {
    let mut has_begun = false;
    let refusal = loop {
        match ask().await {
            Err(refusal) if refusal.code == BEGUN => has_begun = true,
            Err(refusal) if has_begun && question.may_be_done(refusal.code) => break refusal,
            answered => return answered,
        }
    };
    if question.is_done(&voters.await?) { Ok(()) } else { Err(refusal) }
}

/// Which member is to have a vote; a refusal within if it may still come or be free to have it, one instead if it is not to
/// have it.
fn candidate(members: &[Follower], voter: Voter) -> Result<Result<u64, Refusal>, Refusal> {
    let known = |member: &Follower| Address::parse(&member.address);
    for member in members.iter().filter(|member| member.votes) {
        let Some(address) = known(member).filter(|address| address.node == voter.node) else { continue };
        let (node, directory) = (address.node, kafka_uuid::encode(address.directory));
        let why = format!("controller {node} has a vote already, with directory {directory}");
        let refusal = Refusal::new(ErrorCode::DuplicateVoter, why);
        if address.directory == voter.directory {
            return Err(refusal);
        }
        // A directory that was lost votes no more: another of its node may take its place before it is removed.
        if member.heard.is_some_and(|ago| ago < LIVES) {
            return Ok(Err(refusal));
        }
    }
    let found = members.iter().find_map(|member| Some((member, known(member).filter(|one| is(one, voter))?)));
    match found {
        Some((_, address)) if !address.is_controller => {
            let why =
                format!("node {} is a broker only: its process.roles do not say controller", voter.node);
            Err(Refusal::new(ErrorCode::InvalidRequest, why))
        }
        Some((member, _)) => Ok(Ok(member.id)),
        None => {
            let directory = kafka_uuid::encode(voter.directory);
            let why = format!(
                "controller {} with directory {directory} does not follow this cluster: is it started, with this \
                 cluster's controllers in its configuration?",
                voter.node
            );
            Ok(Err(Refusal::new(ErrorCode::RequestTimedOut, why)))
        }
    }
}

fn leaving(members: &[Follower], voter: Voter) -> Result<u64, Refusal> {
    let is_it = |member: &&Follower| {
        member.votes && Address::parse(&member.address).is_some_and(|address| is(&address, voter))
    };
    members.iter().find(is_it).map(|member| member.id).ok_or_else(|| {
        let directory = kafka_uuid::encode(voter.directory);
        let why = format!("no controller {} with directory {directory} has a vote", voter.node);
        Refusal::new(ErrorCode::VoterNotFound, why)
    })
}

fn is(address: &Address, voter: Voter) -> bool {
    address.node == voter.node && address.directory == voter.directory
}

/// What to say if it stays so; an error if it surely does.
fn why(voter: Voter, error: &VotersError) -> Result<Refusal, Refusal> {
    let refusal = |code| Refusal::new(code, format!("controller {}: {error}", voter.node));
    match error {
        VotersError::Busy | VotersError::NoMajority | VotersError::NotAMember => {
            Ok(refusal(ErrorCode::RequestTimedOut))
        }
        VotersError::Refused(ProposeError::NotLeader { .. }) => Err(ErrorCode::NotLeaderOrFollower.into()),
        VotersError::Lags | VotersError::IsElsewhere | VotersError::Refused(_) => {
            Err(refusal(ErrorCode::RequestTimedOut))
        }
        VotersError::Begun => Err(refusal(BEGUN)),
        VotersError::Votes => Err(refusal(ErrorCode::DuplicateVoter)),
        VotersError::NoVote | VotersError::OnlyVoter => Err(refusal(ErrorCode::VoterNotFound)),
    }
}

/// Until it may be otherwise.
async fn wait(refusal: Refusal, deadline: Instant) -> Result<(), Refusal> {
    if Instant::now() + PAUSE >= deadline {
        return Err(refusal);
    }
    sleep(PAUSE).await;
    Ok(())
}

fn replica(member: &Follower, now: i64) -> Replica {
    let at = |ago: Option<Duration>| ago.map_or(-1, |ago| now - ago.as_millis() as i64);
    let address = Address::parse(&member.address);
    let (node, directory) = address.as_ref().map_or((-1, Uuid::nil()), |known| (known.node, known.directory));
    let (host, port) = address.map_or_else(Default::default, |known| (known.at.host, known.at.port));
    Replica {
        node,
        directory,
        host,
        port,
        log_end: end(member.last),
        last_fetch: at(member.heard),
        last_caught_up: at(member.caught_up),
    }
}

fn end(last: Option<u64>) -> i64 {
    last.map_or(0, |last| last as i64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;
    use std::cell::RefCell;
    use std::collections::VecDeque;

    fn voter(node: BrokerId, directory: u128) -> Voter {
        Voter { node, directory: Uuid::from_u128(directory) }
    }

    fn member(id: u64, (node, directory): (BrokerId, u128), votes: bool, heard: Option<u64>) -> Follower {
        let at = HostPort { host: "h".into(), port: 1 };
        let address = Address { node, at, directory: Uuid::from_u128(directory), is_controller: node < 9 };
        let heard = heard.map(Duration::from_secs);
        Follower { id, address: address.to_string(), votes, last: None, heard, caught_up: None }
    }

    /// Node 2 was wiped, 3 has a twin, 9 is a broker.
    fn members() -> Vec<Follower> {
        vec![
            member(1, (1, 11), true, Some(0)),
            member(2, (2, 21), true, Some(60)),
            member(3, (3, 31), true, Some(0)),
            member(4, (2, 22), false, Some(0)),
            member(5, (3, 32), false, Some(0)),
            member(9, (9, 91), false, Some(0)),
        ]
    }

    fn refused(voter: Voter) -> ErrorCode {
        candidate(&members(), voter).expect_err("refused for good").code
    }

    #[test]
    fn a_vote_is_for_a_controller_that_follows() {
        assert_eq!(candidate(&members(), voter(2, 22)), Ok(Ok(4)), "its other directory is lost");
        assert_eq!(refused(voter(1, 11)), ErrorCode::DuplicateVoter);
        assert_eq!(refused(voter(2, 21)), ErrorCode::DuplicateVoter);
        let twin = candidate(&members(), voter(3, 32)).unwrap().unwrap_err();
        assert_eq!(twin.code, ErrorCode::DuplicateVoter, "two nodes have one id, or had until just now");
        assert_eq!(refused(voter(9, 91)), ErrorCode::InvalidRequest);
        let absent = candidate(&members(), voter(4, 41)).unwrap().unwrap_err();
        assert_eq!(absent.code, ErrorCode::RequestTimedOut);
        assert!(absent.why.starts_with("controller 4 with directory AAAAAAAAAAAAAAAAAAAAKQ does not follow"));
    }

    #[test]
    fn a_vote_is_taken_from_the_directory_that_is_named() {
        assert_eq!(leaving(&members(), voter(2, 21)), Ok(2));
        for other in [voter(2, 22), voter(1, 21), voter(7, 71)] {
            assert_eq!(leaving(&members(), other).unwrap_err().code, ErrorCode::VoterNotFound);
        }
    }

    /// The voters of a quorum in which node 2 votes with directory 22.
    fn voters() -> Vec<Replica> {
        [(1, 11), (2, 22), (3, 31)].map(|identity| replica(&member(1, identity, true, None), 0)).into()
    }

    /// A question, what leaders answer one after the other, and what is made of it; no code is success.
    type Case<'a> = (Question, &'a [Option<ErrorCode>], Option<ErrorCode>);

    /// What is made of the leaders' answers, and how many of them were not asked for.
    async fn made_of(question: &Question, answers: &[Option<ErrorCode>]) -> (Option<ErrorCode>, usize) {
        let left = RefCell::new(VecDeque::from(answers.to_vec()));
        let ask = || {
            let answer = left.borrow_mut().pop_front().expect("nobody asks again");
            std::future::ready(answer.map_or(Ok(()), |code| Err(code.into())))
        };
        let made = changed(question, ask, std::future::ready(Ok(voters()))).await;
        (made.err().map(|refusal| refusal.code), left.into_inner().len())
    }

    #[tokio::test]
    async fn only_of_a_change_that_was_begun_does_a_refusal_say_that_it_is_done() {
        use ErrorCode::{DuplicateVoter, RequestTimedOut, VoterNotFound};
        const DONE: Option<ErrorCode> = None;
        let add = |node, directory| Question::Add(voter(node, directory), CHANGE);
        let remove = |node, directory| Question::Remove(voter(node, directory));
        let (begun, is) = (Some(BEGUN), Some);
        let cases: &[Case] = &[
            (add(2, 22), &[DONE], DONE),
            (add(2, 22), &[is(DuplicateVoter)], is(DuplicateVoter)),
            (add(2, 22), &[begun, is(DuplicateVoter)], DONE),
            (add(2, 22), &[begun, begun, is(DuplicateVoter)], DONE),
            (add(2, 22), &[begun, DONE], DONE),
            (add(2, 22), &[begun, is(RequestTimedOut)], is(RequestTimedOut)),
            // Another directory of its node votes, or it lost the vote again.
            (add(2, 21), &[begun, is(DuplicateVoter)], is(DuplicateVoter)),
            (add(2, 22), &[begun, is(VoterNotFound)], is(VoterNotFound)),
            (remove(2, 21), &[is(VoterNotFound)], is(VoterNotFound)),
            (remove(2, 21), &[begun, is(VoterNotFound)], DONE),
            // The only voter is refused so, too.
            (remove(2, 22), &[begun, is(VoterNotFound)], is(VoterNotFound)),
            (remove(2, 21), &[begun, is(DuplicateVoter)], is(DuplicateVoter)),
        ];
        for (question, answers, expected) in cases {
            assert_eq!(made_of(question, answers).await, (*expected, 0), "{question:?} after {answers:?}");
        }
    }
}
