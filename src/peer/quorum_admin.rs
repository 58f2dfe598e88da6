//! The quorum as administrators see it: its leader knows, and any node asks it.

use super::members::{Address, Members};
use super::message::{decode, encode};
use crate::seam::Clock;
use crate::types::{BrokerId, ErrorCode, Uuid, error_code};
use bytes::Bytes;
use raft::{Follower, Quorum};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a leader is looked for and asked.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one answer may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// What the leader is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    Describe,
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
    pub async fn describe(&self) -> Result<Described, ErrorCode> {
        self.ask(&Question::Describe).await
    }

    async fn ask<A: Serialize + for<'a> Deserialize<'a>>(&self, question: &Question) -> Result<A, ErrorCode> {
        let (question, deadline) = (encode(question), Instant::now() + PATIENCE);
        loop {
            match self.attempt(question.clone()).await {
                Err(ErrorCode::NotLeaderOrFollower) if Instant::now() < deadline => sleep(PAUSE).await,
                answered => return answered,
            }
        }
    }

    async fn attempt<A: for<'a> Deserialize<'a>>(&self, question: Bytes) -> Result<A, ErrorCode> {
        let status = self.quorum.status().borrow().clone();
        let leader = status.leader.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let answer = match status.voters.get(&leader) {
            _ if leader == status.node_id => self.answer(&question),
            Some(address) => self.members.ask_leader(leader, address, &question, ATTEMPT).await?,
            None => return Err(ErrorCode::NotLeaderOrFollower),
        };
        let answer: Option<Result<A, i16>> = decode(&answer);
        answer.unwrap_or(Err(ErrorCode::UnknownServerError.code())).map_err(error_code::of)
    }

    /// Answers a question as the leader, which this node perhaps is not.
    pub(super) fn answer(&self, question: &[u8]) -> Bytes {
        let answer = match decode(question) {
            Some(Question::Describe) => self.described(),
            None => Err(ErrorCode::UnsupportedVersion),
        };
        encode(&answer.map_err(|code| code.code()))
    }

    fn described(&self) -> Result<Described, ErrorCode> {
        let progress = self.quorum.progress().ok_or(ErrorCode::NotLeaderOrFollower)?;
        let leader = self.quorum.status().borrow().node_id;
        let now = self.clock.now().wall.0;
        let (voters, observers): (Vec<_>, Vec<_>) = progress.members.iter().partition(|member| member.votes);
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
